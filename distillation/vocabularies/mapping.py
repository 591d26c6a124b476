"""Expresses the tokens of a teacher's vocabulary in those of a student's.

Tokens are compared by their surface text and by whether they start a word, whatever a tokenizer writes for that: `##`
(WordPiece), a leading space in bytes (byte-level BPE), or `▁` (Unigram).
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillation.runs.files import digest, replacing

Entry = tuple[str, bool]  # surface text, and whether it starts a word
FORMAT = 5  # of a saved map; raise it to make saved ones stale
ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


class VocabularyMap:
    """How each token of a teacher is spelt in tokens of a student, which cuts what its normaliser makes of the token.

    A token that both have is spelt by itself. Any other is cut as the student's words are: by Unigram into the
    likeliest tokens, else into the longest that fit, as WordPiece does. A lower-casing student spells "Да" and "да"
    alike. Tokens with a character unknown to the student have no spelling. Nor do those without a text of their own
    (`[unused1]`, a lone word marker, bytes that are no complete character, special tokens), which are paired by role
    or, as in a trimmed vocabulary, by name.

    * `mapped_teacher_ids` (mapped,): teacher tokens that have a spelling, ascending;
    * `shared_teacher_ids`, `shared_student_ids` (shared,): identical tokens, in one order;
    * `special_ids`: pairs (student id, teacher id) of tokens without a text that have one role, or one name;
    * `pieces` (teacher vocabulary, student vocabulary): sparse, how often each piece is in each spelling;
    * `starts_word` (teacher vocabulary,): whether a token starts a word, by the student's rules;
    * `first_with_spelling` (teacher vocabulary,): the first token with the same spelling, mostly the token itself.

    A token t has two spellings: number 2 t inside a word, number 2 t + 1 at the start of one.
    """

    def __init__(self, student_tokenizer: Any, teacher_tokenizer: Any):
        """Maps two fast tokenizers. Raises ValueError if the tokens of one do not show where words start."""
        student, teacher = _entries(student_tokenizer), _entries(teacher_tokenizer)
        self.student_size, self.teacher_size = len(student), len(teacher)
        paired: dict[int, int] = {}  # of teacher tokens without a text
        for role in ROLES:
            ids = [getattr(t, f"{role}_token_id", None) for t in (student_tokenizer, teacher_tokenizer)]
            if None not in ids:
                paired.setdefault(ids[1], ids[0])
        names = teacher_tokenizer.get_vocab()
        for name, student_id in student_tokenizer.get_vocab().items():
            if name in names and student[student_id] is None and teacher[names[name]] is None:
                paired.setdefault(names[name], student_id)
        self.special_ids = [(student_id, teacher_id) for teacher_id, student_id in paired.items()]
        self.normalizer = student_tokenizer.backend_tokenizer.normalizer
        teacher = [entry and (_as_read(entry[0], self.normalizer), entry[1]) for entry in teacher]
        self.surfaces = [entry and entry[0] for entry in teacher]
        marks, teacher_marks = (_marks(t, student + teacher) for t in (student_tokenizer, teacher_tokenizer))
        # A mark (punctuation, an ideograph) always starts a word for WordPiece, with or without a space before it.
        starts_word = [e is not None and (e[0][0] in marks or (e[1] and e[0] not in teacher_marks)) for e in teacher]
        self.starts_word = torch.tensor(starts_word)
        self.student_starts_word = torch.tensor([e is None or e[1] or e[0][0] in marks for e in student])

        unknown = student_tokenizer.unk_token_id
        unknown = student_tokenizer.mask_token_id if unknown is None else unknown
        spell = _speller(student, marks, unknown, student_tokenizer.backend_tokenizer.model)
        spellings = [spell(e[0], start) if e else None for e in teacher for start in (False, True)]
        pieces = [tokens or [paired.get(number // 2, unknown)] for number, tokens in enumerate(spellings)]
        self._pieces = torch.tensor([piece for tokens in pieces for piece in tokens])
        self.sizes = torch.tensor([len(tokens) for tokens in pieces])  # (2 x teacher vocabulary,)
        self._starts = self.sizes.cumsum(0) - self.sizes

        own = [spellings[2 * index + start] for index, start in enumerate(starts_word)]
        firsts: dict[tuple[int, ...], int] = {}
        first = [firsts.setdefault(tuple(tokens), index) if tokens else index for index, tokens in enumerate(own)]
        self.first_with_spelling = torch.tensor(first)
        self.is_mapped = torch.tensor([tokens is not None for tokens in own])  # (teacher vocabulary,)
        self.mapped_teacher_ids = self.is_mapped.nonzero().squeeze(1)
        self.piece_counts = self.sizes[2 * torch.arange(len(teacher)) + self.starts_word]  # (teacher vocabulary,)
        self.shared_teacher_ids = self.mapped_teacher_ids[self.piece_counts[self.mapped_teacher_ids] == 1]
        self.shared_student_ids = self.pieces_of(self.shared_teacher_ids)

    @classmethod
    def cached(cls, student_tokenizer: Any, teacher_tokenizer: Any, folder: str | Path) -> "VocabularyMap":
        """The map of two tokenizers, read from a folder if it has been built before, else built and saved there."""
        made_of = [str(FORMAT)]
        for tokenizer in (student_tokenizer, teacher_tokenizer):
            made_of += [tokenizer.backend_tokenizer.to_str(), repr(sorted(tokenizer.special_tokens_map.items()))]
        path = Path(folder, f"vocabulary-map-{digest([chr(0).join(made_of).encode()])[:16]}.pt")
        if not path.exists():
            built = vars(cls(student_tokenizer, teacher_tokenizer))
            with replacing(path) as draft:
                torch.save({name: value for name, value in built.items() if name != "normalizer"}, draft)
        found = cls.__new__(cls)
        vars(found).update(torch.load(path, weights_only=True))
        found.normalizer = student_tokenizer.backend_tokenizer.normalizer
        return found

    def spell(self, spellings: Tensor) -> Tensor:
        """The student tokens of spellings (n,), by their numbers, one after the other."""
        sizes = self.sizes[spellings]
        ends = sizes.cumsum(0)
        within = torch.arange(int(sizes.sum())) - (ends - sizes).repeat_interleave(sizes)
        return self._pieces[self._starts[spellings].repeat_interleave(sizes) + within]

    def pieces_of(self, teacher_ids: Tensor) -> Tensor:
        """The student tokens of teacher tokens as they stand in the vocabulary, one after the other."""
        return self.spell(2 * teacher_ids + self.starts_word[teacher_ids])

    @cached_property
    def pieces(self) -> Tensor:
        ids = self.mapped_teacher_ids
        places = torch.stack([ids.repeat_interleave(self.piece_counts[ids]), self.pieces_of(ids)])
        ones, shape = torch.ones(places.shape[1]), (self.teacher_size, self.student_size)
        return torch.sparse_coo_tensor(places, ones, shape, check_invariants=False).coalesce()


def vocabulary_size(tokenizer: Any) -> int:
    """One more than the largest id. `len` is less if ids have gaps, as after a repeated line of vocab.txt."""
    return 1 + max(tokenizer.get_vocab().values())


def unreadable(tokenizer: Any) -> list[str]:
    """The tokens that no text can give because the normaliser changes them first, such as capitals to lower case; in
    the order of their ids. Empty for a tokenizer whose tokens do not show where words begin."""
    normalizer, tokens = tokenizer.backend_tokenizer.normalizer, tokenizer.get_vocab()
    try:
        read = _reader(tokenizer.backend_tokenizer)
    except ValueError:
        return []
    if normalizer is None:
        return []
    added = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    entries = {token: read(token) for token in sorted(tokens, key=tokens.get) if tokens[token] not in added}
    surfaces = {token: entry[0].strip("▁ ") for token, entry in entries.items() if entry}
    return [token for token, surface in surfaces.items() if normalised(surface, normalizer) != surface]


def normalised(text: str, normalizer: Any) -> str:
    """What a tokenizer's normaliser makes of a text (None: nothing), without the word markers it may put around it."""
    return text if normalizer is None else normalizer.normalize_str(text).strip("▁ ")


