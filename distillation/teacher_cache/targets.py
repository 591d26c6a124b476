"""The teacher's outputs as rows of a cache, one an example and without padding; and back, in place of the teacher."""

import functools
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor

from distillation.config.errors import UserError
from distillation.corpus.examples import lengths
from distillation.corpus.masking import MaskingCollator
from distillation.models.teacher import Targets, Teacher
from distillation.teacher_cache.storage import HIDDEN, MAPS, SEED, STATES, Row, TeacherCache, row_of

if TYPE_CHECKING:
    from transformers import Trainer

logger = logging.getLogger(__name__)

CACHED = "cached"  # of an example or a batch: its part of the cache


def use_cache(trainer: "Trainer", cache: TeacherCache) -> None:
    """Let a `DistillationTrainer` learn from a cache; its teacher adds what is missing first.

    Raises UserError where no cache can be made.
    """
    if trainer.is_fsdp_enabled:
        raise UserError("`teacher_cache` leaves nothing but the student to train: start without FSDP")
    args, layers = trainer.args, trainer.teacher.student_layers
    if "kl" in trainer.objective.terms:
        _take_states(trainer)
    trainer.data_collator.seed = SEED

    def cached(examples: Dataset, collate: MaskingCollator, names: list[str]) -> tuple["CachedExamples", Callable]:
        for epoch, name in enumerate(names):
            query = functools.partial(_query, trainer, collate, epoch)
            cache.fill(name, examples, args.eval_batch_size, query, args.process_index, args.world_size)
        trainer.accelerator.wait_for_everyone()
        tables = [cache.rows(name, len(examples)) for name in names]
        return CachedExamples(examples, tables), functools.partial(_collate, collate, layers)

    names = [f"epoch-{epoch}" for epoch in range(cache.epochs)]
    trainer.train_dataset, trainer.data_collator = cached(trainer.train_dataset, trainer.data_collator, names)
    trainer.eval_dataset, trainer.eval_collator = cached(trainer.eval_dataset, trainer.eval_collator, ["evaluation"])
    trainer.epoch_begins.drawing.append(trainer.train_dataset)
    size = sum(file.stat().st_size for file in cache.folder.glob("*.arrow"))
    tokens = cache.epochs * lengths(trainer.train_dataset).sum() + lengths(trainer.eval_dataset).sum()
    logger.info("teacher cache: %.0f MiB, %.0f bytes a token", size / 2**20, size / tokens)
    trainer.teacher = None


def _take_states(trainer: "Trainer") -> None:
    """Make the teacher give states, and the KL be computed from them."""
    objective, teacher, vocabulary = trainer.objective, trainer.teacher, None
    if objective.alignment == "same":
        trainer.teacher = teacher = Teacher(teacher.model, objective, teacher.student_layers, logits=False)
    else:
        vocabulary = trainer.data_collator.vocabulary
    trainer.vocabulary_kl = trainer.make_vocabulary_kl(vocabulary, teacher.projection)


def _query(trainer: "Trainer", collate: MaskingCollator, epoch: int, examples: list[dict[str, Any]]) -> list[Row]:
    """Run the teacher on examples masked as an epoch masks them."""
    batch = trainer._prepare_inputs(collate([example | {"epoch": epoch} for example in examples]))
    targets = trainer.targets(batch)
    if trainer.vocabulary_kl is None:
        targets.logits = None
    return to_rows(batch, targets)


class CachedExamples(torch.utils.data.Dataset):
    """Examples, each with its row of the cache and the epoch whose masks it was made with."""

    def __init__(self, examples: Dataset, epochs: Sequence[pa.Table]):
        self.examples = examples
        self.epochs = epochs
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next examples."""
        self.epoch.fill_(epoch % len(self.epochs))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch = int(self.epoch)
        return self.examples[int(index)] | {"epoch": epoch, CACHED: row_of(self.epochs[epoch], int(index))}


def _collate(collate: MaskingCollator, student_layers: int, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch as the masking collator makes it, and in `cached` the rows of its examples, padded."""
    batch = collate(examples)
    return batch | {CACHED: from_rows(batch, [example[CACHED] for example in examples], student_layers)}


def to_rows(batch: dict[str, Any], targets: Targets) -> list[Row]:
    """A row for each example of a batch, the positions of its KL in the order of the text."""
    sizes, length = batch["teacher"]["attention_mask"].sum(1).tolist(), batch["compared"].shape[1]
    positions, order = batch["teacher_positions"].sort()
    counts = torch.bincount(positions // length, minlength=len(sizes)).tolist()
    parts = {} if targets.logits is None else {STATES: targets.logits[order].split(counts)}
    for view, states in targets.hidden_states.items():
        parts[HIDDEN + view] = [one[:, :size] for one, size in zip(torch.stack(states, 1), sizes, strict=True)]
    if targets.attentions:
        maps = torch.stack(targets.attentions, 1)
        parts[MAPS] = [one[..., :size, :size] for one, size in zip(maps, sizes, strict=True)]
    parts = {name: [part.flatten().to("cpu", torch.float16).numpy() for part in parts[name]] for name in parts}
    rows = [{name: column[row] for name, column in parts.items()} for row in range(len(sizes))]
    if not all(np.isfinite(values).all() for row in rows for values in row.values()):
        raise UserError("`teacher_cache` holds half precision, which this teacher's states exceed: leave it out")
    return rows


def from_rows(batch: dict[str, Any], rows: Sequence[Row], student_layers: int) -> dict[str, Tensor]:
    """The rows of a batch's examples, padded as its inputs are. Hidden states and maps start with their layers."""
    sizes, length = batch["teacher"]["attention_mask"].sum(1).tolist(), batch["compared"].shape[1]
    columns = {}
    for name in rows[0]:
        parts = [torch.from_numpy(row[name].copy()) for row in rows]  # torch warns of arrays that are read-only
        if name == STATES:
            positions, states = batch["teacher_positions"], torch.cat(parts)
            states = states.reshape(len(positions), -1) if len(positions) else states[:, None]
            columns[name] = states[positions.argsort().argsort()]
            continue
        layers = student_layers if name in (MAPS, f"{HIDDEN}groups") else 1
        padded = []
        for part, size in zip(parts, sizes, strict=True):
            missing = (0, length - size)
            part = part.reshape(layers, -1, size, size) if name == MAPS else part.reshape(layers, size, -1)
            padded.append(F.pad(part, missing * 2 if name == MAPS else (0, 0, *missing)))
        columns[name] = torch.stack(padded, 1)
    return columns


def cached_targets(columns: dict[str, Tensor]) -> Targets:
    """The result of `from_rows`, as if the teacher had run."""
    states = {name.removeprefix(HIDDEN): list(columns[name]) for name in columns if name.startswith(HIDDEN)}
    return Targets(columns.get(STATES), states, list(columns.get(MAPS, ())))
