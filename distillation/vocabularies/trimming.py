"""Makes a tokenizer with fewer tokens. It cuts a text as before if all tokens of that text are kept.

WordPiece takes the longest token that fits: among fewer tokens it takes the same one. A word that is unknown because
no token fits after the longest one may become known, if that one goes. Unigram takes the likeliest path: it stays the
likeliest. BPE applies merges by their rank: it applies the same ones if every merge that makes a kept token stays, and
with the merge the two tokens that it joins.

The tokens that stay are those that save most: a text would take more tokens without them. Words that lose their token
are cut into others, which save more then, so tokens go in rounds.
"""

import copy
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerBase

from distillation.config.errors import UserError
from distillation.vocabularies.words import count_words

KINDS = ("WordPiece", "BPE", "Unigram")
MARKS = "▁Ġ"  # stand for a space before a word


class Trimmer:
    """Counts the tokens of one tokenizer, chooses some, and makes the tokenizer of these."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        """Raises UserError for a kind of tokenizer that cannot be trimmed."""
        self.tokenizer = tokenizer
        self.backend = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())  # without the last call's truncation
        self.backend.no_truncation()
        self.backend.no_padding()
        self.state = json.loads(self.backend.to_str())
        self.model = self.state["model"]
        if self.model["type"] not in KINDS:
            raise UserError(
                f"`model_name_or_path` has a {self.model['type']} tokenizer, which cannot be trimmed: give a model "
                f"with one of {', '.join(KINDS)}"
            )
        self.numbers: dict[str, int] = self.backend.get_vocab(with_added_tokens=True)
        self.parts: dict[int, set[int]] = {}  # by token: the tokens that its merges join; it may have several merges
        for left, right in self.model.get("merges", ()):
            made = self.numbers[left + right.removeprefix(self.model["continuing_subword_prefix"] or "")]
            self.parts.setdefault(made, set()).update((self.numbers[left], self.numbers[right]))

    def words(self, texts: Iterable[str]) -> Counter[str]:
        """How often each piece of text occurs that the tokenizer cuts by itself, mostly a word."""
        normalizer = self.backend.normalizer or normalizers.Sequence([])
        return count_words(texts, normalizer, self.backend.pre_tokenizer or pre_tokenizers.Sequence([]))

    def count(self, words: Counter[str], kept: Sequence[int] | None = None) -> np.ndarray:
        """How often each token (largest number + 1,) occurs in the `words`, as all tokens cut them or those `kept`."""
        counts = np.zeros(max(self.numbers.values()) + 1, dtype=np.int64)
        backend, ids = (self.backend, range(len(counts))) if kept is None else (self._backend(kept), kept)
        for word, count in words.items():
            for token in backend.model.tokenize(word):
                counts[ids[token.id]] += count
        return counts

    def required(self, counts: np.ndarray, texts: Sequence[str] = ()) -> set[int]:
        """Tokens that are kept at any size: special, added, and byte tokens; the tokens of `texts`; and the alphabet,
        which is every token of one character that the corpus has.

        counts: of the corpus, from `count`.
        """
        kept = {token["id"] for token in self.state["added_tokens"]}
        kept |= {self.tokenizer.convert_tokens_to_ids(token) for token in self.tokenizer.all_special_tokens}
        # A tokenizer.json may use tokens that nothing declares as special: around texts, and for what is unknown.
        kept |= set(self.backend.encode("").ids) | set(self.backend.encode("", "").ids)
        kept |= {self.numbers.get(self.model.get("unk_token"), self.model.get("unk_id"))} - {None}
        for text in texts:
            kept |= {self.numbers[text]} if text in self.numbers else set()
            for read in (text, f" {text}"):  # at the start of a text, and behind a space
                kept |= set(self.backend.encode(read, add_special_tokens=False).ids)
        seen = {character for token, number in self.numbers.items() if counts[number] for character in token}
        byte_level = "ByteLevel" in json.dumps([self.state["normalizer"], self.state["pre_tokenizer"]])
        for token, number in self.numbers.items():
            surface = self._surface(token)
            if len(surface) < 2 and (byte_level or seen.issuperset(surface)) or _is_byte(token):
                kept.add(number)
        if self.model["type"] == "Unigram":  # the score of an unknown character depends on the lowest score
            kept.add(min(range(len(self.model["vocab"])), key=lambda number: self.model["vocab"][number][1]))
        return set().union(*(self._with_parts(number, set()) for number in kept))

    def cover(self, counts: np.ndarray, required: set[int], coverage: float) -> list[int]:
        """The required tokens and the most frequent others, until they are the share `coverage` of the corpus; in
        ascending order."""
        kept, wanted = set(required), coverage * counts.sum()
        covered = counts[list(kept)].sum()
        for number in _descending(counts, self.numbers.values()):
            if covered >= wanted:
                break
            added = self._with_parts(number, kept)
            kept |= added
            covered += counts[list(added)].sum()
        return sorted(kept)

    def shrink(self, words: Counter[str], required: set[int], sizes: Iterable[int]) -> dict[int, list[int]]:
        """For each size that many tokens, in ascending order: the required ones, and those that save most. At most
        half of the tokens go at a time. Those left are counted again, as words that lost their token need others.

        words: of the corpus, from `words`. Raises UserError for a size that cannot be met.
        """
        least, most, sizes = len(required), len(self.numbers), sorted(sizes, reverse=True)
        if impossible := [size for size in sizes if not least <= size <= most]:
            raise UserError(
                f"{impossible[0]:,} tokens (`vocab_size`, `vocab_sizes`) are impossible: special tokens, the corpus's "
                f"alphabet, and `keep_file` take {least:,}, and the model has {most:,}; choose a number between them"
            )
        kept, found = sorted(self.numbers.values()), {}
        for size in sizes:
            while len(kept) > size:
                kept = self._save_most(self.count(words, kept), kept, required, max(size, len(kept) // 2))
            found[size] = kept
        return found

    def _save_most(self, counts: np.ndarray, among: list[int], required: set[int], size: int) -> list[int]:
        """`size` of the tokens `among`: the required ones, and those that save most where the others are kept."""
        names = {number: token for token, number in self.numbers.items()}
        vocabulary = {names[number] for number in among}
        saved = counts.copy()
        for number in np.flatnonzero(counts).tolist():
            saved[number] *= self._pieces(names[number], vocabulary) - 1
        kept = set(required)
        for number in _descending(saved, among):
            added = self._with_parts(number, kept)
            if len(kept) + len(added) <= size:
                kept |= added
        return sorted(kept)

    def _pieces(self, token: str, vocabulary: set[str]) -> int:
        """How many other tokens a token is cut into, the longest that fits first; its characters where none fits."""
        prefix = self.model.get("continuing_subword_prefix") or ""
        start, rest, pieces = prefix * token.startswith(prefix), token.removeprefix(prefix), 0
        while rest:
            ends = range(len(rest), 0, -1)
            end = next((end for end in ends if start + rest[:end] in vocabulary and start + rest[:end] != token), None)
            if end is None:
                return pieces + len(rest)
            start, rest, pieces = prefix, rest[end:], pieces + 1
        return pieces

    def trim(self, kept: Sequence[int]) -> PreTrainedTokenizerBase:
        """The tokenizer of the tokens that `cover` or `shrink` returned. Token `kept[i]` gets the id i."""
        trimmed = copy.deepcopy(self.tokenizer)
        trimmed._tokenizer = self._backend(kept)
        return trimmed

    def _backend(self, kept: Sequence[int]) -> Tokenizer:
        new = {old: number for number, old in enumerate(kept)}
        state, model = copy.deepcopy(self.state), dict(self.model)
        if model["type"] == "Unigram":
            model["vocab"] = [model["vocab"][old] for old in kept if old < len(model["vocab"])]
            model["unk_id"] = None if model["unk_id"] is None else new[model["unk_id"]]
        else:
            model["vocab"] = {token: new[old] for token, old in model["vocab"].items() if old in new}
        if "merges" in model:
            prefix = model["continuing_subword_prefix"] or ""
            model["merges"] = [(a, b) for a, b in model["merges"] if a + b.removeprefix(prefix) in model["vocab"]]
        state["model"] = model
        for token in state["added_tokens"]:
            token["id"] = new[token["id"]]
        _renumber(state["post_processor"], new)
        return Tokenizer.from_str(json.dumps(state))

    def _with_parts(self, number: int, kept: set[int]) -> set[int]:
        """A token and all tokens that its merges need, without those that are kept already."""
        found, waiting = set(), [number]
        while waiting:
            one = waiting.pop()
            if one not in kept and one not in found:
                found.add(one)
                waiting += self.parts.get(one, ())
        return found

    def _surface(self, token: str) -> str:
        """A token without the marks of the start and the end of a word."""
        prefix, suffix = (self.model.get(name) or "" for name in ("continuing_subword_prefix", "end_of_word_suffix"))
        return token.removeprefix(prefix).removesuffix(suffix).lstrip(MARKS)


def _descending(weights: np.ndarray, among: Iterable[int]) -> list[int]:
    """Those of the largest weight first, then those of the lowest number."""
    return sorted(among, key=lambda number: (-weights[number], number))


def _is_byte(token: str) -> bool:
    """Whether a token is a byte of a vocabulary with byte fallback."""
    return len(token) == 6 and token.startswith("<0x") and token.endswith(">")


def _renumber(part: Any, new: dict[int, int]) -> None:
    """Put new ids into a post-processor: into the `ids` of a template, and into pairs (token, id)."""
    if isinstance(part, list):
        for one in part:
            _renumber(one, new)
    elif isinstance(part, dict):
        for name, value in part.items():
            if name == "ids":
                part[name] = [new[number] for number in value]
            elif name in ("sep", "cls") and isinstance(value, list):
                part[name] = [value[0], new[value[1]]]
            else:
                _renumber(value, new)