def _as_read(surface: str, normalizer: Any) -> str:
    """A token's text as a normaliser changes it, but for spaces, which it puts around ideographs."""
    text = normalised(surface, normalizer)
    return text if text and not any(map(str.isspace, text)) else surface


def _entries(tokenizer: Any) -> list[Entry | None]:
    """For each id the entry that a text can hold; None for special and added tokens and for what has no surface."""
    read = _reader(tokenizer.backend_tokenizer)
    tokens, added = tokenizer.get_vocab(), {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    entries: list[Entry | None] = [None] * vocabulary_size(tokenizer)
    for token, index in tokens.items():
        entry = None if index in added else read(token)
        if entry and entry[0] and not any(map(str.isspace, entry[0])):
            entries[index] = entry
    marks, normalizer = _marks(tokenizer, entries), tokenizer.backend_tokenizer.normalizer

    def is_written(surface: str, starts_word: bool) -> bool:  # not `##,`, `[unused1]`, or a lower-cased capital
        is_one_word = marks.isdisjoint(surface) or (starts_word and len(surface) == 1)
        return is_one_word and normalised(surface, normalizer) == surface

    return [entry if entry and is_written(*entry) else None for entry in entries]


def _reader(backend: Any) -> Callable[[str], Entry | None]:
    """The function from a token to its entry, for this kind of tokenizer."""
    kind = type(backend.model).__name__
    prefix = getattr(backend.model, "continuing_subword_prefix", None)
    around = f"{backend.normalizer!r}{backend.pre_tokenizer!r}{backend.decoder!r}"
    if kind == "WordPiece" or (kind == "BPE" and prefix):
        return lambda token: (token.removeprefix(prefix), not token.startswith(prefix))
    if "ByteLevel" in around:
        return _bytes_reader()
    if "▁" in around:
        return lambda token: None if token.startswith("<0x") else (token.removeprefix("▁"), token.startswith("▁"))
    if kind == "WordLevel":
        return lambda token: (token, True)
    raise ValueError(f"its tokens ({kind}) do not show where words begin: use WordPiece, byte-level BPE, or Unigram")


def _bytes_reader() -> Callable[[str], Entry | None]:
    """Byte-level BPE writes each byte as a printable character: itself, or one from U+0100 on (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    byte_of = {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}

    def read(token: str) -> Entry | None:
        try:
            text = bytes(byte_of[character] for character in token).decode("utf-8")
        except (KeyError, UnicodeDecodeError):  # part of a character
            return None
        return text.removeprefix(" "), text.startswith(" ")

    return read


def _marks(tokenizer: Any, entries: Iterable[Entry | None]) -> frozenset[str]:
    """The characters of entries that a WordPiece tokenizer always makes words of: punctuation, ideographs."""
    backend = tokenizer.backend_tokenizer
    if type(backend.model).__name__ != "WordPiece" or backend.pre_tokenizer is None:
        return frozenset()
    normalize = (lambda text: text) if backend.normalizer is None else backend.normalizer.normalize_str
    split = backend.pre_tokenizer.pre_tokenize_str
    characters = {character for entry in entries if entry for character in entry[0]}
    return frozenset(c for c in characters if len(split(normalize(f"а{c}"))) > 1)  # BERT parts ideographs by spaces


def _speller(
    entries: Sequence[Entry | None], marks: frozenset[str], unknown: int, model: Any
) -> Callable[[str, bool], list[int] | None]:
    """How a student cuts a text inside a word or at its start. marks: characters that are words of their own."""
    words: tuple[dict[str, int], dict[str, int]] = ({}, {})  # inside a word, at its start
    for index, entry in enumerate(entries):
        if entry is not None:
            words[entry[1]].setdefault(entry[0], index)
    longest = max((len(entry[0]) for entry in entries if entry), default=0)

    def likeliest(surface: str, starts_word: bool) -> list[int] | None:
        if surface in words[starts_word]:  # even if it can be cut into likelier ones
            return [words[starts_word][surface]]
        pieces = [token.id for token in model.tokenize("▁" * starts_word + surface)]
        return None if unknown in pieces else pieces

    def longest_first(surface: str, starts_word: bool) -> list[int] | None:
        pieces, start = [], 0
        while start < len(surface):
            known = words[starts_word or surface[start] in marks]
            for end in range(min(len(surface), start + longest), start, -1):
                piece = known.get(surface[start:end])
                if piece is not None:
                    break
            else:
                return None
            pieces.append(piece)
            starts_word, start = surface[end - 1] in marks, end
        return pieces

    return likeliest if type(model).__name__ == "Unigram" else longest_first
