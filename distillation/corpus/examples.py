"""Lines of a corpus become tokenized examples, cut at word boundaries.

An example is a row of

* `id`: the same for the same line and cut, whatever the batch, rank, or epoch;
* `input_ids`: tokens of the first tokenizer, special tokens included;
* `word_ids`: for each token its word (with `masking_unit: token`, the token itself), counted from 0, or -1 for tokens
  that are never masked (special tokens);
* `word_characters`: the number of characters of each word, without the white space that some tokens include;
* `length`: tokens of the longest input, for length-grouped batches.

With a second tokenizer, `teacher_input_ids` and `teacher_word_ids` hold its tokens of the same characters; a word is
the same characters in both. `token_alignment.py` adds columns across vocabularies.

For evaluation (`masking_unit: text`) the words depend on the text alone, not on the tokenizers. Where a token lies in
several words, it and all tokens of these words have the first of them as their word.
"""

import itertools
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
import torch
from datasets import Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.corpus.cutting import cut_lines
from distillation.text.sampling import SAMPLE, evenly_spaced, load_split
from distillation.vocabularies import token_alignment
from distillation.vocabularies.mapping import VocabularyMap

logger = logging.getLogger(__name__)

FORMAT = 4  # of the columns; raise it to make cached examples stale
TOGETHER = 2**21  # characters of lines that are read at once; they take some 300 MB
CUTS_PER_LINE = 2**24  # ids of examples: line * CUTS_PER_LINE + cut
_PUNCTUATION = r"\p{P}!-/:-@\[-`{-~"  # BERT's notion: Unicode punctuation and every ASCII symbol
_SPACES = [code for code in range(0x3001) if chr(code).isspace()]
_WORD = regex.compile(rf"[^\s{_PUNCTUATION}]+|[{_PUNCTUATION}]")


@dataclass
class Corpus:
    """Tokenized examples to train on; held-out cleaned lines and their examples."""

    train: Dataset | IterableDataset
    validation: Dataset
    validation_lines: Dataset
    sample: Dataset  # examples that represent those to train on: all of them, or the first of a stream


def load_corpus(arguments: DataArguments, encoder: "Encoder") -> Corpus:
    """Read, clean, split, and tokenize the corpus that `arguments` name; each step is cached on disk.

    Raises UserError for a missing or unreadable file, no usable line, too many unknown tokens, or texts in which
    teacher and student have nothing to compare.
    """
    lines, validation_lines = load_split(arguments)
    train = tokenize(lines, encoder, arguments.preprocessing_num_workers)
    validation = tokenize(validation_lines, encoder)
    check_examples(train, encoder, arguments.max_unknown)
    found = "corpus: %d training examples (mean length %.1f), %d validation examples"
    logger.info(found, len(train), lengths(train).mean(), len(validation))
    return Corpus(train, validation, validation_lines, train)


def tokenize(lines: Dataset, encoder: "Encoder", num_proc: int | None = None) -> Dataset:
    """Tokenize lines and cut them into examples; see the head of this file."""
    prefixes = encoder.prefixes
    columns = {"id": Value("int64"), "word_characters": List(Value("int32")), "length": Value("int32")}
    columns |= {f"{prefix}{name}": List(Value("int32")) for prefix in prefixes for name in ("input_ids", "word_ids")}
    columns |= {name: List(Value(kind)) for name, kind in token_alignment.COLUMNS[encoder.alignment].items()}
    # Fast tokenizers hash differently in each process; their contents do not.
    made_of = [(one.backend_tokenizer.to_str(), one.special_tokens_map) for one in encoder.tokenizers]
    made_of += [lines._fingerprint, encoder.masking_unit, encoder.max_length, encoder.alignment, prefixes, FORMAT]
    return lines.map(
        encoder,
        batched=True,
        with_indices=True,
        with_rank=True,
        remove_columns=lines.column_names,
        features=Features(columns),
        num_proc=num_proc if num_proc != 1 else None,  # it forks for one process too, and gives that no rank
        new_fingerprint=Hasher.hash(made_of),
        desc="Tokenizing",
    )


class Reader:
    """A fast tokenizer that reads text without special tokens, and the special tokens it puts around an example."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        around = tokenizer("а", return_special_tokens_mask=True)
        ids, inner = np.array(around["input_ids"]), np.flatnonzero(np.array(around["special_tokens_mask"]) == 0)
        first, last = (inner[0], inner[-1] + 1) if len(inner) else (1, len(ids) - 1)
        self.around = ids[:first], ids[last:]  # special tokens before and behind an example

    def read(self, texts: list[str], borders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of all texts: their ids (tokens,) and the characters (tokens, 2) where each starts and ends.

        borders: where each text starts on the common axis of characters.
        """
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=True,  # "[MASK]" in a text is a word like any other
            verbose=False,  # no warning of long texts: they are cut afterwards
        )
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        base = np.repeat(borders[:-1], [len(text) for text in ids])
        flat = np.fromiter(itertools.chain.from_iterable(itertools.chain.from_iterable(offsets)), dtype=np.int64)
        return np.fromiter(itertools.chain.from_iterable(ids), dtype=np.int64), flat.reshape(-1, 2) + base[:, None]


