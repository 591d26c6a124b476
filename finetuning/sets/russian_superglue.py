"""Russian SuperGLUE: nine tasks about what follows from a text, of which each is one in the registry."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from distillation.config.command_line import key
from distillation.config.errors import UserError
from finetuning.russian_superglue.tasks import NAMES, make_task

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

ALL = "all"


@dataclass
class Options:
    """Which tasks, and whether to write a submission."""

    task: str = key(ALL, f"One of {', '.join(NAMES)}, or `all`.")
    submission: str | None = key(None, "Zip for the leaderboard; tasks that were not run get the commonest label.")

    def __post_init__(self):
        self.task = self.task.lower()
        if self.task not in (ALL, *NAMES):
            raise UserError(f"`task` is {self.task!r}; choose one of {', '.join(NAMES)}, or `all`")


def task(options: Options) -> "Task":
    """The one that the options name."""
    return make_task(options.task)
