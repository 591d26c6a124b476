"""The teacher's outputs for a corpus, on disk, so that later epochs and other students learn without running it.

A folder holds `cache.json`, which says what it was made of, and Arrow files: for each of a number of epochs, and for
the held-out examples, a row an example, all masked as that epoch masks them. A row holds

* at the positions of the KL, `states`: what enters the teacher's projection to its vocabulary, so that its prediction
  can be made again;
* `hidden_groups`, `hidden_last`, `hidden_average`, `attentions`: those of `Targets`, if a term needs them.

Numbers are in half precision. Training cycles through the epochs. The masks depend on no seed, so that runs of several
seeds share a cache; nor on the terms, so that a run of fewer terms reads a cache of more.
"""

import dataclasses
import json
import logging
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from distillation.config.arguments import CacheArguments, MaskingArguments, ObjectiveArguments
from distillation.config.errors import LocalError, UserError, one_line
from distillation.corpus.examples import Corpus
from distillation.corpus.masking import draw_actions
from distillation.models.mlm_head import vocabulary_projection
from distillation.runs.files import replacing, write_json

logger = logging.getLogger(__name__)

SEED = 2205  # of the masks
FORMAT = 3  # of the rows, the masks, and the description: another number makes a cache unusable
DESCRIPTION = "cache.json"
DIGESTS = ("format", "teacher", "tokenizers", "corpus", "numpy")  # in the description, without a meaning for people
PART = 4096  # examples of a file: what an interrupted pass has to do again, at most
SORTED = 16  # batches that are sorted by length together, and written together
STATES, HIDDEN, MAPS = "states", "hidden_", "attentions"  # columns; of the second, one for each view of the layers

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
    """The cache that a recipe names, new or checked. student_layers: groups of the teacher's layers; may_create: of
    several processes, the first.

    Raises UserError for a folder whose contents were made of something else.
    """
    has_kl = "kl" in objective.terms
    if has_kl and vocabulary_projection(teacher, {"input_ids": torch.zeros(1, 2, dtype=torch.long)}) is None:
        raise UserError(
            "`teacher_cache`: this teacher's predictions are not made of states by one linear layer: leave it out"
        )
    decisive = ["alignment", "teacher_input"] + ["kl_positions", "kl_position_fraction"] * has_kl
    decisive = {name: getattr(objective, name) for name in decisive} | dataclasses.asdict(masking)
    if objective.uses_groups:
        decisive["student_layers"] = student_layers
    description = decisive | {
        "format": FORMAT,
        "teacher": _digest([_config(teacher), *_weights(teacher)]),
        "tokenizers": _digest(t.backend_tokenizer.to_str().encode() for t in tokenizers),
        "corpus": _digest(part for examples in (corpus.train, corpus.validation) for part in _contents(examples)),
        "numpy": _digest([draw_actions(100, None, 0.5, np.random.default_rng(SEED))]),  # its generators may change
        "holds": [STATES] * has_kl
        + [HIDDEN + view for view in objective.hidden_views]
        + [MAPS] * objective.needs_attentions,
    }
    return TeacherCache(arguments.teacher_cache, description, arguments.teacher_cache_epochs, may_create)


def _digest(parts: Iterable[Any]) -> str:
    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _config(model: PreTrainedModel) -> bytes:
    """What a model's config says of its computation, but not where it came from."""
    config = model.config.to_dict()
    for name in ("_name_or_path", "transformers_version", "dtype", "architectures"):
        config.pop(name, None)
    return json.dumps(config, sort_keys=True, default=str).encode()


def _weights(model: PreTrainedModel) -> Iterator[Any]:
    for name, tensor in sorted(model.state_dict().items()):
        yield name.encode()
        yield tensor.cpu().flatten().view(torch.uint8).numpy().data


def _contents(examples: Dataset) -> Iterator[Any]:
    for table in examples.with_format("arrow").iter(batch_size=10_000):
        for name, column in zip(table.column_names, table.columns, strict=True):
            yield name.encode()
            if pa.types.is_list(column.type):
                yield np.ascontiguousarray(pc.list_value_length(column).to_numpy()).data
                column = pc.list_flatten(column)
            yield np.ascontiguousarray(column.to_numpy()).data


