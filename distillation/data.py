"""A corpus becomes tokenized examples: lines read and cleaned, cut at word boundaries, grouped into units to mask.

An example is a row of

* `id`: the same for the same line and cut, whatever the batch, rank, or epoch;
* `input_ids`: tokens of the first tokenizer, special tokens included;
* `units`: for each token the unit (word or token) it belongs to, counted from 0, or -1 for tokens that are never
  masked (special tokens);
* `unit_characters`: the number of characters of each unit;
* `length`: tokens of the longest input, for length-grouped batches.

Of a second tokenizer, `teacher_input_ids` and `teacher_units` hold its reading of the same characters; a unit is the
same characters in both.
"""

import functools
import glob
import inspect
import itertools
import logging
import re
import sys
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value, concatenate_datasets, load_dataset
from datasets.exceptions import DatasetGenerationError
from datasets.fingerprint import Hasher
from transformers import PreTrainedTokenizerBase

from distillation.arguments import DataArguments
from distillation.recipe import RecipeError

logger = logging.getLogger(__name__)

# File endings and the builder of `datasets` that reads them. Bytes that are not UTF-8 become U+FFFD, then nothing.
FORMATS = {
    ".txt": ("text", {"encoding_errors": "replace"}),
    # "utf8" and not "utf-8": under the latter name the builder takes the bytes as they are, and reading them fails.
    ".jsonl": ("json", {"encoding": "utf8", "encoding_errors": "replace"}),
    ".csv": ("csv", {"encoding_errors": "replace", "keep_default_na": False}),
    ".parquet": ("parquet", {}),
}
SAMPLE = 100_000  # examples that tell the share of unknown tokens
LONG_LINE = 1_000_000  # characters; longer lines are counted, and cut like any other
CUTS_PER_LINE = 2**24  # ids of examples: line * CUTS_PER_LINE + cut

