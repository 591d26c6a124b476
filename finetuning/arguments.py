"""The keys of a fine-tuning recipe. Every field of `TrainingArguments` is a key as well."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillation.config.arguments import PushArguments
from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError
from distillation.config.recipe import parse_recipe
from distillation.config.training import SEEDS
from finetuning.formats.locate import OwnFiles, Source

if TYPE_CHECKING:
    from finetuning.trainer import TaskTrainingArguments

RECIPES = Path(__file__).parent / "recipes"


@dataclass
class FinetuningArguments:
    """The checkpoint and the runs."""

    model_name_or_path: str = key(REQUIRED, "Checkpoint to fine-tune: a Hub id or a folder.", path="model")
    max_length: int = key(512, "Tokens of an input; fewer where the model has fewer positions.", least=16)
    early_stopping_patience: int = key(0, "Evaluations without a better score before a stop; 0: no stop.", least=0)
    seeds: list[int] = key([], "Several runs, a folder each, and their mean; instead of `seed`.", least=0, below=SEEDS)
    learning_rates: list[float] = key(
        [], "Rates to try; the validation part chooses. Instead of `learning_rate`.", above=0, below=math.inf
    )
    max_train_samples: int | None = key(
        None, "Examples to train on, and texts without labels: always the same. For a first look.", least=2
    )
    random_weights: bool = key(False, "Start the model from random weights: the floor to compare with.")

    def __post_init__(self):
        for name, values in {"learning_rates": self.learning_rates, "seeds": self.seeds}.items():
            if len({*values}) < len(values):
                raise UserError(f"`{name}` must be different numbers, got {values}")


@dataclass
class BenchmarkData:
    """Where the data of a benchmark are."""

    data_dir: str = key(REQUIRED, "Folder of the benchmark's own files, its id on the Hub, or `demo`.", path="source")

    @property
    def source(self) -> Source:
        """What a task reads."""
        return self.data_dir


@dataclass
class OwnData:
    """Files of one's own, or another set."""

    train_file: str | None = key(None, "File to train on.", path="local")
    validation_file: str | None = key(
        None, "File that chooses the best epoch; a tenth of train unless given.", path="local"
    )
    test_file: str | None = key(None, "File that is reported; a tenth of train unless given.", path="local")
    data_dir: str | None = key(None, "In place of files: a data set's id on the Hub, or its folder.", path="source")

    def __post_init__(self):
        if (self.train_file is None) == (self.data_dir is None):
            raise UserError("name the data once: by `train_file`, or by `data_dir`")
        files = {"train_file": self.train_file, "validation_file": self.validation_file, "test_file": self.test_file}
        files = {name: file for name, file in files.items() if file is not None}
        if self.data_dir is not None and files:
            raise UserError(f"`{next(iter(files))}` goes with `train_file`; `data_dir` has its own parts")
        if len({Path(file).resolve() for file in files.values()}) < len(files):
            raise UserError(f"{', '.join(f'`{name}`' for name in files)} must be different files")

    @property
    def source(self) -> Source:
        """What a task reads."""
        return self.data_dir or OwnFiles(self.train_file, self.validation_file, self.test_file)


@dataclass
class TaskTeacherArguments:
    """A task teacher. It is the second step of distillation, as for SQuAD in arXiv 1910.01108, with equal weights and
    temperature 2."""

    task_teacher: str | None = key(None, "Model fine-tuned on this task: a Hub id or a folder.", path="model")
    weight_kl: float = key(1.0, "Weight of the KL to the task teacher beside the labels' 1.", above=0)
    temperature: float = key(2.0, "Softens both predictions in that KL.", above=0)
    unlabelled_file: str | None = key(
        None, "Texts without labels, which the teacher labels: a file, folder, or glob.", path="corpus"
    )

    def __post_init__(self):
        if self.task_teacher is None and (self.weight_kl, self.temperature, self.unlabelled_file) != (1, 2, None):
            names = "`weight_kl`, `temperature`, and `unlabelled_file`"
            raise UserError(f"{names} have no effect without `task_teacher`: leave them out")


ARGUMENTS = (FinetuningArguments, TaskTeacherArguments, PushArguments)


@dataclass(frozen=True)
class Settings:
    """What a recipe and the command line say."""

    arguments: FinetuningArguments
    data: BenchmarkData | OwnData
    options: Any  # the keys that only this set has
    teacher: TaskTeacherArguments
    card: PushArguments
    training: "TaskTrainingArguments"


def parse(
    recipe: str,
    options: type,
    argv: Sequence[str] | None = None,
    data: type = BenchmarkData,
    check: Callable[[OwnFiles, Any], None] | None = None,
) -> Settings:
    """Parse the command line over a recipe. Nothing heavy is imported before all keys but the Trainer's are right.

    recipe: the name of the one in `recipes/` below what the user says; options: the dataclass of the set's own keys;
    data: that of the keys that say where the data are; check: of files of one's own, and the set's keys.
    Raises UserError as `parse_recipe` and `check` do.
    """

    def check_files(_: Any, where: BenchmarkData | OwnData, options: Any, *__: Any) -> None:
        if check and isinstance(where.source, OwnFiles):
            check(where.source, options)

    types = (FinetuningArguments, data, options, TaskTeacherArguments, PushArguments)
    base = RECIPES / f"{recipe}.yaml"
    return Settings(*parse_recipe(*types, argv=argv, base=base, training=training_class, check=check_files))


def training_class() -> "type[TaskTrainingArguments]":
    """Imported late: it needs transformers."""
    from finetuning.trainer import TaskTrainingArguments

    return TaskTrainingArguments
