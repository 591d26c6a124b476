"""The teacher's outputs for a corpus, on disk, so that later epochs and other students learn without running it.

A folder holds `cache.json`, which describes what it was made of, and Arrow files. For each cached epoch, and for the
held-out examples, they have one row per example, masked as in that epoch. A row holds

* at the positions of the KL `samples` of the teacher's predictions (`SampledPredictions`: bytes), or `states`, the
  inputs of its projection to its vocabulary, which give the predictions again;
* `hidden_groups`, `hidden_last`, `hidden_average`, `attentions`: those of `Targets`, if a term needs them.

States and maps have 8 bits a number (`eight_bits`). Training cycles through the epochs. The masks depend on neither
the seed nor the terms, so that runs with other seeds or fewer terms can read the same cache. Samples are those of one
temperature.

Processes fill a cache together: the ranks of a run, and several runs. A file is locked while it is made, so that no
two make the same one. The lock of a killed process is free: another process makes the file again.
"""

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from distillation.config.arguments import CacheArguments, MaskingArguments, ObjectiveArguments
from distillation.config.errors import LocalError, UserError, one_line
from distillation.corpus.examples import Corpus, lengths
from distillation.corpus.masking import draw_actions
from distillation.models.teacher import identity
from distillation.runs.files import alone_with, digest, is_free, remove_drafts, replacing, write_json

logger = logging.getLogger(__name__)

SEED = 1503  # of the masks; not the evaluation's
FORMAT = 6  # of the rows, the masks, and the description; raise it to make caches unusable
DIGESTS = ("format", "teacher", "tokenizers", "corpus", "numpy")  # values of the description that errors do not show
PART = 4096  # examples of a file; an interrupted pass repeats at most these
SORTED = 16  # batches that are sorted by length together, and written together
# Columns; of `HIDDEN` one for each view of the layers.
SAMPLES, STATES, HIDDEN, MAPS = "samples", "states", "hidden_", "attentions"

Row = dict[str, np.ndarray]
Query = Callable[[list[dict[str, Any]]], list[Row]]  # the teacher's outputs for some examples, a row for each


def open_cache(
    arguments: CacheArguments,
    objective: ObjectiveArguments,
    masking: MaskingArguments,
    teacher: PreTrainedModel,
    student_layers: int,
    tokenizers: Sequence[PreTrainedTokenizerBase],
    corpus: Corpus,
    may_create: bool = True,
) -> "TeacherCache":
    """The cache that a recipe names, new or checked.

    student_layers: groups of the teacher's layers; may_create: True in the first of several processes.
    Raises UserError for a folder that was made from other inputs.
    """
    has_kl = objective.needs("predictions")
    # Draws from a whole large vocabulary are too noisy for small batches (benchmarks/results/teacher_cache.md).
    targets = arguments.teacher_cache_targets or (STATES if objective.alignment == "same" else SAMPLES)
    names = ["alignment", "teacher_input"]
    names += ["kl_positions", "kl_position_fraction"] * has_kl
    description = {name: getattr(objective, name) for name in names} | dataclasses.asdict(masking)
    if objective.uses_groups:
        description["student_layers"] = student_layers
    if has_kl and targets == SAMPLES:
        description["temperature"] = objective.temperature
        description["vocabulary_map"] = objective.vocabulary_map or "ordered"  # it chooses the candidates
    description |= {
        "format": FORMAT,
        "teacher": digest(identity(teacher, teacher.config.to_dict())),
        "tokenizers": digest(t.backend_tokenizer.to_str().encode() for t in tokenizers),
        "corpus": digest(part for examples in (corpus.train, corpus.validation) for part in _contents(examples)),
        "numpy": digest([draw_actions(100, None, 0.5, np.random.default_rng(SEED))]),  # its generators may change
        "holds": [targets] * has_kl
        + [HIDDEN + view for view in objective.hidden_views]
        + [MAPS] * objective.needs("maps"),
    }
    return TeacherCache(arguments.teacher_cache, description, arguments.teacher_cache_epochs, may_create)


def _contents(examples: Dataset) -> Iterator[Any]:
    for table in examples.with_format("arrow").iter(batch_size=10_000):
        for name, column in zip(table.column_names, table.columns, strict=True):
            yield name.encode()
            if pa.types.is_list(column.type):
                yield np.ascontiguousarray(pc.list_value_length(column).to_numpy())
                column = pc.list_flatten(column)
            yield np.ascontiguousarray(column.to_numpy())


