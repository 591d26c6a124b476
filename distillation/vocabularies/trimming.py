"""Makes a tokenizer with fewer tokens. It cuts a text as before if all tokens of that text are kept.

WordPiece takes the longest token that fits: among fewer tokens it takes the same one. A word that is unknown because
no token fits after the longest one may become known, if that one goes. Unigram takes the likeliest path: it stays the
likeliest. BPE applies merges by their rank: it applies the same ones if every merge that makes a kept token stays, and
with the merge the two tokens that it joins.
"""

import copy
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from distillation.config.errors import UserError

KINDS = ("WordPiece", "BPE", "Unigram")
BATCH = 1000  # texts that are encoded at once
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
            raise UserError(f"a {self.model['type']} tokenizer cannot be trimmed: give one of {', '.join(KINDS)}")
        self.numbers: dict[str, int] = self.backend.get_vocab(with_added_tokens=True)
        self.parts: dict[int, set[int]] = {}  # by token: the tokens that its merges join; it may have several merges
        for left, right in self.model.get("merges", ()):
            made = self.numbers[left + right.removeprefix(self.model["continuing_subword_prefix"] or "")]
            self.parts.setdefault(made, set()).update((self.numbers[left], self.numbers[right]))

    def count(self, texts: Iterable[str]) -> np.ndarray:
        """How often each token (largest number + 1,) occurs in the texts."""
        counts, texts = np.zeros(max(self.numbers.values()) + 1, dtype=np.int64), iter(texts)
        while batch := list(itertools.islice(texts, BATCH)):
            encoded = self.backend.encode_batch_fast(batch, add_special_tokens=False)
            counts += np.bincount([number for one in encoded for number in one.ids], minlength=len(counts))
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
        unknown = self.numbers.get(self.model.get("unk_token"), self.model.get("unk_id"))
        kept |= set() if unknown is None else {unknown}
        for text in texts:
            kept |= {self.numbers[text]} if text in self.numbers else set(self.backend.encode(text).ids)
        seen = {character for token, number in self.numbers.items() if counts[number] for character in token}
        byte_level = "ByteLevel" in json.dumps([self.state["normalizer"], self.state["pre_tokenizer"]])
        for token, number in self.numbers.items():
            surface = self._surface(token)
            if len(surface) < 2 and (byte_level or seen.issuperset(surface)) or _is_byte(token):
                kept.add(number)
        if self.model["type"] == "Unigram":  # the score of an unknown character depends on the lowest score
            kept.add(min(range(len(self.model["vocab"])), key=lambda number: self.model["vocab"][number][1]))
        return set().union(*(self._with_parts(number, set()) for number in kept))

    def choose(self, counts: np.ndarray, required: set[int], size: int | None, coverage: float = 1.0) -> list[int]:
        """The required tokens and the most frequent others, in ascending order: `size` in all, or as many as cover the
        share `coverage` of the corpus. Raises UserError for a size that cannot be met."""
        least, most = len(required), len(self.numbers)
        if size is not None and not least <= size <= most:
            raise UserError(
                f"{size:,} tokens (`vocab_size`, `vocab_sizes`) are impossible: special tokens and the alphabet of "
                f"the corpus take {least:,} tokens, and the model has {most:,}; choose a number between them"
            )
        kept, wanted = set(required), coverage * counts.sum()
        covered = counts[list(kept)].sum()
        order = np.lexsort((np.arange(len(counts)), -counts))  # the most frequent first, then the lowest number
        known = set(self.numbers.values())
        for number in map(int, order):
            if len(kept) == size or (size is None and covered >= wanted):
                break
            added = self._with_parts(number, kept) if number in known else set()
            if size is None or len(kept) + len(added) <= size:
                kept |= added
                covered += counts[list(added)].sum()
        return sorted(kept)

    def trim(self, kept: Sequence[int]) -> PreTrainedTokenizerBase:
        """The tokenizer of the tokens that `choose` returned. Token `kept[i]` gets the id i."""
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
        trimmed = copy.deepcopy(self.tokenizer)
        trimmed._tokenizer = Tokenizer.from_str(json.dumps(state))
        return trimmed

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
