"""Who reads which part of a streamed corpus, in what order, and how far it has come; see `streaming.py`."""

from dataclasses import dataclass
from typing import NamedTuple

from transformers import TrainingArguments

from distillation.config.errors import UserError

SAMPLINGS = ("random", "group_by_length", "sequential")


class Position(NamedTuple):
    """Where a shard stands."""

    epoch: int = 0
    place: int = 0  # of the file among the shard's files, in this epoch's order
    block: int = 0  # of the file
    turn: int = 0  # blocks that the shard read or passed over before this one, in all epochs
    batches: int = 0  # of the block that are behind


@dataclass(frozen=True)
class Plan:
    """Of what batches are made, and who reads what."""

    batch_size: int
    sampling: str = "random"
    seed: int = 0
    rank: int = 0
    ranks: int = 1
    workers: int = 0

    @classmethod
    def of(cls, args: TrainingArguments) -> "Plan":
        """What the recipe says; raises UserError for what cannot be streamed."""
        if args.max_steps <= 0:
            raise UserError("`streaming` needs `max_steps`: nobody counts the corpus, so an epoch has no known end")
        sampling = str(getattr(args.train_sampling_strategy, "value", args.train_sampling_strategy))
        if sampling not in SAMPLINGS:
            raise UserError(
                f"`streaming` has no `train_sampling_strategy: {sampling}`; choose one of {', '.join(SAMPLINGS)}"
            )
        if args.auto_find_batch_size:
            raise UserError("`streaming` needs a fixed batch: leave `auto_find_batch_size` out")
        seed = args.seed if args.data_seed is None else args.data_seed
        ranks = args.process_index, args.world_size
        return cls(args.train_batch_size, sampling, seed, *ranks, args.dataloader_num_workers)

    @property
    def lanes(self) -> int:
        """Shards of this process."""
        return max(1, self.workers)

    @property
    def shards(self) -> int:
        return self.ranks * self.lanes