@dataclass
class Encoder:
    """Makes examples of lines. `Dataset.map` or a stream calls it with a batch of lines."""

    tokenizers: Sequence[PreTrainedTokenizerBase]  # the student's and, where it differs, the teacher's
    masking_unit: str  # token, word, or text
    max_length: int
    alignment: str = "same"
    vocabulary: VocabularyMap | None = None  # of the first two tokenizers, for `match` and `reduce`
    prefixes: Sequence[str] = ("", "teacher_")  # of `input_ids` and `word_ids`, one for each tokenizer

    def __post_init__(self):
        self.prefixes = list(self.prefixes[: len(self.tokenizers)])
        self.readers = [Reader(tokenizer) for tokenizer in self.tokenizers]

    def __call__(self, batch: dict[str, list], indices: Sequence[int], rank: int | None = None) -> dict[str, Any]:
        """The columns of the examples of {"text": lines}. indices: of the lines; rank: of a forked process."""
        if rank is not None:  # a forked process would wait for ever for the threads of its parent
            torch.set_num_threads(1)
        ends = np.cumsum([len(line) for line in batch["text"]]) // TOGETHER  # of long lines a few at a time
        parts = np.split(np.arange(len(ends)), np.flatnonzero(np.diff(ends)) + 1)
        made = [self._columns([batch["text"][n] for n in part], [indices[n] for n in part]) for part in parts]
        if len(made) == 1:
            return made[0]
        return {name: list(itertools.chain.from_iterable(one[name] for one in made)) for name in made[0]}

    def _columns(self, texts: list[str], indices: Sequence[int]) -> dict[str, Any]:
        # All lines of the batch lie on one axis of characters, so that a few array operations serve for all of them.
        text = "\n".join(texts)
        borders = np.cumsum([0, *(len(line) + 1 for line in texts)])
        tokens = [reader.read(texts, borders) for reader in self.readers]
        starts = [offsets[:, 0] for _, offsets in tokens]
        words, units, word_starts = _hidden_words(text, [offsets for _, offsets in tokens], self.masking_unit)
        pairs = token_alignment.pair(text, tokens, self.alignment, self.vocabulary)
        inputs, specials = [*starts], [sum(map(len, reader.around)) for reader in self.readers]
        if self.alignment == "reduce":  # the student's second input has to fit, too
            inputs.append(np.repeat(starts[1], self.vocabulary.sizes.numpy()[pairs["spellings"]]))
            specials.append(specials[1])
        examples = cut_lines(text, borders, word_starts, inputs, [self.max_length - count for count in specials])
        lines, cuts, *spans = np.array([*examples], dtype=np.int64).reshape(-1, 4).T
        has_words = np.diff(np.searchsorted(words[:, 0], borders)) > 0
        if left_out := int(np.diff(borders)[has_words].sum() - np.diff(spans, axis=0).sum()):
            reason = "one model reads a word as a single token, another as more than `max_length`"
            logger.warning("%s characters are in no example: %s", f"{left_out:,}", reason)
        cut_inputs = [np.searchsorted(start, spans).T for start in inputs]  # first token and end of each example
        sizes = [np.diff(cut).ravel() + count for cut, count in zip(cut_inputs, specials, strict=True)]
        columns = {"id": np.array(indices, dtype=np.int64)[lines] * CUTS_PER_LINE + cuts}
        columns |= {"length": np.max(sizes, axis=0), "word_characters": _word_characters(text, words, *spans)}
        first_words = np.searchsorted(words[:, 1], spans[0], "right")
        of_readers = zip(self.prefixes, self.readers, tokens, units, cut_inputs, strict=False)
        for prefix, reader, (ids, offsets), unit, cut in of_readers:
            at = _words_at(offsets[:, 0], unit, words)
            of_examples = ((at[a:b], word) for (a, b), word in zip(cut, first_words, strict=True))
            word_ids = (np.where(at < 0, -1, np.maximum(at - word, 0)) for at, word in of_examples)
            before, after = reader.around
            columns[f"{prefix}input_ids"] = [np.concatenate([before, ids[a:b], after]) for a, b in cut]
            before, after = np.full_like(before, -1), np.full_like(after, -1)
            columns[f"{prefix}word_ids"] = [np.concatenate([before, inner, after]) for inner in word_ids]
        around = [reader.around for reader in self.readers]
        return columns | token_alignment.cut(pairs, around, cut_inputs, self.vocabulary)


