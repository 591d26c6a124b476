"""Time, totals, and device of a run."""

import logging
import time
from typing import Any

import torch
from transformers import TrainerCallback, TrainerState, TrainingArguments
from transformers.trainer_callback import ExportableState

from distillation.config.errors import UserError

logger = logging.getLogger(__name__)


class Progress(TrainerCallback, ExportableState):
    """Seconds and totals of a run, over all its resumptions. The Trainer saves it in trainer_state.json, and replaces
    it by a new one made from there."""

    def __init__(self):
        self.seconds_before = 0.0
        self.totals: dict[str, float] = {}  # what a trainer adds up, by name
        self.examples_a_step: int | None = None
        self._start: float | None = None

    @property
    def seconds(self) -> float:
        """Of training."""
        return self.seconds_before + (0.0 if self._start is None else time.monotonic() - self._start)

    def add(self, sums: dict[str, float]) -> None:
        """Add to the totals."""
        self.totals |= {name: self.totals.get(name, 0) + value for name, value in sums.items()}

    def state(self) -> dict[str, Any]:
        """What the Trainer saves."""
        attributes = {"seconds_before": self.seconds, "totals": self.totals, "examples_a_step": self.examples_a_step}
        return {"args": {}, "attributes": attributes}

    # Called by the Trainer

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: Any, **__: Any) -> None:
        """Raises UserError for a resumed run whose step has grown, so that no step is left of its epochs."""
        size = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        if self.examples_a_step not in (None, size):
            logger.warning("a step has %d examples, and had %d: the epoch goes on nearby", size, self.examples_a_step)
            if args.max_steps <= 0 and state.global_step >= state.max_steps and state.epoch < args.num_train_epochs:
                raise UserError(
                    f"{args.num_train_epochs:g} epochs have {state.max_steps} such steps, and the checkpoint is at "
                    f"{state.global_step}: keep {self.examples_a_step} examples a step, or give `max_steps`"
                )
        self.examples_a_step = size
        # Else a resumed run would log and save at the intervals of the checkpoint.
        state.compute_steps(args, state.max_steps)

    def on_epoch_begin(self, *_: Any, **__: Any) -> None:
        if self._start is None:  # an evaluation before the first step does not count
            self._start = time.monotonic()

    def on_train_end(self, *_: Any, **__: Any) -> None:
        self.seconds_before, self._start = self.seconds, None


def device_name(training: TrainingArguments) -> str:
    """The GPU, or how many threads of the CPU."""
    if training.device.type == "cuda":
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"
