"""Two vocabularies, and two tokenizations of one text: what the tokens of a teacher are in those of a student.

Tokens are compared by their surface text and by whether they open a word, whatever a tokenizer writes for that:
`##` (WordPiece), a leading space in bytes (byte-level BPE), or `▁` (Unigram). Tokenizations are compared by the
characters behind their tokens.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distillation.runs.files import replacing

Entry = tuple[str, bool]  # surface text, and whether it opens a word
FORMAT = 1  # of a saved map: another number makes those that were saved before stale
ROLES = ("pad", "unk", "cls", "sep", "mask", "bos", "eos")


class VocabularyMap:
    """How each token of a teacher is spelt in tokens of a student: the longest that fits first, as WordPiece does.

    A token that both have is spelt by itself. Tokens without a text of their own (`[unused1]`, a lone word marker,
    bytes that are no whole character, special tokens) and those with a character unknown to the student have no
    spelling. Special tokens are paired by role.

    * `mapped_teacher_ids` (mapped,): teacher tokens that have a spelling, ascending;
    * `shared_teacher_ids`, `shared_student_ids` (shared,): identical tokens, in one order;
    * `special_ids`: pairs (student id, teacher id) of special tokens with one role;
    * `pieces` (teacher vocabulary, student vocabulary): sparse, how often each piece is in each spelling;
    * `opens` (teacher vocabulary,): whether a token opens a word, as the student's words go;
    * `first_spelt_so` (teacher vocabulary,): the first token with the same spelling, mostly the token itself.
    """

    def __init__(self, student_tokenizer: Any, teacher_tokenizer: Any):
        """Of two fast tokenizers. Raises ValueError where one does not say in its tokens where words begin."""
        student, teacher = _entries(student_tokenizer), _entries(teacher_tokenizer)
        self.student_size, self.teacher_size = len(student), len(teacher)
        self.special_ids = _special_pairs(student_tokenizer, teacher_tokenizer)
        self.surfaces = [entry and entry[0] for entry in teacher]
        characters = {c for entry in student + teacher if entry for c in entry[0]}
        alone, alone_there = (_standing_alone(t, characters) for t in (student_tokenizer, teacher_tokenizer))
        # A mark that stands alone in the teacher's words opens one always, which says nothing of the space before it.
        own_opens = [e is not None and (e[0][0] in alone or (e[1] and e[0] not in alone_there)) for e in teacher]
        self.opens = torch.tensor(own_opens)
        self.student_opens = torch.tensor([entry is None or entry[1] or entry[0][0] in alone for entry in student])

        unknown = student_tokenizer.unk_token_id
        unknown = student_tokenizer.mask_token_id if unknown is None else unknown
        by_role = {theirs: [ours] for ours, theirs in self.special_ids}
        spell = _speller(student, alone)
        spelt, sizes, has_spelling, first_so, first = [], [], [], {}, []
        for index, entry in enumerate(teacher):
            for opens in (False, True):
                pieces = spell(entry[0], opens) if entry else None
                has_spelling.append(pieces is not None)
                if opens == own_opens[index]:
                    first.append(first_so.setdefault(tuple(pieces), index) if pieces else index)
                pieces = pieces or by_role.get(index, [unknown])
                spelt += pieces
                sizes.append(len(pieces))
        self.first_spelt_so = torch.tensor(first)
        # Spelling 2 t + 1 is that of token t where it opens a word, 2 t where it goes on with one.
        self._pieces = torch.tensor(spelt)
        self.sizes = torch.tensor(sizes)  # (2 x teacher vocabulary,)
        self._begins = self.sizes.cumsum(0) - self.sizes
        own = 2 * torch.arange(self.teacher_size) + self.opens
        self.is_mapped = torch.tensor(has_spelling)[own]  # (teacher vocabulary,)
        self.mapped_teacher_ids = self.is_mapped.nonzero().squeeze(1)
        self.piece_counts = self.sizes[own]  # (teacher vocabulary,), of its own spelling
        self.shared_teacher_ids = self.mapped_teacher_ids[self.piece_counts[self.mapped_teacher_ids] == 1]
        self.shared_student_ids = self.pieces_of(self.shared_teacher_ids)
        self._normalizer = student_tokenizer.backend_tokenizer.normalizer

    @classmethod
    def cached(cls, student_tokenizer: Any, teacher_tokenizer: Any, folder: str | Path) -> "VocabularyMap":
        """The map of two tokenizers, read from a folder if it has been built before, else built and left there."""
        made_by = [str(FORMAT)]
        for tokenizer in (student_tokenizer, teacher_tokenizer):
            made_by += [tokenizer.backend_tokenizer.to_str(), repr(sorted(tokenizer.special_tokens_map.items()))]
        path = Path(folder, f"vocabulary-map-{sha256(chr(0).join(made_by).encode()).hexdigest()[:16]}.pt")
        if path.exists():
            found = cls.__new__(cls)
            vars(found).update(torch.load(path, weights_only=True))
        else:
            found = cls(student_tokenizer, teacher_tokenizer)
            with replacing(path) as draft:
                torch.save({name: value for name, value in vars(found).items() if name != "_normalizer"}, draft)
        found._normalizer = student_tokenizer.backend_tokenizer.normalizer
        return found

    def spell(self, spellings: Tensor) -> Tensor:
        """The student tokens of spellings (2 x teacher id, + 1 where it opens a word), one after the other."""
        sizes = self.sizes[spellings]
        ends = sizes.cumsum(0)
        within = torch.arange(int(ends[-1]) if len(ends) else 0) - (ends - sizes).repeat_interleave(sizes)
        return self._pieces[self._begins[spellings].repeat_interleave(sizes) + within]

    def pieces_of(self, teacher_ids: Tensor) -> Tensor:
        """The student tokens of teacher tokens as they stand in the vocabulary, one after the other."""
        return self.spell(2 * teacher_ids + self.opens[teacher_ids])

    @cached_property
    def pieces(self) -> Tensor:
        ids = self.mapped_teacher_ids
        rows = ids.repeat_interleave(self.piece_counts[ids])
        columns = self.pieces_of(ids)
        ones, shape = torch.ones(len(rows)), (self.teacher_size, self.student_size)
        return torch.sparse_coo_tensor(torch.stack([rows, columns]), ones, shape, check_invariants=False).coalesce()

    def student_reads(self, teacher_ids: Tensor, texts: Iterable[str]) -> Tensor:
        """Whether the student's tokenizer makes the surface of each token (n,) of the text that the token stands for.

        It does not where the tokenizers normalise differently: one in lower case, one without accents.
        """
        surfaces = [self.surfaces[i] for i in teacher_ids.tolist()]
        pairs = zip(surfaces, texts, strict=True)
        return torch.tensor(
            [s == text or s == normalised(text, self._normalizer) for s, text in pairs], dtype=torch.bool
        )


def matched(
    vocabulary: VocabularyMap, student_ids: Tensor, student_spans: Tensor, teacher_ids: Tensor, teacher_spans: Tensor
) -> Tensor:
    """For each student token (n,) the teacher token that is the same token on the same characters, or -1.

    ids: (n,) and (m,); spans: (n, 2) and (m, 2), the characters where tokens start and end, without space around.
    """
    student_of = torch.full((vocabulary.teacher_size,), -2)
    student_of[vocabulary.shared_teacher_ids] = vocabulary.shared_student_ids
    theirs = (_alone_on_its_characters(teacher_spans) & (student_of[teacher_ids] >= 0)).nonzero().squeeze(1)
    if not len(theirs):
        return torch.full_like(student_ids, -1)
    keys, order = _keys(teacher_spans[theirs]).sort()
    theirs = theirs[order]
    wanted = _keys(student_spans)
    found = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    same = (keys[found] == wanted) & (student_of[teacher_ids[theirs[found]]] == student_ids)
    return torch.where(same & _alone_on_its_characters(student_spans), theirs[found], -1)


def spelt(
    vocabulary: VocabularyMap,
    student_ids: Tensor,
    student_spans: Tensor,
    teacher_ids: Tensor,
    teacher_spans: Tensor,
    text: str,
) -> tuple[Tensor, Tensor]:
    """For each teacher token (m,) its spelling in this text, and whether the two models can be compared there.

    A token opens a word where the student's own tokens say so. They can be compared where that is what the token says
    itself, it has a spelling, and the student reads the text as the teacher does.
    ids, spans: as for `matched`, in characters of `text`.
    """
    word_starts = student_spans[vocabulary.student_opens[student_ids], 0]
    opens = torch.isin(teacher_spans[:, 0], word_starts)
    comparable = vocabulary.is_mapped[teacher_ids] & (opens == vocabulary.opens[teacher_ids])
    comparable &= _alone_on_its_characters(teacher_spans)
    candidates = comparable.nonzero().squeeze(1)
    texts = (text[start:end] for start, end in teacher_spans[candidates].tolist())
    comparable[candidates] = vocabulary.student_reads(teacher_ids[candidates], texts)
    return 2 * teacher_ids + opens, comparable


def _alone_on_its_characters(spans: Tensor) -> Tensor:
    """Whether a token has characters that no other has just so: parts of one character (bytes) share theirs."""
    _, index, counts = _keys(spans).unique(return_inverse=True, return_counts=True)
    return (counts[index] == 1) & (spans[:, 1] > spans[:, 0])


def _keys(spans: Tensor) -> Tensor:
    return spans[:, 0] * 2**32 + spans[:, 1]


# Vocabularies


def normalised(text: str, normalizer: Any) -> str:
    """What a tokenizer's normaliser makes of a text (None: nothing), without the word markers it may put around it."""
    return text if normalizer is None else normalizer.normalize_str(text).strip("▁ ")