class TeacherCache:
    """The folder of a cache, what it was made of, and the columns that it `holds`."""

    def __init__(self, folder: str, description: dict[str, Any], epochs: int = 1, may_create: bool = True):
        """epochs: number of wanted epochs, each with its own masks. Raises UserError like `open_cache`."""
        self.folder, self.name = Path(folder), f"`teacher_cache` {folder!r}"
        self.columns = self.holds = description["holds"]  # columns that are read, columns that are there
        self.epochs = epochs
        path = self.folder / "cache.json"
        if not path.exists():
            if not may_create:
                raise LocalError(
                    f"{self.name} exists for the first process alone: name a folder that all machines share"
                )
            self._create(path, description)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            self.holds = list(found["holds"])
        except (OSError, ValueError, KeyError, TypeError):
            raise UserError(f"`teacher_cache`: {path} cannot be read; remove the folder, or name another") from None
        made_with = [
            f"another {name}" if name in DIGESTS else f"`{name}` {found.get(name)!r} and not {value!r}"
            for name, value in description.items()
            if name != "holds" and found.get(name) != value
        ]
        made_with += [f"no {name}" for name in self.columns if name not in self.holds]
        if made_with:
            raise UserError(f"{self.name} was made with {', '.join(made_with)}: name another folder for this run")

    def _create(self, path: Path, description: dict[str, Any]) -> None:
        """Write cache.json, unless another run makes it; nothing is written into a folder of something else."""
        if not is_free(self.folder) and not path.exists():
            raise UserError(f"{self.name} is no cache and no empty folder: name a new one")
        with self._refuse_unwritable(), alone_with(path, wait=True):
            if not path.exists():
                write_json(path, description)

    def fill(
        self, name: str, examples: Dataset, batch_size: int, query: Query, rank: int, ranks: int, wait: bool
    ) -> None:
        """Write the missing rows of an epoch, or of the held-out examples. Each rank begins with its share of files.

        wait: also wait for the files that other processes make. Without, these may be missing at the end.
        """
        parts = [part for part in range(-(-len(examples) // PART)) if not self._file(name, part).exists()]
        parts.sort(key=lambda part: (part - rank) % ranks)
        if parts and self.holds != self.columns:
            raise LocalError(
                f"{self.name} is incomplete, and was begun with more terms ({self.holds}): "
                "finish it with these, wait for the run that does, or name another folder"
            )
        if parts and wait:
            logger.info("teacher cache: waiting for other processes, which make %d files of %s", len(parts), name)
        longest = int(lengths(examples).max(initial=1))
        for part in tqdm(parts, desc=f"Teacher, {name}", unit="part", disable=rank > 0 or not parts):
            file = self._file(name, part)
            with self._refuse_unwritable(), alone_with(file, wait) as is_alone:
                if is_alone and not file.exists():
                    remove_drafts(file)
                    chosen = examples.select(range(part * PART, min((part + 1) * PART, len(examples))))
                    self._write(file, _rows(chosen, batch_size, longest, query))
                    if (name, part) == ("epoch-0", 0):
                        self._check_space(file, self.epochs * len(examples) / len(chosen) - 1)

    def _write(self, file: Path, batches: Iterable[list[Row]]) -> None:
        schema = pa.schema({column: pa.large_list(pa.uint8()) for column in self.columns})
        with replacing(file) as draft, pa.ipc.new_file(str(draft), schema) as writer:
            for rows in batches:
                writer.write_batch(pa.RecordBatch.from_pylist(rows, schema=schema))

    @contextmanager
    def _refuse_unwritable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LocalError(
                f"{self.name} cannot be written ({error.strerror}); every file that is there is complete: "
                "make room, or name another folder, and start again"
            ) from None

    def _check_space(self, file: Path, more: float) -> None:
        """Refuse now a corpus that will not fit. more: how many times as much as this file is still needed."""
        needed = more * file.stat().st_size / 2**30
        free = shutil.disk_usage(self.folder).free / 2**30
        logger.info("teacher cache: about %.1f GiB more are needed, %.1f GiB are free", needed, free)
        if needed > free:
            raise LocalError(
                f"{self.name} needs {needed:.0f} GiB more, and {free:.0f} are free: name a folder elsewhere, "
                "or store less (`kl_positions`, `kl_position_fraction`, fewer terms)"
            )

    def rows(self, name: str, count: int) -> pa.Table:
        """All rows that `fill` wrote, mapped into memory; see `row_of`. Raises UserError for a damaged file."""
        tables = []
        try:
            for part in range(-(-count // PART)):
                # The table outlives the open file: there may be more files than a process may open.
                with pa.memory_map(str(self._file(name, part))) as source:
                    tables.append(pa.ipc.open_file(source).read_all().select(self.columns))
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise LocalError(
                f"{self.name} is incomplete ({one_line(error)}); remove the damaged file, and start again"
            ) from None
        return pa.concat_tables(tables)

    def _file(self, name: str, part: int) -> Path:
        return self.folder / f"{name}-{part:05d}.arrow"


def row_of(table: pa.Table, index: int) -> Row:
    """One row of `TeacherCache.rows`; its arrays cannot be written to."""
    return {name: table[name][index].values.to_numpy() for name in table.column_names}


def _rows(examples: Dataset, batch_size: int, longest: int, query: Query) -> Iterator[list[Row]]:
    """Rows in the order of the examples, some batches at a time. The examples of a batch are of similar length.

    A batch has at most the padded tokens of `batch_size` examples of the `longest` length: memory is for these.
    """
    for start in range(0, len(examples), SORTED * batch_size):
        chunk = list(examples.select(range(start, min(start + SORTED * batch_size, len(examples)))))
        rows: dict[int, Row] = {}
        for batch in _batches([example["length"] for example in chunk], batch_size * longest):
            rows |= zip(batch, query([chunk[index] for index in batch]), strict=True)
        yield [rows[index] for index in range(len(chunk))]


def _batches(sizes: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices of examples of these sizes, sorted by size, in batches of at most so many tokens, padding included."""
    batches: list[list[int]] = [[]]
    for index in sorted(range(len(sizes)), key=lambda index: sizes[index]):
        if batches[-1] and (len(batches[-1]) + 1) * sizes[index] > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
