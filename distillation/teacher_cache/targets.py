"""Turns the teacher's targets into rows of a cache (one per example, without padding), and rows into targets."""

import dataclasses
import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.utils import send_to_device
from datasets import Dataset
from torch import Tensor

from distillation.config.errors import UserError
from distillation.corpus.examples import Corpus, lengths
from distillation.corpus.masking import MaskingCollator
from distillation.models.teacher import HeadStates, LiveTargets, Samples, Targets
from distillation.runs.precision import faster_in_bf16
from distillation.teacher_cache.eight_bits import SCALE, from_bytes, to_bytes
from distillation.teacher_cache.storage import HIDDEN, MAPS, SAMPLES, STATES, Row, TeacherCache, row_of

logger = logging.getLogger(__name__)

CACHED = "cached"  # the key of an example's, or a batch's, part of the cache


class CachedTargets:
    """Reads the teacher's targets from a cache, which it fills first. It replaces `LiveTargets` for batches of its own
    `corpus` and `collators`."""

    def __init__(
        self,
        cache: TeacherCache,
        teacher: LiveTargets,
        corpus: Corpus,
        collators: tuple[MaskingCollator, MaskingCollator],
        batch_size: int,
    ):
        """collators: for training, with the seed `SEED`, and for evaluation. batch_size: of the teacher."""
        self.cache, self.teacher, self.kl, self.batch_size = cache, teacher, teacher.kl, batch_size
        self.temperature = teacher.objective.temperature
        self.masking = collators
        self.bf16: bool | None = None  # whether the teacher fills the cache in bf16 on a CPU; None: not measured yet
        names = [f"epoch-{epoch}" for epoch in range(cache.epochs)], ["evaluation"]
        self.train, self.validation = map(CachedExamples, (corpus.train, corpus.validation), names)
        self.corpus = dataclasses.replace(corpus, train=self.train, validation=self.validation)
        self.collators = tuple(functools.partial(_collate, one, teacher.student_layers) for one in collators)

    def prepare(self, accelerator: Accelerator) -> None:
        """Before training: run the teacher to fill the cache, then drop the teacher. Raises UserError with FSDP, and
        for a cache that cannot be made."""
        if accelerator.distributed_type == "FSDP":
            raise UserError(
                "`teacher_cache` cannot be used with FSDP, and needs no memory for a teacher: start without FSDP"
            )
        ranks = accelerator.process_index, accelerator.num_processes
        for wait in (False, True):  # first everything that no other process makes
            for part, collate in zip((self.train, self.validation), self.masking, strict=True):
                for epoch, name in enumerate(part.names):
                    query = functools.partial(self._query, accelerator, collate, epoch)
                    self.cache.fill(name, part.examples, self.batch_size, query, *ranks, wait)
        self.teacher = None
        if SAMPLES in self.cache.columns:
            self.kl.drop_teacher()
        accelerator.wait_for_everyone()
        for part in (self.train, self.validation):
            part.epochs = [self.cache.rows(name, len(part)) for name in part.names]
        size = sum(file.stat().st_size for file in self.cache.folder.glob("*.arrow"))
        tokens = self.cache.epochs * lengths(self.train).sum() + lengths(self.validation).sum()
        logger.info("teacher cache: %.0f MiB, %.0f bytes a token", size / 2**20, size / tokens)

    def _query(
        self, accelerator: Accelerator, collate: MaskingCollator, epoch: int, examples: list[dict[str, Any]]
    ) -> list[Row]:
        """Run the teacher on examples with the masks of an epoch."""
        batch = send_to_device(collate([example | {"epoch": epoch} for example in examples]), accelerator.device)
        if self.bf16 is None:
            self.bf16 = self._may_choose(accelerator) and faster_in_bf16(lambda: self.teacher(batch))
            if self.bf16:
                logger.info("teacher cache: this CPU runs the teacher faster in bf16")
        with torch.autocast("cpu", torch.bfloat16) if self.bf16 else accelerator.autocast():
            targets = self.teacher(batch)
        if SAMPLES in self.cache.columns:
            shares = _shares(batch, examples, collate.seed, epoch)
            targets.predictions = targets.predictions.sample(batch["groups"], self.temperature, shares)
        return to_rows(batch, targets)

    def _may_choose(self, accelerator: Accelerator) -> bool:
        """Whether the precision of the teacher is open. On predictions bf16 has no effect that was found."""
        on_cpu = accelerator.device.type == "cpu" and accelerator.mixed_precision == "no"
        return on_cpu and self.cache.columns in ([SAMPLES], [STATES])

    def __call__(self, batch: Mapping[str, Any]) -> Targets:
        """batch: of one of `collators`."""
        columns = batch[CACHED]
        predictions = HeadStates(from_bytes(columns[STATES]), self.kl) if STATES in columns else None
        if SAMPLES in columns:
            predictions = Samples(columns[SAMPLES], self.kl, self.temperature)
        views = [name for name in columns if name.startswith(HIDDEN)]
        states = {name.removeprefix(HIDDEN): list(from_bytes(columns[name])) for name in views}
        return Targets(predictions, states, list(from_bytes(columns[MAPS]).square()) if MAPS in columns else [])


