"""Lines of a corpus become tokenized examples: cut at word boundaries, grouped into words.

An example is a row of

* `id`: the same for the same line and cut, whatever the batch, rank, or epoch;
* `input_ids`: tokens of the first tokenizer, special tokens included;
* `word_ids`: for each token its word (with `masking_unit: token`, the token itself), counted from 0, or -1 for tokens
  that are never masked (special tokens);
* `word_characters`: the number of characters of each word;
* `length`: tokens of the longest input, for length-grouped batches.

Of a second tokenizer, `teacher_input_ids` and `teacher_word_ids` hold its reading of the same characters; a word
is the same characters in both. Across vocabularies there is more: see `token_alignment.py`.
"""

import functools
import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
import torch
from datasets import Dataset, Features, List, Value
from datasets.fingerprint import Hasher
from torch.utils.data import IterableDataset
from transformers import PreTrainedTokenizerBase

from distillation.config.arguments import DataArguments
from distillation.config.errors import UserError
from distillation.corpus import cutting
from distillation.text.reading import load_lines
from distillation.text.sampling import SAMPLE, evenly_spaced, split_validation, without_repeats
from distillation.vocabularies import token_alignment
from distillation.vocabularies.mapping import VocabularyMap

logger = logging.getLogger(__name__)

FORMAT = 2  # of the columns: another number makes cached examples stale
CUTS_PER_LINE = 2**24  # ids of examples: line * CUTS_PER_LINE + cut
_PUNCTUATION = r"\p{P}!-/:-@\[-`{-~"  # BERT's notion: Unicode punctuation and every ASCII symbol
_WORD = regex.compile(rf"[^\s{_PUNCTUATION}]+|[{_PUNCTUATION}]")


@dataclass
class Corpus:
    """Tokenized examples to train on and, apart from them, cleaned lines and examples to evaluate on."""

    train: Dataset | IterableDataset
    validation: Dataset
    validation_lines: Dataset
    sample: Dataset  # training examples that stand for all: these themselves, or the first of a stream


def load_corpus(
    arguments: DataArguments,
    tokenizers: Sequence[PreTrainedTokenizerBase],
    masking_unit: str,
    alignment: str = "same",
    vocabulary: VocabularyMap | None = None,
) -> Corpus:
    """Read, clean, split, and tokenize the corpus that `arguments` name; each step is cached on disk.

    tokenizers: the student's and, where it differs, the teacher's; vocabulary: how they meet.

    No line to train on is held out as well.

    Raises UserError for a missing or unreadable file, no usable line, too many unknown tokens, or texts in which
    teacher and student have nothing to compare.
    """
    lines = load_lines(arguments, arguments.train_file, arguments.dataset_name)
    if arguments.validation_file:
        validation_lines = load_lines(arguments, arguments.validation_file, None)
        lines = without_repeats(lines, validation_lines)
    else:
        lines, validation_lines = split_validation(lines, arguments.validation_lines)
    encode = functools.partial(tokenize, tokenizers=tokenizers, masking_unit=masking_unit)
    encode = functools.partial(encode, max_length=arguments.max_length, alignment=alignment, vocabulary=vocabulary)
    train = encode(lines, num_proc=arguments.preprocessing_num_workers)
    validation = encode(validation_lines, num_proc=None)
    check_examples(train, tokenizers, alignment, arguments.max_unknown)
    logger.info(
        "corpus: %s training examples (mean length %.1f), %s validation examples",
        f"{len(train):,}",
        lengths(train).mean(),
        f"{len(validation):,}",
    )
    return Corpus(train, validation, validation_lines, train)


def tokenize(
    lines: Dataset,
    tokenizers: Sequence[PreTrainedTokenizerBase],
    masking_unit: str,
    max_length: int,
    num_proc: int | None = None,
    prefixes: Sequence[str] = ("", "teacher_"),
    alignment: str = "same",
    vocabulary: VocabularyMap | None = None,
) -> Dataset:
    """Tokenize lines with one or more tokenizers and cut them into examples; see the head of this file.

    prefixes: of the columns `input_ids` and `word_ids`, one for each tokenizer; vocabulary: of the first two
    tokenizers, where the alignment is `match` or `reduce`.
    """
    prefixes = prefixes[: len(tokenizers)]
    columns = {"id": Value("int64"), "word_characters": List(Value("int32")), "length": Value("int32")}
    columns |= {f"{prefix}{name}": List(Value("int32")) for prefix in prefixes for name in ("input_ids", "word_ids")}
    columns |= {name: List(Value(kind)) for name, kind in token_alignment.COLUMNS[alignment].items()}
    # Fast tokenizers do not hash alike in every process; what they are made of does.
    made_by = [(tokenizer.backend_tokenizer.to_str(), tokenizer.special_tokens_map) for tokenizer in tokenizers]
    how = dict(masking_unit=masking_unit, max_length=max_length, alignment=alignment)
    return lines.map(
        encoder(tokenizers, prefixes=prefixes, vocabulary=vocabulary, **how),
        batched=True,
        with_indices=True,
        with_rank=True,
        remove_columns=lines.column_names,
        features=Features(columns),
        num_proc=num_proc if num_proc and len(lines) > num_proc else None,
        new_fingerprint=Hasher.hash((lines._fingerprint, made_by, list(prefixes), how, FORMAT)),
        desc="Tokenizing",
    )


