"""What a fine-tuning recipe can say. Every field of `TrainingArguments` is a key as well."""

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.config.training import SEEDS


def key(default, help: str):
    """A field of a recipe with its line of help; a list is the default of a key with several values."""
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass
class FinetuningArguments:
    """The checkpoint, the data, and how often."""

    model_name_or_path: str | None = key(None, "Checkpoint to fine-tune: a Hub id or a folder.")
    data_dir: str | None = key(None, "Folder of the benchmark's own files, its id on the Hub, or `demo`.")
    max_length: int = key(512, "Tokens of an input; fewer where the model has fewer positions.")
    early_stopping_patience: int = key(0, "Evaluations without a better score after which to stop; 0 for never.")
    seeds: list[int] = key([], "Several runs, a folder each, and their mean; instead of `seed`.")
    random_weights: bool = key(False, "Start the model from random weights: the floor to compare with.")

    def __post_init__(self):
        for name in ("model_name_or_path", "data_dir"):
            if getattr(self, name) is None:
                raise UserError(f"`{name}` is missing: name {'the checkpoint' if 'model' in name else 'the data'}")
        if self.max_length < 16:
            raise UserError(f"`max_length` must be at least 16, got {self.max_length}")
        if self.early_stopping_patience < 0:
            raise UserError(f"`early_stopping_patience` must not be negative, got {self.early_stopping_patience}")
        if len(set(self.seeds)) < len(self.seeds) or not all(0 <= seed < SEEDS for seed in self.seeds):
            raise UserError(f"`seeds` must be different numbers from 0 to 2 ** 32 - 1, got {self.seeds}")


@dataclass
class TaskTeacherArguments:
    """The second step of distillation: a teacher fine-tuned on the same task.

    DistilBERT (arXiv 1910.01108) did so for SQuAD, with equal weights and temperature 2.
    """

    task_teacher: str | None = key(None, "Model fine-tuned on this task, to learn from as well: a Hub id or a folder.")
    weight_kl: float | None = key(None, "Weight of the KL to the task teacher beside the labels' 1; 1 unless given.")
    temperature: float | None = key(None, "Softens both predictions in that KL; 2 unless given.")

    def __post_init__(self):
        for name in ("weight_kl", "temperature"):
            value = getattr(self, name)
            if value is not None and self.task_teacher is None:
                raise UserError(f"`{name}` has no effect without `task_teacher`: leave it out")
            if value is not None and not value > 0:
                raise UserError(f"`{name}` must be positive, got {value}")

    def weights(self) -> dict[str, float]:
        """Those that are given."""
        given = {"weight_kl": self.weight_kl, "temperature": self.temperature}
        return {name: value for name, value in given.items() if value is not None}


@dataclass
class TaskTrainingArguments(TrainingArguments):
    """`TrainingArguments` with defaults for fine-tuning: evaluate and save each epoch, keep the best."""

    eval_strategy: str = key("epoch", "When to evaluate on the validation part.")
    save_strategy: str = key("epoch", "When to save a checkpoint; as `eval_strategy`.")
    logging_strategy: str = key("epoch", "When to log.")
    save_total_limit: int | None = key(1, "Checkpoints kept besides the best.")
    load_best_model_at_end: bool = key(True, "End with the checkpoint that scored best on the validation part.")
    metric_for_best_model: str = key("benchmark", "What chooses it: a metric; the benchmark's own by default.")
    train_sampling_strategy: str = key("group_by_length", "Batches of like length.")
    bf16: bool | None = key(None, "Compute in bfloat16; unless given, where a GPU has it.")

    def __post_init__(self):
        if self.bf16 is None:
            gpu = torch.cuda.is_available() and not self.use_cpu
            self.bf16 = gpu and not self.fp16 and torch.cuda.is_bf16_supported(including_emulation=False)
        super().__post_init__()