def _entries(tokenizer: Any) -> list[Entry | None]:
    """For each id the entry that a text can hold; None for special and added tokens and for what has no surface."""
    read = _reader(tokenizer.backend_tokenizer)
    added = {*tokenizer.added_tokens_decoder, *tokenizer.all_special_ids}
    tokens = tokenizer.get_vocab()
    entries: list[Entry | None] = [None] * (max(tokens.values()) + 1)
    for token, index in tokens.items():
        entry = None if index in added else read(token)
        if entry is not None and entry[0] and not any(map(str.isspace, entry[0])):
            entries[index] = entry
    alone = _standing_alone(tokenizer, {c for entry in entries if entry for c in entry[0]})
    normalizer = tokenizer.backend_tokenizer.normalizer

    def is_written(surface: str, opens: bool) -> bool:  # never `##,`, `[unused1]` as one word, a capital in lower case
        is_one_word = alone.isdisjoint(surface) or (opens and len(surface) == 1)
        return is_one_word and normalised(surface, normalizer) == surface

    return [entry if entry and is_written(*entry) else None for entry in entries]


def _reader(backend: Any) -> Callable[[str], Entry | None]:
    """What a token of this kind of tokenizer says: its surface text, and whether it opens a word."""
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
    raise ValueError(f"its tokens ({kind}) do not say where words begin: WordPiece, byte-level BPE, or Unigram do")


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