_PUNCTUATION = "".join(  # BERT's notion: Unicode punctuation and every ASCII symbol
    re.escape(c)
    for c in map(chr, range(sys.maxunicode + 1))
    if unicodedata.category(c).startswith("P") or (c.isascii() and c.isprintable() and not c.isalnum() and c != " ")
)
_WORD = re.compile(rf"[^\s{_PUNCTUATION}]+|[{_PUNCTUATION}]")
_UNUSABLE = re.compile("[\ufffd\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass
class Corpus:
    """Tokenized examples to train on and, apart from them, cleaned lines and examples to evaluate on."""

    train: Dataset
    validation: Dataset
    validation_lines: Dataset


def load_corpus(arguments: DataArguments, tokenizers: Sequence[PreTrainedTokenizerBase], masking_unit: str) -> Corpus:
    """Read, clean, split, and tokenize the corpus that `arguments` name; each step is cached on disk.

    tokenizers: the student's and, where it differs, the teacher's.

    Raises RecipeError for a missing or unreadable file, no usable line, or too many unknown tokens.
    """
    lines = load_lines(arguments, arguments.train_file, arguments.dataset_name)
    if arguments.validation_file:
        validation_lines = load_lines(arguments, arguments.validation_file, None)
    else:
        lines, validation_lines = hold_out(lines, arguments.validation_lines)
    encode = functools.partial(tokenize, tokenizers=tokenizers, masking_unit=masking_unit)
    encode = functools.partial(encode, max_length=arguments.max_length)
    train = encode(lines, num_proc=arguments.preprocessing_num_workers)
    validation = encode(validation_lines, num_proc=None)
    for column, tokenizer in zip(("input_ids", "teacher_input_ids"), tokenizers, strict=False):
        check_unknown(train, column, tokenizer, arguments.max_unknown)
    logger.info(
        "corpus: %s training examples (mean length %.1f), %s validation examples",
        f"{len(train):,}",
        lengths(train).mean(),
        f"{len(validation):,}",
    )
    return Corpus(train, validation, validation_lines)


def load_lines(arguments: DataArguments, files: str | None, dataset_name: str | None) -> Dataset:
    """Cleaned, non-empty lines of text, as a dataset with the one column `text`."""
    if (files is None) == (dataset_name is None):
        raise RecipeError("name one corpus: `train_file` (a file, folder, or glob) or `dataset_name` (a Hub id)")
    source = files or dataset_name
    parts = _read_files(files) if files else [_read_hub(dataset_name, arguments.dataset_config_name)]
    lines = concatenate_datasets([_text_of(part, arguments.text_column, source) for part in parts])
    cleaned = lines.map(
        _clean,
        batched=True,
        num_proc=arguments.preprocessing_num_workers,
        features=Features({"text": Value("string"), "flaw": Value("int8")}),
        desc="Cleaning",
    )
    flaws = cleaned.with_format("numpy")["flaw"][:] if len(cleaned) else np.zeros(0, int)
    usable = cleaned.select(np.flatnonzero(flaws != EMPTY)).remove_columns("flaw")
    counts = {name: int((flaws & bit > 0).sum()) for name, bit in FLAWS.items()}
    if any(counts.values()):
        logger.warning("%s: %s", source, ", ".join(f"{n:,} {name}" for name, n in counts.items() if n))
    if not len(usable):
        raise RecipeError(f"{source} has no usable line of text; see `train_file`, `dataset_name`, and `text_column`")
    return usable


def _text_of(lines: Dataset, column: str, source: str) -> Dataset:
    """The one column `text`, of one type, so that files of several formats make one corpus."""
    if column not in lines.column_names:
        raise RecipeError(f"{source} has no column `{column}`; set `text_column` to one of {lines.column_names}")
    lines = lines.select_columns(column)
    if column != "text":
        lines = lines.rename_column(column, "text")
    return lines.cast_column("text", Value("string"))


EMPTY, INVALID, CONTROL, LONG = 1, 2, 4, 8
FLAWS = {
    "empty lines dropped": EMPTY,
    "lines with invalid UTF-8 mended": INVALID,
    "lines with NUL or control characters mended": CONTROL,
    "lines of over a million characters cut": LONG,
}


def _clean(batch: dict[str, list]) -> dict[str, list]:
    texts, flaws = [], []
    for value in batch["text"]:
        raw = "" if value is None else str(value)
        text = _UNUSABLE.sub("", raw).strip()
        flaw = INVALID * ("\ufffd" in raw) + CONTROL * (len(_UNUSABLE.findall(raw)) > raw.count("\ufffd"))
        flaw += LONG * (len(text) > LONG_LINE)
        texts.append(text)
        flaws.append(flaw if text else EMPTY)
    return {"text": texts, "flaw": flaws}


def _read_files(pattern: str) -> list[Dataset]:
    path = Path(pattern)
    if path.is_dir():
        files = sorted(str(file) for file in path.rglob("*") if file.is_file() and _ending(file.name))
    else:
        files = [pattern] if path.is_file() else sorted(glob.glob(pattern, recursive=True))
    if not files:
        raise RecipeError(f"no corpus at {pattern!r}: give a {', '.join(FORMATS)} (or .gz) file, a folder, or a glob")
    groups: dict[str, list[str]] = {}
    for file in files:
        ending = _ending(file)
        if ending is None:
            raise RecipeError(f"{file}: a corpus file ends in {', '.join(FORMATS)}, or one of these and .gz")
        if Path(file).stat().st_size:
            groups.setdefault(ending, []).append(file)
    if not groups:
        raise RecipeError(f"{pattern!r} has no usable line of text: every file is empty")
    parts = []
    for ending, group in groups.items():
        builder, options = FORMATS[ending]
        try:
            parts.append(load_dataset(builder, data_files=group, split="train", **options))
        except (DatasetGenerationError, OSError, ValueError) as error:
            cause = " ".join(str(error.__cause__ or error).split())
            raise RecipeError(f"corpus {pattern!r} cannot be read as {builder}: {cause}") from None
    return parts


def _ending(name: str) -> str | None:
    bare = str(name).removesuffix(".gz")
    return next((ending for ending in FORMATS if bare.endswith(ending)), None)


def _read_hub(name: str, configuration: str | None) -> Dataset:
    try:
        return load_dataset(name, configuration, split="train")
    except Exception as error:  # the hub client raises many types; all mean that this id gave no data
        raise RecipeError(f"dataset_name {name!r} cannot be loaded: {' '.join(str(error).split())}") from None


def hold_out(lines: Dataset, validation_lines: int) -> tuple[Dataset, Dataset]:
    """Set lines aside, a tenth of the corpus at most. The choice depends on no seed, so that runs compare."""
    size = min(validation_lines, len(lines) // 10)
    if size < 1:
        raise RecipeError(
            f"the corpus has {len(lines)} usable lines: too few to set some aside; "
            "give at least 10, or name a `validation_file`"
        )
    split = lines.train_test_split(test_size=size, seed=0)
    return split["train"], split["test"]


def tokenize(
    lines: Dataset,
    tokenizers: Sequence[PreTrainedTokenizerBase],
    masking_unit: str,
    max_length: int,
    num_proc: int | None = None,
    prefixes: Sequence[str] = ("", "teacher_"),
) -> Dataset:
    """Tokenize lines with one or more tokenizers and cut them into examples; see the head of this file.

    prefixes: of the columns `input_ids` and `units`, one for each tokenizer.
    """
    readers = {prefix: Reader(tokenizer) for prefix, tokenizer in zip(prefixes, tokenizers, strict=False)}
    columns = {"id": Value("int64"), "unit_characters": List(Value("int32")), "length": Value("int32")}
    columns |= {f"{prefix}{name}": List(Value("int32")) for prefix in readers for name in ("input_ids", "units")}
    # Fast tokenizers do not hash alike in every process; what they are and this very code do.
    made_by = [tokenizer.backend_tokenizer.to_str() for tokenizer in tokenizers]
    code = inspect.getsource(sys.modules[__name__])
    return lines.map(
        functools.partial(_encode, readers=readers, masking_unit=masking_unit, max_length=max_length),
        batched=True,
        with_indices=True,
        remove_columns=lines.column_names,
        features=Features(columns),
        num_proc=num_proc if num_proc and len(lines) > num_proc else None,
        new_fingerprint=Hasher.hash((lines._fingerprint, made_by, list(readers), masking_unit, max_length, code)),
        desc="Tokenizing",
    )


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
    batch: dict[str, list], indices: list[int], readers: dict[str, Reader], masking_unit: str, max_length: int
):
    # All lines of the batch lie on one axis of characters, so that a few array operations serve for all of them.
    text = "\n".join(batch["text"])
    borders = np.cumsum([0, *(len(line) + 1 for line in batch["text"])])
    tokens = [reader.read(batch["text"], borders) for reader in readers.values()]
    starts = [offsets[:, 0] for _, offsets in tokens]
    units = _units(text, [offsets for _, offsets in tokens], masking_unit)
    for start in starts:  # a tokenizer may drop characters: what one model does not see cannot be hidden from it
        units = units[np.bincount(_belonging(start, units) + 1, minlength=len(units) + 1)[1:] > 0]
    limits = [max_length - len(reader.before) - len(reader.after) for reader in readers.values()]
    ids, firsts, lasts = [], [], []
    for index, *line in zip(indices, borders[:-1], borders[1:], _fitting(borders, starts, limits), strict=True):
        for cut, (first, last) in enumerate(_cuts(text, *line, units[:, 0], starts, limits)):
            ids.append(index * CUTS_PER_LINE + cut)
            firsts.append(first)
            lasts.append(last)
    since, until = np.searchsorted(units[:, 1], firsts, "right"), np.searchsorted(units[:, 0], lasts)
    examples = {"id": ids, "unit_characters": [], "length": np.zeros(len(ids), dtype=np.int64)}
    for a, b, first, last in zip(since, until, firsts, lasts, strict=True):
        examples["unit_characters"].append(np.diff(np.clip(units[a:b], first, last)).ravel())
    for (prefix, reader), (token_ids, _), start in zip(readers.items(), tokens, starts, strict=True):
        belongs = _belonging(start, units)
        spans = list(zip(np.searchsorted(start, firsts), np.searchsorted(start, lasts), strict=True))
        around = len(reader.before), len(reader.after)
        examples[f"{prefix}input_ids"] = [
            np.concatenate([reader.before, token_ids[a:b], reader.after]) for a, b in spans
        ]
        examples[f"{prefix}units"] = [
            np.concatenate([[-1] * around[0], np.maximum(belongs[a:b] - unit, -1), [-1] * around[1]])
            for (a, b), unit in zip(spans, since, strict=True)
        ]
        examples["length"] = np.maximum(examples["length"], [b - a + sum(around) for a, b in spans])
    return examples


def _units(text: str, offsets: list[np.ndarray], masking_unit: str) -> np.ndarray:
    """Spans (units, 2) of the characters to mask together, in order.

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


def _belonging(starts: np.ndarray, units: np.ndarray) -> np.ndarray:
    """For each token the index of the unit that its first character lies in, -1 for none."""
    if not len(units):
        return np.full(len(starts), -1)
    index = np.searchsorted(units[:, 0], starts, side="right") - 1
    return np.where((index >= 0) & (starts < units[index, 1]), index, -1)


def _fitting(borders: np.ndarray, starts: list[np.ndarray], limits: list[int]) -> np.ndarray:
    """Which lines fit in one example in every tokenization."""
    counts = [np.diff(np.searchsorted(s, borders)) for s in starts]
    return np.all([count <= limit for count, limit in zip(counts, limits, strict=True)], axis=0)


def _cuts(
    text: str, first: int, end: int, fits: bool, units: np.ndarray, starts: list[np.ndarray], limits: list[int]
) -> list[tuple[int, int]]:
    """Spans of a line's characters whose tokens fit the limits in every tokenization, in order.

    They end before a white-spaced unit where possible, else before any unit, else (inside a word longer than an
    example) before a token. Characters that one tokenization cannot show within its limit are left out of all.

    first, end: the characters of the line; units, starts: where units start and, for each tokenization, tokens.
    """
    units = units[slice(*np.searchsorted(units, (first, end)))]
    if not len(units) or fits:
        return [(first, end)] if len(units) else []
    starts = [s[slice(*np.searchsorted(s, (first, end)))] for s in starts]
    # The space may lie before the unit or, where tokens hold the space before their word, open it.
    spaced = units[[any(map(str.isspace, text[start - 1 : start + 1])) for start in units]]
    tokens = functools.reduce(np.intersect1d, starts)
    cuts = []
    while first < end:
        over = [np.searchsorted(s, first) + limit for s, limit in zip(starts, limits, strict=True)]
        reach = min(s[i] if i < len(s) else end for s, i in zip(starts, over, strict=True))
        found = (reach if reach == end else _last(borders, first, reach) for borders in (spaced, units, tokens))
        last = next((int(border) for border in found if border is not None), None)
        if last is not None:
            cuts.append((first, last))
        first = last or next((int(token) for token in tokens if token > first), end)
    return cuts


def _last(borders: np.ndarray, first: int, reach: int) -> int | None:
    """The last border behind `first` and no further than `reach`."""
    index = np.searchsorted(borders, reach, side="right") - 1
    return borders[index] if index >= 0 and borders[index] > first else None


def lengths(examples: Dataset) -> np.ndarray:
    """Tokens (examples,) of the longest input of each example."""
    return examples.with_format("numpy")["length"][:]


def check_unknown(examples: Dataset, column: str, tokenizer: PreTrainedTokenizerBase, max_unknown: float) -> None:
    """Refuse a tokenizer that does not know the corpus: its students would learn to predict the unknown token.

    Judged by `SAMPLE` examples spread over the corpus.
    """
    if tokenizer.unk_token_id is None:
        return
    sample = examples.select(range(0, len(examples), -(-len(examples) // SAMPLE)))
    ids = np.concatenate(sample.with_format("numpy")[column][:])
    unknown = (ids == tokenizer.unk_token_id).mean()
    if unknown > max_unknown:
        raise RecipeError(
            f"{unknown:.1%} of the corpus are unknown tokens to {tokenizer.name_or_path!r}: use a tokenizer of the "
            f"corpus's language and alphabet, or raise `max_unknown` ({max_unknown:g})"
        )
