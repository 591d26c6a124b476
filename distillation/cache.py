"""What a teacher says of a corpus, kept on disk, so that later epochs and other students learn without running it.

A folder holds `cache.json`, which says what it was made of, and Arrow files: for each of a number of epochs, and for
the held-out examples, a row an example, all masked as that epoch masks them. A row holds

* at the positions of the KL, `states`: what enters the teacher's projection to its vocabulary, so that its prediction
  can be made again; or, smaller and not the same, `candidates` and `log_probabilities`: the likeliest tokens
  (`vocabulary_kl.Top`);
* `hidden_groups`, `hidden_last`, `hidden_average`, `attentions`: what `Targets` have so, if a term asks for it.

Numbers are in half precision.
Later epochs take the kept ones in turn. The masks depend on no seed, so that runs of several seeds share a cache.
"""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
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

from distillation.arguments import CacheArguments, MaskingArguments, ObjectiveArguments
from distillation.data import Corpus
from distillation.recipe import RecipeError

SEED = 2205  # of the masks
FORMAT = 1
DESCRIPTION = "cache.json"
PART = 4096  # examples of a file: what an interrupted pass has to do again, at most
AT_ONCE = 16  # batches that are sorted by length together, and written together
STATES, OF_A_TOP = "states", ("candidates", "log_probabilities")  # columns of the KL

Row = dict[str, np.ndarray]
Ask = Callable[[list[dict[str, Any]]], list[Row]]


def open_cache(
    arguments: CacheArguments,
    objective: ObjectiveArguments,
    masking: MaskingArguments,
    teacher: PreTrainedModel,
    student_layers: int,
    tokenizers: Sequence[PreTrainedTokenizerBase],
    corpus: Corpus,
) -> "TeacherCache":
    """The cache that a recipe names, new or checked. student_layers: groups of the teacher's layers.

    Raises RecipeError for a folder whose contents were made of something else.
    """
    read, of_the_kl = ["alignment", "kl_positions", "kl_position_fraction", "teacher_input"], [STATES]
    if arguments.teacher_cache_top_k is not None:
        read, of_the_kl = [*read, "temperature", "vocabulary_map"], list(OF_A_TOP)
    holds = of_the_kl * ("kl" in objective.terms) + [f"hidden_{view}" for view in objective.hidden_views]
    description = {
        "format": FORMAT,
        "teacher": _digest(_weights(teacher)),
        "tokenizers": _digest(t.backend_tokenizer.to_str().encode() for t in tokenizers),
        "corpus": [_digest(_contents(part)) for part in (corpus.train, corpus.validation)],
        "masking": dataclasses.asdict(masking),
        "objective": {name: getattr(objective, name) for name in read},
        "student_layers": student_layers,
        "teacher_cache_epochs": arguments.teacher_cache_epochs,
        "teacher_cache_top_k": arguments.teacher_cache_top_k,
        "holds": holds + ["attentions"] * objective.needs_attentions,
    }
    return TeacherCache(arguments.teacher_cache, description)


