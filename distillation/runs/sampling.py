"""Batches of examples of similar length, in random order; and the callback that announces the start of an epoch."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import BatchSampler, Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

POOL = 50  # batches' worth of examples that are sorted at once: enough to leave little padding


class LengthGroupedSampler(Sampler[int]):
    """An order in which every `batch_size` neighbours are of similar length.

    The sampler of transformers runs from long to short within each pool, and a model that meets all long texts before
    all short ones learns worse: here the batches are shuffled too. The order depends on (seed, epoch) alone, so it is
    the same on every rank and after any resumption.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int):
        """batch_size: examples of all ranks in one micro-step."""
        self.lengths, self.batch_size, self.seed, self.epoch = np.asarray(lengths), batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the data loader and by the trainer when an epoch begins."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng((self.seed, self.epoch))
        return iter(np.concatenate(grouped_batches(self.lengths, self.batch_size, generator)).tolist())


def grouped_batches(lengths: np.ndarray, batch_size: int, generator: np.random.Generator) -> list[np.ndarray]:
    """Indices of examples in batches of similar length, in random order; batches that are not full come last."""
    order = generator.permutation(len(lengths))
    batches = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[i : i + batch_size] for i in range(0, len(pool), batch_size)]
    full = [batch for batch in batches if len(batch) == batch_size]
    generator.shuffle(full)
    return full + [batch for batch in batches if len(batch) < batch_size]  # in the middle they would shift the others


class RankBatches(BatchSampler):
    """The batches of one rank. Ranks share the examples left at the end of an epoch evenly, each example once.

    accelerate fills up the last batches with the first examples of the epoch, which would count twice. Here a rank
    without an example left gets one, so that all ranks take as many steps; `ends_empty` says not to count it.
    """

    def __init__(self, batches: BatchSampler, rank: int, ranks: int):
        """batches: of one rank's size each, of all ranks in turn."""
        self.batches, self.rank, self.ranks = batches, rank, ranks
        self.sampler, self.batch_size, self.drop_last = batches.sampler, batches.batch_size, batches.drop_last
        self.left = 0 if self.drop_last else len(batches.sampler) % (self.batch_size * ranks)
        self.ends_empty = 0 < self.left <= rank

    def __len__(self) -> int:
        return len(self.batches.sampler) // (self.batch_size * self.ranks) + bool(self.left)

    def __iter__(self) -> Iterator[list[int]]:
        step: list[int] = []
        for batch in self.batches:
            step += batch
            if len(step) == self.batch_size * self.ranks:
                yield step[self.rank * self.batch_size :][: self.batch_size]
                step = []
        if self.left:
            yield np.array_split(step, self.ranks)[self.rank].tolist() or step[:1]


class EpochStart(TrainerCallback):
    """Calls `set_epoch` of the collator and whatever draws by epoch."""

    def __init__(self, *drawing: Any):
        self.drawing = list(drawing)

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Called by the Trainer."""
        for one in self.drawing:
            one.set_epoch(int(state.epoch))
