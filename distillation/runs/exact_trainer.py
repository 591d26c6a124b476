"""The Trainer whose runs can be stopped at any moment and go on as if they had not been."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from transformers import Trainer, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME

from distillation.config.errors import UserError
from distillation.runs.agreement import all_raise, together, writing
from distillation.runs.interruption import Watch
from distillation.runs.sealing import is_whole, rotate, seal

ENTRIES = "so_far.json"  # of a checkpoint: what the run has taken and seen


class ResumableTrainer(Trainer):
    """Writes checkpoints that are sealed when they are whole, and deletes others only then."""

    def __init__(self, model: nn.Module, args: TrainingArguments, terms: tuple[str, ...], **others: Any):
        """terms: the names of the losses that `compute_loss` lets `watch` see; others: of `Trainer`."""
        if args.device.type == "cpu":  # of several processes "cpu:0", to which transformers 5.17 loads no optimiser
            args.__dict__["_setup_devices"] = torch.device("cpu")
        self.watch = Watch(terms, args.device, self.text_of)
        self._resumed_from: Path | None = None
        self._seconds_before = 0.0
        super().__init__(model, args, **others)
        self.add_callback(self.watch)

    def train(self, resume_from_checkpoint: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Raises UserError for a loss that is no number, and Stopped after SIGTERM."""
        if resume_from_checkpoint is not None:
            self._resumed_from = Path(resume_from_checkpoint).resolve()
            self._check_best()
            try:
                self.carry_on(json.loads((self._resumed_from / ENTRIES).read_text(encoding="utf-8")))
            except (OSError, ValueError, KeyError):
                raise self._of_another() from None
        self._began = time.monotonic()
        with self.watch.listening():
            output = super().train(resume_from_checkpoint, *args, **kwargs)
        self._check_numbers()
        self.seconds = self.so_far()["seconds"]
        return output

    def _check_best(self) -> None:
        """Raise UserError where the checkpoint to end with is torn: it would show when all steps are done."""
        state = json.loads((self._resumed_from / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
        best = state.get("best_model_checkpoint")
        if self.args.load_best_model_at_end and best and not is_whole(Path(best)):
            raise UserError(
                f"{best}, the best checkpoint so far, is not whole: resume from an earlier one by its path, or begin "
                "in another `output_dir`"
            )

    def _of_another(self) -> UserError:
        return UserError(
            f"`resume_from_checkpoint`: {self._resumed_from} is of another model or other terms than this recipe's; "
            "resume with the recipe that made it, or choose another `output_dir`"
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        try:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        except RuntimeError:  # other shapes, other layers
            raise self._of_another() from None

    def so_far(self) -> dict[str, Any]:
        """What the run has taken, all its parts together: `seconds` of training. Every process calls it.

        A part counts up to the checkpoint that the next one went on from.
        """
        return {"seconds": self._seconds_before + time.monotonic() - self._began}

    def carry_on(self, entries: dict[str, Any]) -> None:
        """Count on from what `so_far` gave."""
        self._seconds_before = entries["seconds"]

    def text_of(self, batch: Tensor) -> str:
        """What a user can find a batch by: the first of its texts, of their tokens (batch, ..., length)."""
        texts = self.processing_class.batch_decode(batch.flatten(0, -2), skip_special_tokens=True)
        others = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
        return f"{texts[0][:100]!r}{others}"

    def save_model(self, output_dir: str | None = None, _internal_call: bool = False) -> None:
        """Raises UserError, in all processes, where it cannot be written."""
        with together(), writing(self.args.output_dir):
            super().save_model(output_dir, _internal_call)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self._check_numbers()
        folder = Path(self._get_output_dir(trial), f"checkpoint-{self.state.global_step}")
        if folder.resolve() == self._resumed_from:
            return  # nothing was trained since
        try:
            self._write_checkpoint(folder, model, trial)
        except UserError:
            if self.args.should_save:
                shutil.rmtree(folder, ignore_errors=True)
            raise

    def _write_checkpoint(self, folder: Path, model: nn.Module, trial: Any) -> None:
        so_far, limit = self.so_far(), self.args.save_total_limit
        with together(), writing(self.args.output_dir):
            if self.args.should_save and folder.exists():  # torn: what is left of it must not be sealed
                shutil.rmtree(folder)
        with together(), writing(self.args.output_dir):
            self.args.save_total_limit = None  # the Trainer would delete others first
            try:
                super()._save_checkpoint(model, trial)
            finally:
                self.args.save_total_limit = limit
        with together(), writing(self.args.output_dir):
            if self.args.should_save:
                (folder / ENTRIES).write_text(json.dumps(so_far) + "\n", encoding="utf-8")
                seal(folder)
                rotate(folder, self.state.best_model_checkpoint, limit)

    def _check_numbers(self) -> None:
        """Raise UserError, in all processes, before weights that are no numbers are saved."""
        self.watch.settle()
        problem = None
        for name, weight in self.model.named_parameters():
            own = weight.to_local() if isinstance(weight, DTensor) else weight
            if problem is None and not own.isfinite().all():
                problem = (
                    f"after step {self.state.global_step} the weights `{name}` are no numbers, although every loss "
                    "was one: lower `learning_rate`; nothing was saved after it"
                )
        all_raise(problem)