def _standing_alone(tokenizer: Any, characters: Iterable[str]) -> frozenset[str]:
    """The characters that a WordPiece tokenizer makes words of wherever they stand: punctuation, ideographs."""
    backend = tokenizer.backend_tokenizer
    if type(backend.model).__name__ != "WordPiece" or backend.pre_tokenizer is None:
        return frozenset()
    normalize = (lambda text: text) if backend.normalizer is None else backend.normalizer.normalize_str
    split = backend.pre_tokenizer.pre_tokenize_str
    return frozenset(c for c in characters if len(split(normalize(f"а{c}"))) > 1)  # BERT's normaliser parts ideographs


def _speller(entries: Sequence[Entry | None], alone: frozenset[str]) -> Callable[[str, bool], list[int] | None]:
    """Greedy longest match over a vocabulary. alone: characters that open a word and end one."""
    words = ({}, {})  # what goes on with a word, what opens one
    for index, entry in enumerate(entries):
        if entry is not None:
            words[entry[1]].setdefault(entry[0], index)
    longest = max((len(entry[0]) for entry in entries if entry), default=0)

    def spell(surface: str, opens: bool) -> list[int] | None:
        pieces, begin = [], 0
        while begin < len(surface):
            known = words[opens or surface[begin] in alone]
            for end in range(min(len(surface), begin + longest), begin, -1):
                piece = known.get(surface[begin:end])
                if piece is not None:
                    break
            else:
                return None
            pieces.append(piece)
            opens, begin = surface[end - 1] in alone, end
        return pieces

    return spell


def _special_pairs(student_tokenizer: Any, teacher_tokenizer: Any) -> list[tuple[int, int]]:
    pairs: dict[int, int] = {}
    for role in ROLES:
        ours, theirs = (getattr(t, f"{role}_token_id", None) for t in (student_tokenizer, teacher_tokenizer))
        if ours is not None and theirs is not None:
            pairs.setdefault(theirs, ours)
    return [(ours, theirs) for theirs, ours in pairs.items()]
