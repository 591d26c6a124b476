"""The Trainer that feeds, saves, and loads a `Student`; from a corpus in memory or a stream."""

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.corpus.examples import lengths
from distillation.corpus.streaming import FILES, Stream
from distillation.models.loading import save_pretrained
from distillation.models.student import Student
from distillation.runs.exact_trainer import ExactTrainer
from distillation.runs.files import WEIGHTS, follow_umask
from distillation.runs.fsdp import configure, load_state

PROJECTIONS = "projections.safetensors"


class StudentTrainer(ExactTrainer):
    """Takes a corpus or a stream. A checkpoint holds the student as others load it, and its projections beside it."""

    def __init__(self, student: Student, args: TrainingArguments, train_dataset: Any, **others: Any):
        """others: arguments of `Trainer`, with `data_collator`."""
        self.streams = isinstance(train_dataset, Stream)
        args.ignore_data_skip |= self.streams  # a stream restores its own position
        draws = [one for one in (train_dataset, others["data_collator"]) if hasattr(one, "set_epoch")]
        others |= dict(lengths=lambda: lengths(self.train_dataset), draws=draws)
        super().__init__(student, args, train_dataset=train_dataset, **others)
        if self.is_fsdp_enabled:
            configure(self.accelerator.state.fsdp_plugin, student.model)

    def get_train_dataloader(self) -> DataLoader:
        """Batches of examples. A stream gives this rank's own share: accelerate has nothing to divide."""
        if not self.streams:
            return super().get_train_dataloader()
        loader = self.train_dataset.loader(self.data_collator, self.args)
        if self._resumed_from is not None:
            self.train_dataset.load(self._resumed_from)
        return loader

    def write_model(self, folder: Path, state_dict: dict[str, Tensor] | None) -> None:
        """Write the student alone, as others load it; in a `checkpoint-*` folder the projections beside it."""
        student = self.accelerator.unwrap_model(self.model)
        state_dict = student.state_dict() if state_dict is None else state_dict
        weights, projections = (
            {name.removeprefix(prefix): tensor for name, tensor in state_dict.items() if name.startswith(prefix)}
            for prefix in ("model.", "projections.")
        )
        for name in student.model.all_tied_weights_keys:  # once gathered from shards, they are separate tensors
            weights.pop(name, None)
        save_pretrained(student.model, self.processing_class, folder, weights)
        if projections and folder != Path(self.args.output_dir):
            save_file({name: tensor.contiguous() for name, tensor in projections.items()}, folder / PROJECTIONS)
            follow_umask(folder / PROJECTIONS)

    def write_position(self, folder: Path) -> None:
        """Write the place of this rank in a stream."""
        if self.streams:
            self.train_dataset.save(folder)

    def load_weights(self, folder: Path) -> None:
        """Load what `write_model` wrote into a checkpoint."""
        if not self.streams and any(folder.glob(FILES)):
            remedy = "resume it with `streaming`, or choose another `output_dir`"
            raise UserError(f"`resume_from_checkpoint`: {folder} was made with `streaming`: {remedy}")
        student = self.accelerator.unwrap_model(self.model)
        load_state(student.model, load_file(folder / WEIGHTS))
        if len(student.projections):
            load_state(student.projections, load_file(folder / PROJECTIONS))
