"""What the scripts that measure have in common on their command lines. Imports nothing heavy."""

from dataclasses import dataclass

from distillation.config.command_line import check_output_file, key
from distillation.config.errors import UserError


@dataclass
class TimingArguments:
    """How often, and where the figures go."""

    rounds: int = key(5, "How often each is measured, in turn with all others.", least=1)
    output: str | None = key(None, "JSON file for the figures.")

    def __post_init__(self):
        check_output_file(self.output)


def check_device(device: str) -> None:
    """Raise UserError for a GPU that torch does not find."""
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("`device` is cuda, and torch finds no GPU")
