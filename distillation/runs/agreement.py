"""What one process of several meets, and all have to end with: an error, a disk that is full."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate.utils import gather_object
from safetensors import SafetensorError

from distillation.config.errors import LocalError, UserError, one_line
from distillation.runs.sealing import whole_checkpoints


def all_raise(problem: str | None) -> None:
    """Raise the first problem that a process has as a UserError, in every process. Each calls it, also without."""
    for told in gather_object([problem]):
        if told is not None:
            raise UserError(told)


@contextmanager
def together() -> Iterator[None]:
    """Here a LocalError of one process is one of all; each process comes here."""
    problem = None
    try:
        yield
    except LocalError as error:
        problem = str(error)
    all_raise(problem)


@contextmanager
def writing(output_dir: str | Path) -> Iterator[None]:
    """Here an `output_dir` that cannot be written is a LocalError, which says what of a run is left."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        if not _is_of_writing(error):
            raise
        cause = getattr(error, "strerror", None) or one_line(error)
        whole = next(whole_checkpoints(output_dir), None)
        remedy = "make room, or name another folder"
        if whole:
            remedy = f"make room, then go on from {whole.name}, which is whole, by `--resume_from_checkpoint true`"
        raise LocalError(f"`output_dir` {str(output_dir)!r} cannot be written ({cause}): {remedy}") from None


def _is_of_writing(error: Exception) -> bool:
    """Whether a file could not be written. Torch tells by words alone; errors of the Hub have no number."""
    if isinstance(error, OSError):
        return error.errno is not None
    return isinstance(error, SafetensorError) or "inline_container" in str(error) or "iostream" in str(error)