def encoder(
    tokenizers: Sequence[PreTrainedTokenizerBase],
    masking_unit: str,
    max_length: int,
    prefixes: Sequence[str] = ("", "teacher_"),
    alignment: str = "same",
    vocabulary: VocabularyMap | None = None,
) -> Callable[[dict[str, list], Sequence[int], int | None], dict[str, Sequence]]:
    """What tokenizes a batch of lines: a function of {"text": lines}, their indices, which make the `id`, and the rank
    of a forked process or None; it gives the columns of the examples. The keywords are those of `tokenize`."""
    readers = {prefix: Reader(tokenizer) for prefix, tokenizer in zip(prefixes, tokenizers, strict=False)}
    how = dict(masking_unit=masking_unit, max_length=max_length, alignment=alignment, vocabulary=vocabulary)
    return functools.partial(_encode, readers=readers, **how)


class Reader:
    """A fast tokenizer that reads text without special tokens, and the special tokens it puts around an example."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase):
        self.tokenizer = tokenizer
        around = tokenizer("а", return_special_tokens_mask=True)
        inner = np.flatnonzero(np.array(around["special_tokens_mask"]) == 0)
        first, last = (inner[0], inner[-1] + 1) if len(inner) else (1, len(around["input_ids"]) - 1)
        self.before, self.after = around["input_ids"][:first], around["input_ids"][last:]

    def read(self, texts: list[str], borders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of all texts: their ids (tokens,) and the characters (tokens, 2) where each starts and ends.

        borders: where each text begins on the common axis of characters.
        """
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=True,  # "[MASK]" in a text is a word like any other
            verbose=False,  # longer than the model takes: cut afterwards
        )
        ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
        base = np.repeat(borders[:-1], [len(text) for text in ids])
        flat = np.fromiter(itertools.chain.from_iterable(itertools.chain.from_iterable(offsets)), dtype=np.int64)
        return np.fromiter(itertools.chain.from_iterable(ids), dtype=np.int64), flat.reshape(-1, 2) + base[:, None]


def _encode(
    batch: dict[str, list],
    indices: list[int],
    rank: int | None,
    readers: dict[str, Reader],
    masking_unit: str,
    max_length: int,
    alignment: str,
    vocabulary: VocabularyMap | None,
):
    if rank is not None:  # a forked process would wait for ever for the threads of its parent
        torch.set_num_threads(1)
    # All lines of the batch lie on one axis of characters, so that a few array operations serve for all of them.
    text = "\n".join(batch["text"])
    borders = np.cumsum([0, *(len(line) + 1 for line in batch["text"])])
    tokens = [reader.read(batch["text"], borders) for reader in readers.values()]
    starts = [offsets[:, 0] for _, offsets in tokens]
    words = _words(text, [offsets for _, offsets in tokens], masking_unit)
    for start in starts:  # a tokenizer may drop characters: what one model does not see cannot be hidden from it
        words = words[np.bincount(_belonging(start, words) + 1, minlength=len(words) + 1)[1:] > 0]
    limits = [max_length - len(reader.before) - len(reader.after) for reader in readers.values()]
    pairs = {} if alignment == "same" else token_alignment.pair(text, *tokens, alignment, vocabulary)
    inputs, rooms = starts, limits  # that have to fit
    if alignment == "reduce":
        inputs = [*starts, np.repeat(starts[1], vocabulary.sizes.numpy()[pairs["spellings"]])]
        rooms = [*limits, limits[1]]
    ids, firsts, lasts = [], [], []
    for index, *line in zip(indices, borders[:-1], borders[1:], cutting.fitting(borders, inputs, rooms), strict=True):
        for cut, (first, last) in enumerate(cutting.cuts(text, *line, words[:, 0], inputs, rooms)):
            ids.append(index * CUTS_PER_LINE + cut)
            firsts.append(first)
            lasts.append(last)
    since, until = np.searchsorted(words[:, 1], firsts, "right"), np.searchsorted(words[:, 0], lasts)
    examples = {"id": ids, "word_characters": [], "length": np.zeros(len(ids), dtype=np.int64)}
    for a, b, first, last in zip(since, until, firsts, lasts, strict=True):
        examples["word_characters"].append(np.diff(np.clip(words[a:b], first, last)).ravel())
    spans = [list(zip(*(np.searchsorted(s, ends) for ends in (firsts, lasts)), strict=True)) for s in inputs]
    for (prefix, reader), (token_ids, _), start, cuts in zip(readers.items(), tokens, starts, spans, strict=False):
        belongs = _belonging(start, words)
        around = len(reader.before), len(reader.after)
        examples[f"{prefix}input_ids"] = [
            np.concatenate([reader.before, token_ids[a:b], reader.after]) for a, b in cuts
        ]
        examples[f"{prefix}word_ids"] = [
            np.concatenate([[-1] * around[0], np.maximum(belongs[a:b] - word, -1), [-1] * around[1]])
            for (a, b), word in zip(cuts, since, strict=True)
        ]
    around = [max_length - room for room in rooms]
    for cuts, specials in zip(spans, around, strict=True):
        examples["length"] = np.maximum(examples["length"], [b - a + specials for a, b in cuts])
    if alignment == "same":
        return examples
    partners = {theirs: ours for ours, theirs in vocabulary.special_ids}
    specials = [(reader.before, reader.after) for reader in readers.values()]
    if alignment == "match":
        return examples | token_alignment.cut_matches(pairs, *specials, *spans, partners)
    return examples | token_alignment.cut_spellings(pairs, specials[1], spans[1], partners)


