"""The Trainer that feeds, saves, and loads a `Student`: in the order of its sampler, alone, and where it was."""

from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.corpus.examples import lengths
from distillation.corpus.streaming import FILES, Stream
from distillation.models.loading import save_pretrained
from distillation.models.student import Student
from distillation.runs.exact_trainer import ResumableTrainer
from distillation.runs.files import WEIGHTS
from distillation.runs.fsdp import configure, in_shards_of
from distillation.runs.sampling import EpochBegins, LengthGroupedSampler

PROJECTIONS = "projections.safetensors"


class StudentTrainer(ResumableTrainer):
    """Takes a corpus or a stream. A checkpoint holds the student as others load it, and its projections beside it."""

    def __init__(
        self, student: Student, args: TrainingArguments, data_collator: Any, train_dataset: Any, **others: Any
    ):
        """others: of `Trainer`."""
        # The Trainer's own push would take optimiser states and pickled arguments along: `publish` does it at the end.
        self.push_wanted, args.push_to_hub = args.push_to_hub, False
        args.remove_unused_columns = False  # the collator names its own inputs
        args.dataloader_pin_memory &= args.device.type == "cuda"
        args.accelerator_config.non_blocking = args.dataloader_pin_memory
        # It would wait for the device in every step, to log a loss that is no number as if it were one.
        args.logging_nan_inf_filter = False
        self.streams = isinstance(train_dataset, Stream)
        args.ignore_data_skip |= self.streams  # a stream finds its own way back
        self.epoch_begins = EpochBegins(data_collator)
        options = dict(data_collator=data_collator, train_dataset=train_dataset, callbacks=[self.epoch_begins])
        super().__init__(student, args, **options, **others)
        if self.is_fsdp_enabled:
            configure(self.accelerator.state.fsdp_plugin)

    def get_train_dataloader(self) -> DataLoader:
        """Batches of examples; of a stream, those of this rank's own share, for which accelerate has nothing to do."""
        if not self.streams:
            return super().get_train_dataloader()
        return self.train_dataset.loader(self.data_collator, self.args)

    def _prepare_input(self, data: Any) -> Any:
        """On the device, without waiting for what that is doing."""
        if torch.is_tensor(data):
            return data.to(self.args.device, non_blocking=True)
        return super()._prepare_input(data)

    def _get_train_sampler(self, train_dataset: Dataset | None = None) -> torch.utils.data.Sampler | None:
        if self.args.train_sampling_strategy != "group_by_length":
            return super()._get_train_sampler(train_dataset)
        seed = self.args.seed if self.args.data_seed is None else self.args.data_seed
        together = self.args.train_batch_size * self.args.world_size
        sampler = LengthGroupedSampler(lengths(self.train_dataset), together, seed)
        # On several ranks the loader of a resumed epoch wraps the sampler too deep for its `set_epoch` to reach.
        self.epoch_begins.drawing.append(sampler)
        return sampler

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        """The student alone, as others load it; in a `checkpoint-*` folder the projections beside it."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        student = self.accelerator.unwrap_model(self.model)
        state_dict = student.state_dict() if state_dict is None else state_dict
        parts = {prefix: {} for prefix in ("model.", "projections.")}
        for name, tensor in state_dict.items():
            for prefix, part in parts.items():
                if name.startswith(prefix):
                    part[name.removeprefix(prefix)] = tensor
        for name in student.model.all_tied_weights_keys:  # gathered from shards they are tensors of their own
            parts["model."].pop(name, None)
        save_pretrained(student.model, self.processing_class, folder, parts["model."])
        if parts["projections."] and folder != Path(self.args.output_dir):
            save_file({name: t.contiguous() for name, t in parts["projections."].items()}, folder / PROJECTIONS)

    def _save_rng_state(self, output_dir: str) -> None:
        """Every rank writes what its next batches depend on."""
        super()._save_rng_state(output_dir)
        if self.streams:
            self.train_dataset.save(output_dir)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        super()._load_rng_state(checkpoint)
        if self.streams and checkpoint is not None:
            self.train_dataset.load(checkpoint)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        if not self.streams and any(Path(resume_from_checkpoint).glob(FILES)):
            raise UserError(
                f"`resume_from_checkpoint`: {resume_from_checkpoint} was made with `streaming`: resume it so, or "
                "choose another `output_dir`"
            )
        student = self.accelerator.unwrap_model(self.model if model is None else model)
        state = load_file(Path(resume_from_checkpoint, WEIGHTS))
        try:
            missing, unexpected = student.model.load_state_dict(in_shards_of(student.model, state), strict=False)
            if unexpected or set(missing) - set(student.model.all_tied_weights_keys):
                raise RuntimeError("other layers")
            if len(student.projections):
                state = load_file(Path(resume_from_checkpoint, PROJECTIONS))
                student.projections.load_state_dict(in_shards_of(student.projections, state))
        except (RuntimeError, FileNotFoundError):  # shapes that differ, no projections
            raise self._of_another() from None

    def _load_best_model(self) -> None:
        self._load_from_checkpoint(self.state.best_model_checkpoint)