def _hidden_words(
    text: str, offsets: list[np.ndarray], masking_unit: str
) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
    """Spans (words, 2) of the words to hide; for each tokenization spans of words that it joins; where words start.

    A tokenizer may drop characters: a word that one model never sees is not hidden. offsets: as for `_words`.
    """
    words = _words(text, offsets, masking_unit)
    for spans in offsets:
        words = words[np.bincount(_words_at(spans[:, 0], words, words) + 1, minlength=len(words) + 1)[1:] > 0]
    if masking_unit != "text":
        return words, [words] * len(offsets), words[:, 0]
    hidden = _words(text, [], "word")
    for first, end in (spans.T for spans in offsets):
        hidden = hidden[np.searchsorted(first, hidden[:, 1]) > np.searchsorted(end, hidden[:, 0], "right")]
    return hidden, [_words(text, [spans], "word") for spans in offsets], words[:, 0]


def _word_characters(text: str, words: np.ndarray, firsts: np.ndarray, ends: np.ndarray) -> list[np.ndarray]:
    """For each example how many characters its words have in it, without white space."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    before = np.cumsum(np.append(False, ~np.isin(codes, _SPACES)))
    first_words, end_words = np.searchsorted(words[:, 1], firsts, "right"), np.searchsorted(words[:, 0], ends)
    of_examples = zip(first_words, end_words, firsts, ends, strict=True)
    return [np.diff(before[np.clip(words[a:b], first, end)]).ravel() for a, b, first, end in of_examples]


def _words(text: str, offsets: list[np.ndarray], masking_unit: str) -> np.ndarray:
    """Spans (words, 2) of the characters to mask together, in order.

    With `masking_unit: token` each token is a word. Otherwise a word grows to the nearest borders that no token of any
    tokenization straddles. offsets: for each tokenization the characters (tokens, 2) where its tokens start and end.
    """
    if masking_unit == "token":
        return np.unique(offsets[0][offsets[0][:, 1] > offsets[0][:, 0]], axis=0)
    words = np.array([match.span() for match in _WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
    inside = np.zeros(len(text) + 2, dtype=np.int64)  # how many tokens start before a character and end after it
    for spans in offsets:
        spans = spans[spans[:, 1] > spans[:, 0]]
        inside += np.bincount(spans[:, 0] + 1, minlength=len(inside)) - np.bincount(spans[:, 1], minlength=len(inside))
    borders = np.unique(words)
    borders = borders[np.cumsum(inside)[borders] == 0]
    of_word = np.unique(np.searchsorted(borders, words[:, 0], side="right") - 1)
    return np.stack([borders[of_word], borders[of_word + 1]], axis=1)


def _words_at(starts: np.ndarray, units: np.ndarray, words: np.ndarray) -> np.ndarray:
    """For each token the index of the first word of the group that its first character lies in, or -1.

    units: spans (groups, 2) of words that one tokenization does not separate; words: spans (words, 2).
    """
    if not len(words) or not len(units):
        return np.full(len(starts), -1)
    unit = np.searchsorted(units[:, 0], starts, side="right") - 1
    word = np.searchsorted(words[:, 0], units[unit, 0]).clip(max=len(words) - 1)
    inside = (unit >= 0) & (starts < units[unit, 1])
    return np.where(inside & (words[word, 0] >= units[unit, 0]) & (words[word, 0] < units[unit, 1]), word, -1)


def lengths(examples: Any) -> np.ndarray:
    """Tokens (examples,) of the longest input of each example of a data set, or of its wrapper `CachedExamples`."""
    examples = getattr(examples, "examples", examples)
    return examples.with_format("numpy")["length"][:]


def check_unknown(share: float, tokenizer: PreTrainedTokenizerBase, max_unknown: float) -> None:
    """Raise UserError for a tokenizer to which too large a share of a corpus's tokens is unknown."""
    if share > max_unknown:
        raise UserError(
            f"{share:.1%} of the corpus are unknown tokens to {tokenizer.name_or_path!r}: use a tokenizer of "
            f"the corpus's language and alphabet, or raise `max_unknown` ({max_unknown:g})"
        )


def check_examples(examples: Dataset, encoder: Encoder, max_unknown: float) -> None:
    """Raise UserError for a tokenizer that does not know the corpus, and for two that share no token in it."""
    sample = evenly_spaced(examples, SAMPLE).with_format("numpy")
    for column, tokenizer in zip(("input_ids", "teacher_input_ids"), encoder.tokenizers, strict=False):
        ids = np.concatenate(sample[column][:])
        # Byte-level tokenizers have none: nothing equals None.
        check_unknown((ids == tokenizer.unk_token_id).mean(), tokenizer, max_unknown)
    if encoder.alignment != "same":
        token_alignment.check_compared(examples)
