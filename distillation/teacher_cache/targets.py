"""The teacher's outputs as rows of a cache, one an example and without padding; and back, in place of the teacher."""

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor

from distillation.config.errors import UserError
from distillation.corpus.examples import lengths
from distillation.corpus.masking import MaskingCollator
from distillation.models.teacher import Targets, Teacher
from distillation.teacher_cache.storage import HIDDEN, MAPS, SEED, STATES, Row, Rows, TeacherCache

if TYPE_CHECKING:
    from transformers import Trainer

logger = logging.getLogger(__name__)

CACHED = "cached"  # of an example or a batch: what stands in the cache


def use_cache(trainer: "Trainer", cache: TeacherCache) -> None:
    """Let a `DistillationTrainer` learn from a cache; its teacher adds what is missing first.

    Raises UserError where no cache can be made.
    """
    if trainer.is_fsdp_enabled:
        raise UserError("`teacher_cache` leaves nothing but the student to train: start without FSDP")
    layers = trainer.teacher.student_layers
    if "kl" in trainer.objective.terms:
        _take_states(trainer)
    trainer.data_collator.seed = SEED
    train, evaluation = trainer.train_dataset, trainer.eval_dataset
    epochs = [_fill(trainer, cache, f"epoch-{n}", train, trainer.data_collator, n) for n in range(cache.epochs)]
    held_out = _fill(trainer, cache, "evaluation", evaluation, trainer.eval_collator, 0)
    trainer.train_dataset = CachedExamples(train, epochs)
    trainer.eval_dataset = CachedExamples(evaluation, [held_out])
    trainer.data_collator = CachedCollator(trainer.data_collator, layers)
    trainer.eval_collator = CachedCollator(trainer.eval_collator, layers)
    trainer.epoch_begins.drawing.append(trainer.train_dataset)
    tokens = cache.epochs * lengths(train).sum() + lengths(evaluation).sum()
    logger.info("teacher cache: %.0f MiB, %.0f bytes a token", cache.bytes() / 2**20, cache.bytes() / tokens)
    trainer.teacher = None


def _take_states(trainer: "Trainer") -> None:
    """Make the teacher give states, and the KL be computed from them."""
    objective, teacher, vocabulary = trainer.objective, trainer.teacher, None
    if objective.alignment == "same":
        trainer.teacher = teacher = Teacher(teacher.model, objective, teacher.student_layers, logits=False)
    else:
        vocabulary = trainer.data_collator.vocabulary
    trainer.vocabulary_kl = trainer.make_vocabulary_kl(vocabulary, teacher.projection)


def _fill(
    trainer: "Trainer", cache: TeacherCache, name: str, examples: Dataset, collate: MaskingCollator, epoch: int
) -> Rows:
    """The rows of an epoch, or of the held-out examples: all ranks together make those that are missing."""

    def query(chosen: list[dict[str, Any]]) -> list[Row]:
        batch = trainer._prepare_inputs(collate([example | {"epoch": epoch} for example in chosen]))
        targets = trainer.targets(batch)
        if trainer.vocabulary_kl is None:
            targets.logits = None
        return to_rows(batch, targets)

    args = trainer.args
    cache.fill(name, examples, args.eval_batch_size, query, args.process_index, args.world_size)
    trainer.accelerator.wait_for_everyone()
    return cache.rows(name, len(examples))


class CachedExamples(torch.utils.data.Dataset):
    """Examples, each with its row of the cache and the epoch whose masks that was made with."""

    def __init__(self, examples: Dataset, epochs: Sequence[Rows]):
        self.examples = examples
        self.epochs = epochs
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next examples belong to."""
        self.epoch.fill_(epoch % len(self.epochs))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch = int(self.epoch)
        return self.examples[int(index)] | {"epoch": epoch, CACHED: self.epochs[epoch][int(index)]}


class CachedCollator:
    """A batch as the masking collator makes it, and in `cached` the rows of its examples, padded."""

    def __init__(self, collate: MaskingCollator, student_layers: int):
        self.collate = collate
        self.student_layers = student_layers

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collate(examples)
        return batch | {CACHED: from_rows(batch, [example[CACHED] for example in examples], self.student_layers)}


def to_rows(batch: dict[str, Any], targets: Targets) -> list[Row]:
    """A row for each example of a batch, the positions of its KL in the order of the text."""
    sizes, length = _lengths(batch), batch["compared"].shape[1]
    positions, order = batch["teacher_positions"].sort()
    counts = torch.bincount(positions // length, minlength=len(sizes)).tolist()
    columns = {} if targets.logits is None else {STATES: targets.logits[order].split(counts)}
    for view, states in targets.hidden_states.items():
        columns[HIDDEN + view] = [torch.stack([s[row, :size] for s in states]) for row, size in enumerate(sizes)]
    if maps := targets.attentions:
        columns[MAPS] = [torch.stack([m[row, :, :size, :size] for m in maps]) for row, size in enumerate(sizes)]
    rows = [{name: _compact(parts[row]) for name, parts in columns.items()} for row in range(len(sizes))]
    if not all(np.isfinite(values).all() for row in rows for values in row.values()):
        raise UserError("`teacher_cache` holds half precision, which this teacher's states exceed: leave it out")
    return rows


def _compact(tensor: Tensor) -> np.ndarray:
    return tensor.to("cpu", torch.float16).flatten().numpy()


def from_rows(batch: dict[str, Any], rows: Sequence[Row], student_layers: int) -> dict[str, Tensor]:
    """The rows of a batch's examples, padded as its inputs are."""
    sizes, length = _lengths(batch), batch["compared"].shape[1]
    columns = {}
    for name in rows[0]:
        parts = [torch.from_numpy(row[name].copy()) for row in rows]  # a map of a file cannot be written to
        if name == STATES:
            positions, states = batch["teacher_positions"], torch.cat(parts)
            states = states.reshape(len(positions), -1) if len(positions) else states[:, None]
            columns[name] = states[positions.argsort().argsort()]
        elif name == MAPS:
            parts = [part.reshape(student_layers, -1, size, size) for part, size in zip(parts, sizes, strict=True)]
            columns[name] = torch.stack([F.pad(part, (0, length - part.shape[-1]) * 2) for part in parts], 1)
        else:
            views = student_layers if name == f"{HIDDEN}groups" else 1
            parts = [part.reshape(views, size, -1) for part, size in zip(parts, sizes, strict=True)]
            columns[name] = torch.stack([F.pad(part, (0, 0, 0, length - part.shape[1])) for part in parts], 1)
    return columns


def cached_targets(columns: dict[str, Tensor]) -> Targets:
    """The result of `from_rows`, as if the teacher had run."""
    states = {name.removeprefix(HIDDEN): list(columns[name]) for name in columns if name.startswith(HIDDEN)}
    return Targets(columns.get(STATES), states, list(columns.get(MAPS, ())))


def _lengths(batch: dict[str, Any]) -> list[int]:
    return batch["teacher"]["attention_mask"].sum(1).tolist()
