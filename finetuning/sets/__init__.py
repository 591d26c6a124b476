"""The benchmarks by name. Listing them imports none of them; to look one up imports that one alone."""

import dataclasses
import importlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from distillation.config.errors import UserError, cli_entry
from finetuning.arguments import BenchmarkData, parse
from finetuning.formats.locate import OwnFiles, Source
from finetuning.russian_superglue.tasks import NAMES

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

# The name of each task, and of its set, which a module here, a recipe, and the demo's data are named after. The module
# has a dataclass of the set's own keys, `Options`, and makes the task of them: `task(options)`.
BENCHMARKS = (
    "collection3",
    "paraphraser",
    "rusentiment",
    "sberquad",
)
REGISTRY = {name: name for name in BENCHMARKS} | dict.fromkeys(NAMES, "russian_superglue")
OWN = ("classification", "tagging")  # sets of one's own data, which are no benchmarks


def make_task(name: str, recipe: Mapping[str, Any] | None = None) -> "Task":
    """A task by its name.

    recipe: the keys of a run, as its `all_results.json` has them; those that the set does not know do not matter.
    Raises UserError for a key's value that the set does not have.
    """
    module = set_of(name)
    given = dict(recipe or {}) | {"task": name}  # `task` says which of Russian SuperGLUE's
    known = {field.name for field in dataclasses.fields(module.Options)}
    return module.task(module.Options(**{key: value for key, value in given.items() if key in known}))


def set_of(name: str) -> ModuleType:
    """The module of the set that a task belongs to. Raises UserError for a name that is none."""
    if name not in (*REGISTRY, *OWN):
        raise UserError(f"there is no task {name!r}: choose one of {', '.join(REGISTRY)}")
    return importlib.import_module(f"finetuning.sets.{REGISTRY.get(name, name)}")


def script(name: str, data: type = BenchmarkData) -> Callable[[list[str] | None], None]:
    """The `main` of a set's script. data: the keys that say where the data are."""

    @cli_entry
    def main(argv: list[str] | None = None) -> None:
        """Fine-tune, score, save."""
        module = set_of(name)
        settings = parse(name, module.Options, argv, data, getattr(module, "check", None))
        from finetuning.finetune import run  # heavy imports only where the arguments are right

        run(named_after_source(module.task(settings.options), name, settings.data.source), settings)

    return main


def source_of(recipe: Mapping[str, Any]) -> Source:
    """Where the data of a run were. recipe: its keys."""
    files = (recipe.get(f"{part}_file") for part in OwnFiles._fields)
    return OwnFiles(*files) if recipe.get("train_file") else str(recipe.get("data_dir"))


def named_after_source(task: "Task", name: str, source: Source) -> "Task":
    """The task with the name of one's own data, or as it is for a benchmark's own folder. Files called `train` give
    the name of their folder."""
    if name in REGISTRY and not isinstance(source, OwnFiles):
        return task
    path = Path(os.path.abspath(source if isinstance(source, str) else source.train))
    title = path.name.split(".")[0]
    title = path.parent.name if title == "train" else title
    return dataclasses.replace(task, name=title, set=name, split="test")