def _words(text: str, offsets: list[np.ndarray], masking_unit: str) -> np.ndarray:
    """Spans (words, 2) of the characters to mask together, in order.

    A token stands for itself; a word is grown to the nearest borders that no token of any tokenization straddles.
    offsets: for each tokenization the characters (tokens, 2) where its tokens start and end.
    """
    if masking_unit == "token":
        spans = offsets[0][offsets[0][:, 1] > offsets[0][:, 0]]
        return np.unique(spans, axis=0)
    words = np.array([match.span() for match in _WORD.finditer(text)], dtype=np.int64).reshape(-1, 2)
    inside = np.zeros(len(text) + 2, dtype=np.int64)  # tokens that both begin before a character and go on behind it
    for spans in offsets:
        spans = spans[spans[:, 1] > spans[:, 0]]
        inside += np.bincount(spans[:, 0] + 1, minlength=len(inside)) - np.bincount(spans[:, 1], minlength=len(inside))
    borders = np.unique(words)
    borders = borders[np.cumsum(inside)[borders] == 0]
    of_word = np.unique(np.searchsorted(borders, words[:, 0], side="right") - 1)
    return np.stack([borders[of_word], borders[of_word + 1]], axis=1)


def _belonging(starts: np.ndarray, words: np.ndarray) -> np.ndarray:
    """For each token the index of the word that its first character lies in, -1 for none."""
    if not len(words):
        return np.full(len(starts), -1)
    index = np.searchsorted(words[:, 0], starts, side="right") - 1
    return np.where((index >= 0) & (starts < words[index, 1]), index, -1)


def lengths(examples: Any) -> np.ndarray:
    """Tokens (examples,) of the longest input of each example of a data set, or of one that adds to its rows."""
    examples = getattr(examples, "examples", examples)
    return examples.with_format("numpy")["length"][:]


def check_examples(
    examples: Dataset, tokenizers: Sequence[PreTrainedTokenizerBase], alignment: str, max_unknown: float
) -> None:
    """Refuse tokenizers that do not know the corpus or, where two are compared, never meet in it."""
    for column, tokenizer in zip(("input_ids", "teacher_input_ids"), tokenizers, strict=False):
        check_unknown(examples, column, tokenizer, max_unknown)
    if alignment != "same":
        token_alignment.check_compared(examples)


def check_unknown(examples: Dataset, column: str, tokenizer: PreTrainedTokenizerBase, max_unknown: float) -> None:
    """Refuse a tokenizer that does not know the corpus: its students would learn to predict the unknown token.

    Judged by `SAMPLE` evenly spaced examples.
    """
    if tokenizer.unk_token_id is None:
        return
    sample = evenly_spaced(examples, SAMPLE)
    ids = np.concatenate(sample.with_format("numpy")[column][:])
    unknown = (ids == tokenizer.unk_token_id).mean()
    if unknown > max_unknown:
        raise UserError(
            f"{unknown:.1%} of the corpus are unknown tokens to {tokenizer.name_or_path!r}: use a tokenizer of the "
            f"corpus's language and alphabet, or raise `max_unknown` ({max_unknown:g})"
        )
