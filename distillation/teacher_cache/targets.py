"""A trainer that learns from a cache in place of its teacher."""

import logging
from collections.abc import Sequence
from typing import Any

import torch
from datasets import Dataset

from distillation.config.errors import UserError
from distillation.corpus.examples import lengths
from distillation.corpus.masking import MaskingCollator
from distillation.models.teacher import Teacher
from distillation.teacher_cache.kept import joined, rows_of
from distillation.teacher_cache.storage import SEED, Row, Rows, TeacherCache
from distillation.trainer import DistillationTrainer

logger = logging.getLogger(__name__)


def use_cache(trainer: DistillationTrainer, cache: TeacherCache) -> None:
    """Let a trainer learn from a cache; what is not in it yet, its teacher says first.

    Raises UserError where no cache can be made.
    """
    if trainer.is_fsdp_enabled:
        raise UserError("`teacher_cache` leaves nothing but the student to train: start without FSDP")
    layers = trainer.teacher.student_layers
    if "kl" in trainer.objective.terms:
        _ready_for_the_kl(trainer)
    trainer.data_collator.seed = SEED
    train, evaluation = trainer.train_dataset, trainer.eval_dataset
    epochs = [fill(trainer, cache, f"epoch-{n}", train, trainer.data_collator, n) for n in range(cache.epochs)]
    held_out = fill(trainer, cache, "evaluation", evaluation, trainer.eval_collator, 0)
    trainer.train_dataset = CachedExamples(train, epochs)
    trainer.eval_dataset = CachedExamples(evaluation, [held_out])
    trainer.data_collator = CachedCollator(trainer.data_collator, layers)
    trainer.eval_collator = CachedCollator(trainer.eval_collator, layers)
    trainer.epoch_begins.drawing.append(trainer.train_dataset)
    tokens = cache.epochs * lengths(train).sum() + lengths(evaluation).sum()
    logger.info("teacher cache: %.0f MiB, %.0f bytes a token", cache.bytes() / 2**20, cache.bytes() / tokens)
    trainer.teacher = None


def _ready_for_the_kl(trainer: DistillationTrainer) -> None:
    """Make the teacher give states, and the KL go from what is kept of them."""
    objective, teacher, vocabulary = trainer.objective, trainer.teacher, None
    if objective.alignment == "same":
        trainer.teacher = teacher = Teacher(teacher.model, objective, teacher.student_layers, logits=False)
    else:
        vocabulary = trainer.data_collator.vocabulary
    trainer.vocabulary_kl = trainer.make_vocabulary_kl(vocabulary, teacher.projection)


def fill(
    trainer: DistillationTrainer,
    cache: TeacherCache,
    name: str,
    examples: Dataset,
    collate: MaskingCollator,
    epoch: int,
) -> Rows:
    """The rows of an epoch, or of the held-out examples: those that are missing are made by all ranks together."""

    def ask(chosen: list[dict[str, Any]]) -> list[Row]:
        batch = trainer._prepare_inputs(collate([example | {"epoch": epoch} for example in chosen]))
        targets = trainer.targets(batch)
        if trainer.vocabulary_kl is None:
            targets.logits = None
        return rows_of(batch, targets)

    args = trainer.args
    cache.fill(name, examples, args.eval_batch_size, ask, args.process_index, args.world_size)
    trainer.accelerator.wait_for_everyone()
    return cache.rows(name, len(examples))


class CachedExamples(torch.utils.data.Dataset):
    """Examples, each with what was kept of it and with the epoch whose masks that was made with."""

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
        return self.examples[int(index)] | {"epoch": epoch, "kept": self.epochs[epoch][int(index)]}


class CachedCollator:
    """A batch as the masking collator makes it, and in `kept` what was kept of its examples."""

    def __init__(self, collate: MaskingCollator, student_layers: int):
        self.collate = collate
        self.student_layers = student_layers

    def __call__(self, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
        batch = self.collate(examples)
        return batch | {"kept": joined(batch, [example["kept"] for example in examples], self.student_layers)}