class TeacherCache:
    """The folder, described by what it is made of and by the columns that it `holds`."""

    def __init__(self, folder: str, description: dict[str, Any], epochs: int = 1, may_create: bool = True):
        """epochs: with masks of their own, as many as are wanted. Raises UserError like `open_cache`."""
        self.folder, self.name = Path(folder), f"`teacher_cache` {folder!r}"
        self.columns = self.holds = description["holds"]  # those that are read, those that are there
        self.epochs = epochs
        path = self.folder / DESCRIPTION
        if self.folder.is_file():
            raise UserError(f"{self.name} is a file: name a folder")
        if path.exists():
            self._check(path, description)
        elif not may_create:
            raise LocalError(f"{self.name} is not the folder that the first process sees: share it")
        elif self.folder.exists() and any(not file.name.startswith(".") for file in self.folder.iterdir()):
            raise UserError(f"{self.name} is not empty and no cache: name a new folder")
        else:
            write_json(path, description)

    def _check(self, path: Path, description: dict[str, Any]) -> None:
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

    def fill(self, name: str, examples: Dataset, batch_size: int, query: Query, rank: int = 0, ranks: int = 1) -> None:
        """Write the rows of the examples that are not there yet; of several ranks each writes its share of the files.

        name: of the epoch, or of the held-out examples.
        """
        parts = range(rank, -(-len(examples) // PART), ranks)
        parts = [part for part in parts if not self._file(name, part).exists()]
        if parts and self.holds != self.columns:
            raise LocalError(
                f"{self.name} is incomplete, and was begun with more terms ({self.holds}): "
                "finish it with these, or name another folder"
            )
        for part in tqdm(parts, desc=f"Teacher, {name}", unit="part", disable=rank > 0 or not parts):
            chosen = examples.select(range(part * PART, min((part + 1) * PART, len(examples))))
            try:
                with replacing(self._file(name, part)) as draft:
                    _write(draft, _rows(chosen, batch_size, query))
            except OSError as error:
                raise LocalError(
                    f"{self.name} cannot be written ({error.strerror}); every file that is there is complete: "
                    "make room, and start again"
                ) from None
            if name == "epoch-0" and part == 0:
                self._check_room(self._file(name, part).stat().st_size, len(examples))

    def _check_room(self, size: int, count: int) -> None:
        """Refuse a corpus that will not fit, as soon as the first file tells its size."""
        needed, free = size * (self.epochs * count / min(PART, count) - 1), shutil.disk_usage(self.folder).free
        logger.info("teacher cache: about %.1f GiB are to come, %.1f GiB are free", needed / 2**30, free / 2**30)
        if needed > free:
            raise LocalError(
                f"{self.name} needs {needed / 2**30:.0f} GiB more, and {free / 2**30:.0f} are "
                "free: name a folder elsewhere, or keep less (`kl_positions`, `kl_position_fraction`, fewer terms)"
            )

    def rows(self, name: str, count: int) -> "Rows":
        """Those of an epoch, or of the held-out examples. Raises UserError where files are missing or torn."""
        files = [self._file(name, part) for part in range(-(-count // PART))]
        try:
            rows = Rows(files, self.columns)
        except (FileNotFoundError, pa.ArrowInvalid) as error:
            raise LocalError(
                f"{self.name} is incomplete ({one_line(error)}); remove the file that is torn, and start again"
            ) from None
        if len(rows) != count:
            raise LocalError(f"{self.name} holds {len(rows)} of {count} rows; remove it")
        return rows

    def _file(self, name: str, part: int) -> Path:
        return self.folder / f"{name}-{part:05d}.arrow"

    def bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in self.folder.glob("*.arrow"))


def _rows(examples: Dataset, batch_size: int, query: Query) -> Iterator[list[Row]]:
    """In order, some batches at a time; a batch is of examples of like length."""
    for begin in range(0, len(examples), SORTED * batch_size):
        chunk = list(examples.select(range(begin, min(begin + SORTED * batch_size, len(examples)))))
        order = sorted(range(len(chunk)), key=lambda i: chunk[i]["length"])
        found: dict[int, Row] = {}
        for first in range(0, len(order), batch_size):
            indices = order[first : first + batch_size]
            found |= zip(indices, query([chunk[i] for i in indices]), strict=True)
        yield [found[i] for i in range(len(chunk))]


def _write(path: Path, chunks: Iterator[list[Row]]) -> None:
    writer = None
    for rows in chunks:
        columns = {}
        for name in rows[0]:
            ends = np.cumsum([0, *(len(row[name]) for row in rows)])
            values = pa.array(np.concatenate([row[name] for row in rows]))
            columns[name] = pa.LargeListArray.from_arrays(pa.array(ends), values)
        batch = pa.RecordBatch.from_pydict(columns)
        writer = writer or pa.ipc.new_file(str(path), batch.schema)
        writer.write_batch(batch)
    writer.close()


class Rows(Sequence):
    """Some columns of the rows of Arrow files, one after the other, mapped into memory."""

    def __init__(self, files: Sequence[Path], names: Sequence[str]):
        self.names = names
        self.batches = []
        for file in files:
            with pa.memory_map(str(file)) as source:  # which the batches outlive: there may be thousands of files
                reader = pa.ipc.open_file(source)
                self.batches += [reader.get_batch(i) for i in range(reader.num_record_batches)]
        self.ends = np.cumsum([batch.num_rows for batch in self.batches])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, index: int) -> Row:
        batch = int(np.searchsorted(self.ends, index, side="right"))
        row = index - (int(self.ends[batch - 1]) if batch else 0)
        return {name: self.batches[batch].column(name)[row].values.to_numpy() for name in self.names}