class CachedExamples(torch.utils.data.Dataset):
    """Examples, each with its row of the cache and the epoch whose masks it was made with."""

    def __init__(self, examples: Dataset, names: Sequence[str]):
        """names: of the epochs in the cache."""
        self.examples, self.names = examples, names
        self.epochs: Sequence[pa.Table] = ()  # their rows, once the cache is filled
        self.epoch = torch.zeros((), dtype=torch.int64).share_memory_()  # seen by workers that outlive an epoch

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next examples."""
        self.epoch.fill_(epoch % len(self.names))

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        epoch = int(self.epoch)
        return self.examples[int(index)] | {"epoch": epoch, CACHED: row_of(self.epochs[epoch], int(index))}


def _collate(collate: MaskingCollator, student_layers: int, examples: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """A batch as the masking collator makes it, and in `cached` the rows of its examples, padded."""
    batch = collate(examples)
    return batch | {CACHED: from_rows(batch, [example[CACHED] for example in examples], student_layers)}


def _position_counts(batch: dict[str, Any]) -> list[int]:
    """The number of positions of the KL in each example."""
    rows, length = batch["compared"].shape
    return torch.bincount(batch["teacher_positions"] // length, minlength=rows).tolist()


def _shares(batch: dict[str, Any], examples: Sequence[dict[str, Any]], seed: int, epoch: int) -> Tensor:
    """A random number in [0, 1) for each position of the KL. Like masks, they do not depend on the batch."""
    seeds = [(seed, epoch, example["id"], 1) for example in examples]  # 1: not the numbers that drew the masks
    counts = _position_counts(batch)
    numbers = [np.random.default_rng(seed).random(count) for seed, count in zip(seeds, counts, strict=True)]
    positions = batch["teacher_positions"]
    return torch.from_numpy(np.concatenate(numbers)).to(positions.device)[positions.argsort().argsort()]


def to_rows(batch: dict[str, Any], targets: Targets) -> list[Row]:
    """A row for each example of a batch, the positions of its KL in the order of the text. Of attention maps the roots
    are rounded: a map has few large values, and many small ones."""
    sizes = batch["teacher"]["attention_mask"].sum(1).tolist()
    order, predictions, parts = batch["teacher_positions"].argsort(), targets.predictions, {}
    if isinstance(predictions, Samples):
        parts[SAMPLES] = predictions.values[order].split(_position_counts(batch))
    elif predictions is not None:
        parts[STATES] = _rounded(predictions.values[order]).split(_position_counts(batch))
    for view, states in targets.hidden_states.items():
        rounded = _rounded(torch.stack(states, 1))
        parts[HIDDEN + view] = [one[:, :size] for one, size in zip(rounded, sizes, strict=True)]
    if targets.attentions:
        maps = _rounded(torch.stack(targets.attentions, 1).sqrt())
        parts[MAPS] = [one[..., :size, : SCALE + size] for one, size in zip(maps, sizes, strict=True)]
    parts = {name: [part.flatten().cpu().numpy() for part in column] for name, column in parts.items()}
    return [{name: column[row] for name, column in parts.items()} for row in range(len(sizes))]


def _rounded(states: Tensor) -> Tensor:
    rounded = to_bytes(states)
    if not torch.isfinite(from_bytes(rounded)).all():
        raise UserError(
            "`teacher_cache` holds finite numbers up to 65,504, and this teacher's states have others: leave it out"
        )
    return rounded


def from_rows(batch: dict[str, Any], rows: Sequence[Row], student_layers: int) -> dict[str, Tensor]:
    """The rows of a batch's examples, padded as its inputs are. Hidden states and maps start with their layers."""
    sizes, length = batch["teacher"]["attention_mask"].sum(1).tolist(), batch["compared"].shape[1]
    columns = {}
    for name in rows[0]:
        parts = [torch.from_numpy(row[name].copy()) for row in rows]  # torch warns of arrays that are read-only
        if name in (SAMPLES, STATES):
            positions, states = batch["teacher_positions"], torch.cat(parts)
            states = states.reshape(len(positions), -1) if len(positions) else states.reshape(0, SCALE)
            columns[name] = states[positions.argsort().argsort()]  # from the order of the text to that of the batch
            continue
        layers = student_layers if name in (MAPS, f"{HIDDEN}groups") else 1
        padded = []
        for part, size in zip(parts, sizes, strict=True):
            missing = (0, length - size)
            shape = (layers, -1, size, SCALE + size) if name == MAPS else (layers, size, -1)
            part = part.reshape(shape)
            padded.append(F.pad(part, missing * 2 if name == MAPS else (0, 0, *missing)))
        columns[name] = torch.stack(padded, 1)
    return columns
