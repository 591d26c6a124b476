"""What the scripts that measure have in common on their command lines. Imports nothing heavy."""

from dataclasses import dataclass
from typing import Any

from distillation.config.command_line import check_output_file, key
from distillation.config.errors import UserError


@dataclass
class TimingArguments:
    """How often, and where the figures go."""

    rounds: int = key(5, "How often each is measured, in turn with all others.")
    output: str | None = key(None, "JSON file for the figures.")

    def __post_init__(self):
        check_positive(self, "rounds")
        check_output_file(self.output)


def check_positive(arguments: Any, *names: str) -> None:
    """Raise UserError for a number, or one of a list of numbers, that is not above 0."""
    for name in names:
        value = getattr(arguments, name)
        if not all(one > 0 for one in (value if isinstance(value, list) else [value])):
            raise UserError(f"`{name}` must be above 0, got {value}")


def check_device(device: str) -> None:
    """Raise UserError for a GPU that torch does not find."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("`device` is cuda, and torch finds no GPU")
