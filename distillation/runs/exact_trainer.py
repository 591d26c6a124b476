"""The base of the trainers of students and tasks: exact over micro-batches and ranks."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import BatchSamplerShard
from accelerate.utils import send_to_device
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, SequentialSampler
from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.runs.checkpoint import explain_write_errors
from distillation.runs.files import WEIGHTS
from distillation.runs.fsdp import load_state
from distillation.runs.resumable_trainer import ResumableTrainer
from distillation.runs.sampling import LengthGroupedSampler, RankBatches

NOT_COUNTED = "not_counted"  # marks a micro-batch that only keeps the ranks in step


class ExactTrainer(ResumableTrainer):
    """The gradient equals the gradient of one batch of all micro-batches of all ranks: a loss is a sum, divided once
    by the `count` of all of them. A run that is killed and resumed ends at the weights of an uninterrupted one."""

    counted: tuple[int, ...] = ()  # the shape of what `count` returns

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        lengths: Callable[[], Sequence[int]],
        **others: Any,
    ):
        """lengths: returns the lengths of the training examples, to group them; others: as `ResumableTrainer` has."""
        args.remove_unused_columns = False  # collators take what they need
        self.lengths = lengths
        self._rank_batches: RankBatches | None = None  # with several ranks
        super().__init__(model, args, **others)
        # True means "this loss is normalised over the accumulated batch": the Trainer divides it by nothing more.
        self.model_accepts_loss_kwargs = True

    def count(self, batch: dict[str, Any]) -> Tensor:
        """The number of positions that the loss of a micro-batch is a sum over; integers of the shape `counted`."""
        raise NotImplementedError

    def get_batch_samples(
        self, epoch_iterator: Iterator, num_batches: int, device: torch.device
    ) -> tuple[list, Tensor]:
        """The micro-batches of one optimiser step, and the sum of `count` over the micro-batches of all ranks."""
        counts = torch.zeros(self.counted, dtype=torch.int64, device=device)
        if self.control.should_training_stop:  # before the step: the Trainer would take it
            return [], counts
        batches = [
            send_to_device(batch, device, non_blocking=self.args.dataloader_pin_memory)
            for batch in itertools.islice(epoch_iterator, num_batches)
        ]
        if batches and self._rank_batches and self._rank_batches.ends_empty:
            # This batch only completes the step: its loss is divided by infinity, and adds nothing.
            batches[-1][NOT_COUNTED] = self.accelerator.gradient_state.end_of_dataloader
        for batch in batches:
            if not batch.get(NOT_COUNTED):
                counts += self.count(batch)
        return batches, self.accelerator.reduce(counts, "sum")

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | None = None
    ) -> Tensor:
        """Add the gradient of one micro-batch."""
        if inputs.pop(NOT_COUNTED, False):
            num_items_in_batch = torch.full_like(num_items_in_batch, math.inf, dtype=torch.float32)
        return super().training_step(model, inputs, num_items_in_batch)

    def get_train_dataloader(self) -> DataLoader:
        """Batches that give each example to one rank, once."""
        loader = super().get_train_dataloader()
        shard = loader.batch_sampler
        if isinstance(shard, BatchSamplerShard) and shard.num_processes > 1 and not shard.split_batches:
            self._rank_batches = RankBatches(shard.batch_sampler, shard.process_index, shard.num_processes)
            shard.batch_sampler, shard.batch_size = self._rank_batches, None  # the shard passes these on unchanged
            shard.process_index, shard.num_processes = 0, 1
        return loader

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler | None:
        """Grouped by length, in an order that depends on seed and epoch alone. The order of the Trainer's own sampler
        differs after a resumption, and between ranks whose dropout has drawn different numbers."""
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        sampler = LengthGroupedSampler(self.lengths(), self.args.train_batch_size * self.args.world_size, seed)
        self.epoch_start.drawing.append(sampler)  # a resumed epoch's loader hides it from accelerate's call
        return sampler

    def _get_eval_sampler(self, eval_dataset: Any) -> SequentialSampler:
        """In order: the Trainer would group by length, and predictions would belong to other inputs."""
        return SequentialSampler(eval_dataset)

    def write_model(self, folder: Path, state_dict: dict[str, Tensor] | None) -> None:
        """Write what others load. state_dict: gathered from shards, where there are any."""
        raise NotImplementedError

    def load_weights(self, folder: Path) -> None:
        """Load what `write_model` wrote. Raises RuntimeError for the weights of another model."""
        load_state(self.accelerator.unwrap_model(self.model), load_file(folder / WEIGHTS))

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Save without pickled arguments. Raises LocalError for a folder that cannot be written."""
        state_dict = self.accelerator.get_state_dict(self.model) if self.is_fsdp_enabled else None
        if self.args.should_save:
            with explain_write_errors(self.args.output_dir):
                self.write_model(Path(output_dir or self.args.output_dir), state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        try:
            self.load_weights(Path(resume_from_checkpoint))
        except (RuntimeError, FileNotFoundError):  # other shapes, other layers
            raise UserError(
                f"`resume_from_checkpoint`: {resume_from_checkpoint} has another model or other terms than this "
                "recipe; resume with the recipe that made it, or choose another `output_dir`"
            ) from None
