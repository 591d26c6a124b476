"""The benchmarks by name. Listing them imports none of them; to look one up imports that one alone."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any

from distillation.config.errors import UserError, cli_entry
from finetuning.arguments import parse
from finetuning.russian_superglue.tasks import NAMES

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

# The name of each task, and of its set, which a module here, a recipe, and the demo's data are named after. The module
# has a dataclass of the set's own keys, `Options`, and makes the task of them: `task(options)`.
REGISTRY = {name: name for name in ("rusentiment", "paraphraser", "collection3", "sberquad")}
REGISTRY |= dict.fromkeys(NAMES, "russian_superglue")


def make_task(name: str, recipe: Mapping[str, Any] | None = None) -> "Task":
    """A task by its name.

    recipe: the keys of a run, as its `all_results.json` has them; those that the set does not know do not matter.
    Raises UserError for a name that is none, or a key's value that the set does not have.
    """
    module = set_of(name)
    given = dict(recipe or {}) | {"task": name}  # `task` says which of Russian SuperGLUE's
    known = {field.name for field in dataclasses.fields(module.Options)}
    return module.task(module.Options(**{key: value for key, value in given.items() if key in known}))


def set_of(name: str) -> ModuleType:
    """The module of the set that a task belongs to. Raises UserError for a name that is none."""
    if name not in REGISTRY:
        raise UserError(f"there is no task {name!r}: choose one of {', '.join(REGISTRY)}")
    return importlib.import_module(f"finetuning.sets.{REGISTRY[name]}")


def script(name: str) -> Callable[[list[str] | None], None]:
    """The `main` of a set's script."""

    @cli_entry
    def main(argv: list[str] | None = None) -> None:
        """Fine-tune, score, save."""
        module = set_of(name)
        settings = parse(name, module.Options, argv)
        from finetuning.experiment import run  # heavy imports only where the arguments are right

        run(module.task(settings.options), settings)

    return main
