"""The base of all trainers: a run that is killed or interrupted goes on to the weights of an uninterrupted one."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments

from distillation.config.errors import Diverged
from distillation.runs import checkpoint
from distillation.runs.fsdp import local_part
from distillation.runs.interruption import Interruption
from distillation.runs.progress import Progress, device_name
from distillation.runs.sampling import EpochStart

# transformers before 5.23 loads the optimiser of several CPU processes to "cpu:0", which torch does not know.
torch.serialization.register_package(
    15, lambda _: None, lambda storage, location: storage if location.startswith("cpu:") else None
)


def with_own_generator(loader: DataLoader) -> DataLoader:
    """A loader whose iterators leave the generator alone that a checkpoint restores."""
    getattr(loader, "base_dataloader", loader).generator = torch.Generator()
    return loader


class ResumableTrainer(Trainer):
    """Checkpoints are complete or do not count; weights that are not finite are never saved; nothing is pushed."""

    def __init__(
        self,
        model: nn.Module,
        args: TrainingArguments,
        *,
        draws: Sequence[Any] = (),
        callbacks: Sequence[TrainerCallback] = (),
        **others: Any,
    ):
        """draws: objects whose `set_epoch` is called when an epoch begins; others: arguments of the library's
        trainer."""
        # The Trainer's own push would take optimiser states and pickled arguments along.
        self.push_wanted, args.push_to_hub = args.push_to_hub, False
        args.dataloader_pin_memory &= args.device.type == "cuda"
        args.accelerator_config.non_blocking = args.dataloader_pin_memory
        # The filter waits for the device in every step, and hides a loss that is NaN.
        args.logging_nan_inf_filter = False
        args.restore_callback_states_from_checkpoint = True
        self.epoch_start = EpochStart(*draws)
        self.interruption = Interruption(args)
        self._resumed_from: Path | None = None
        callbacks = [self.epoch_start, *callbacks, Progress(), self.interruption]
        super().__init__(model=model, args=args, callbacks=callbacks, **others)

    @property
    def progress(self) -> Progress:
        """The one that it has now: a resumed trainer replaces it."""
        return next(one for one in self.callback_handler.callbacks if isinstance(one, Progress))

    def facts(self) -> dict[str, Any]:
        """What the training took, for the results."""
        facts = {"steps": self.state.global_step, "train_seconds": self.progress.seconds}
        return facts | {"processes": self.args.world_size, "device": device_name(self.args)}

    def get_train_dataloader(self) -> DataLoader:
        """Its iterators draw from a generator of its own: a resumed run makes one more of them."""
        return with_own_generator(super().get_train_dataloader())

    def get_eval_dataloader(self, *args: Any) -> DataLoader:
        """As for training: a resumed run does not repeat an evaluation that followed its checkpoint."""
        return with_own_generator(super().get_eval_dataloader(*args))

    def train(self, resume_from_checkpoint: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Raises Diverged for a loss or weights that are not finite, and Stopped after SIGTERM or Ctrl-C."""
        if resume_from_checkpoint is not None:
            self._resumed_from = Path(resume_from_checkpoint).resolve()
        with self.interruption.listening():
            output = super().train(resume_from_checkpoint, *args, **kwargs)
        self._check_weights()
        return output

    def get_batch_samples(self, *args: Any) -> tuple[list, Any]:
        if self.control.should_training_stop:  # before the step: the Trainer would take it
            return [], None
        return super().get_batch_samples(*args)

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Raises Diverged for a loss that is not finite; all ranks log the same."""
        lost = [name for name, value in logs.items() if name != "grad_norm" and not math.isfinite(value)]
        if lost and ("loss" in logs or "train_loss" in logs):  # an fp16 gradient may overflow: its step is skipped
            raise Diverged(
                f"the loss `{lost[-1]}` is {logs[lost[-1]]} by step {self.state.global_step}: start in another "
                "`output_dir` with a lower `learning_rate`, or check your texts; weights that are not finite were not "
                "saved"
            )
        super().log(logs, start_time)

    def _check_weights(self) -> None:
        """Raise Diverged, on all ranks, if a weight is not finite."""
        lost = torch.zeros((), dtype=torch.int64, device=self.args.device)
        for weight in self.model.parameters():
            lost += (~local_part(weight).isfinite()).sum()
        if self.accelerator.reduce(lost, "sum"):
            raise Diverged(
                f"after step {self.state.global_step} some weights are not finite and were not saved: start in "
                "another `output_dir` with a lower `learning_rate`"
            )

    def _load_best_model(self) -> None:
        """Raises UserError where it cannot be loaded: some trainers only log that."""
        self._load_from_checkpoint(self.state.best_model_checkpoint)

    def record(self) -> None:
        """Bring `progress` up to date. Every rank calls it, before a checkpoint is written."""

    def write_position(self, folder: Path) -> None:
        """Write what else this rank needs to resume from a checkpoint. Every rank calls it."""

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a checkpoint and mark it as complete; only then delete older ones."""
        if checkpoint.folder_of(self).resolve() == self._resumed_from:
            return  # nothing was trained since
        self._check_weights()
        self.record()
        with checkpoint.writing(self) as folder:
            super()._save_checkpoint(model, trial)
            self.write_position(folder)