def _digest(parts: Iterator[Any]) -> str:
    digest = sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


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

    def __init__(self, folder: str, description: dict[str, Any]):
        """Raises RecipeError like `open_cache`."""
        self.folder = Path(folder)
        self.description = description
        self.held = description["holds"]
        path = self.folder / DESCRIPTION
        if path.exists():
            self._check(path)
        else:
            if self.folder.exists() and any(self.folder.iterdir()):
                raise RecipeError(f"`teacher_cache` {folder!r} is not empty and no cache: name a new folder")
            self.folder.mkdir(parents=True, exist_ok=True)
            _write_whole(path, lambda draft: draft.write_text(json.dumps(description, indent=2) + "\n"))

    @property
    def epochs(self) -> int:
        """With masks of their own."""
        return self.description["teacher_cache_epochs"]

    @property
    def top_k(self) -> int | None:
        """Candidates kept at a position; None where states are."""
        return self.description["teacher_cache_top_k"]

    def _check(self, path: Path) -> None:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            self.held = list(found["holds"])
        except (OSError, ValueError, KeyError, TypeError):
            raise RecipeError(f"`teacher_cache`: {path} cannot be read; remove the folder, or name another") from None
        wanted = {name: value for name, value in self.description.items() if name != "holds"}
        other = [name for name, value in wanted.items() if found.get(name) != value]
        other += [name for name in self.description["holds"] if name not in self.held]
        if other:
            raise RecipeError(
                f"`teacher_cache` {str(self.folder)!r} was made of something else: {', '.join(other)} differ; name "
                "another folder for this run"
            )

    def fill(
        self,
        name: str,
        examples: Dataset,
        batch_size: int,
        ask: Ask,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Write the rows of the examples that are not there yet; of several ranks each writes its share of the files.

        ask: what the teacher says of some examples, a row for each.
        """
        parts = range(rank, -(-len(examples) // PART), ranks)
        parts = [part for part in parts if not self._file(name, part).exists()]
        if parts and self.held != self.description["holds"]:
            raise RecipeError(
                f"`teacher_cache` {str(self.folder)!r} is incomplete, and was begun with more terms ({self.held}): "
                "finish it with these, or name another folder"
            )
        for part in tqdm(parts, desc=f"Teacher, {name}", unit="part", disable=rank > 0 or not parts):
            chosen = examples.select(range(part * PART, min((part + 1) * PART, len(examples))))

            def write(draft: Path, chosen: Dataset = chosen) -> None:
                writer = None
                for rows in _rows(chosen, batch_size, ask):
                    table = _table(rows)
                    writer = writer or pa.ipc.new_file(str(draft), table.schema)
                    writer.write_batch(table)
                writer.close()

            _write_whole(self._file(name, part), write)

    def rows(self, name: str, count: int) -> "Rows":
        """Those of an epoch, or of the held-out examples. Raises RecipeError where files are missing or torn."""
        files = [self._file(name, part) for part in range(-(-count // PART))]
        try:
            rows = Rows(files, self.description["holds"])
        except (OSError, pa.ArrowInvalid) as error:
            raise RecipeError(f"`teacher_cache` {str(self.folder)!r} is incomplete ({error}); remove it") from None
        if len(rows) != count:
            raise RecipeError(f"`teacher_cache` {str(self.folder)!r} holds {len(rows)} of {count} rows; remove it")
        return rows

    def _file(self, name: str, part: int) -> Path:
        return self.folder / f"{name}-{part:05d}.arrow"

    def bytes(self) -> int:
        """Of all files."""
        return sum(file.stat().st_size for file in self.folder.glob("*.arrow"))


def _write_whole(path: Path, write: Callable[[Path], Any]) -> None:
    """Under another name first: a file with its own is a whole one."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _rows(examples: Dataset, batch_size: int, ask: Ask) -> Iterator[list[Row]]:
    """In order, some batches at a time; a batch is of examples of like length."""
    for begin in range(0, len(examples), AT_ONCE * batch_size):
        chunk = list(examples.select(range(begin, min(begin + AT_ONCE * batch_size, len(examples)))))
        order = sorted(range(len(chunk)), key=lambda i: chunk[i]["length"])
        found: dict[int, Row] = {}
        for first in range(0, len(order), batch_size):
            indices = order[first : first + batch_size]
            found |= zip(indices, ask([chunk[i] for i in indices]), strict=True)
        yield [found[i] for i in range(len(chunk))]


def _table(rows: list[Row]) -> pa.RecordBatch:
    columns = {}
    for name in rows[0]:
        ends = np.cumsum([0, *(len(row[name]) for row in rows)])
        values = pa.array(np.concatenate([row[name] for row in rows]))
        columns[name] = pa.LargeListArray.from_arrays(pa.array(ends), values)
    return pa.RecordBatch.from_pydict(columns)


class Rows(Sequence):
    """Some columns of the rows of Arrow files, one after the other, mapped into memory."""

    def __init__(self, files: Sequence[Path], names: Sequence[str]):
        self.names = names
        readers = [pa.ipc.open_file(pa.memory_map(str(file))) for file in files]
        self.batches = [reader.get_batch(i) for reader in readers for i in range(reader.num_record_batches)]
        self.ends = np.cumsum([batch.num_rows for batch in self.batches])

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def __getitem__(self, index: int) -> Row:
        batch = int(np.searchsorted(self.ends, index, side="right"))
        row = index - (int(self.ends[batch - 1]) if batch else 0)
        return {name: self.batches[batch].column(name)[row].values.to_numpy() for name in self.names}
