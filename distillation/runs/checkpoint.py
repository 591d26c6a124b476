"""A checkpoint of a run: how it is written, and how one that is complete is told from one that is not."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from distillation.config.errors import LocalError, one_line

if TYPE_CHECKING:
    from transformers import Trainer

COMPLETE = "complete.json"  # of a checkpoint: the size of every other file, written last


def folder_of(trainer: "Trainer") -> Path:
    """Where the checkpoint of the trainer's step lies."""
    return Path(trainer.args.output_dir, f"checkpoint-{trainer.state.global_step}")


@contextlib.contextmanager
def writing(trainer: "Trainer") -> Iterator[Path]:
    """The folder of the checkpoint that all ranks write in this block. It is marked as complete at the end, and only
    then older ones are deleted. Raises LocalError, and removes it, where it cannot be written."""
    from transformers.trainer_utils import rotate_checkpoints  # heavy

    args, wait = trainer.args, trainer.accelerator.wait_for_everyone
    folder = folder_of(trainer)
    limit, args.save_total_limit = args.save_total_limit, None  # the Trainer would delete others first
    try:
        with explain_write_errors(args.output_dir):
            if args.should_save and folder.exists():  # incomplete: its files must not be marked
                shutil.rmtree(folder)
            wait()
            yield folder
            wait()
            if args.should_save:
                mark_complete(folder)
                rotate_checkpoints(args.output_dir, limit, trainer.state.best_model_checkpoint, use_mtime=True)
            wait()
    except LocalError:
        if args.should_save:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        args.save_total_limit = limit


def mark_complete(folder: Path) -> None:
    """Mark a checkpoint as complete, once all of it is on the disk."""
    paths = sorted(folder.rglob("*"))
    _to_disk(*paths)
    sizes = {str(path.relative_to(folder)): path.stat().st_size for path in paths if path.is_file()}
    (folder / COMPLETE).write_text(json.dumps(sizes, indent=2) + "\n", encoding="utf-8")
    _to_disk(folder / COMPLETE, folder, folder.parent)


def _to_disk(*paths: Path) -> None:
    """Flush files, and the names in folders."""
    for path in paths if os.name != "nt" else ():  # Windows opens no folders
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint is marked, and each of its files has the size that it had then."""
    try:
        sizes = json.loads((folder / COMPLETE).read_text(encoding="utf-8"))
        return all((folder / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def checkpoints(output_dir: str | Path) -> list[Path]:
    """The `checkpoint-N` of a run, the newest first."""
    steps = {folder: folder.name.split("-")[-1] for folder in Path(output_dir).glob("checkpoint-*")}
    return sorted((one for one in steps if steps[one].isdecimal()), key=lambda one: int(steps[one]), reverse=True)


@contextlib.contextmanager
def explain_write_errors(output_dir: str | Path) -> Iterator[None]:
    """Raise LocalError in this block for an `output_dir` that cannot be written; it names the newest checkpoint."""
    try:
        yield
    except (OSError, SafetensorError, RuntimeError) as error:
        torch_wrote = "inline_container" in str(error) or "iostream" in str(error)  # torch has no error class for this
        if not (torch_wrote or isinstance(error, SafetensorError) or getattr(error, "errno", None) is not None):
            raise  # an OSError without `errno` comes from the Hub
        cause = getattr(error, "strerror", None) or one_line(error)
        remedy = "make room, or name another folder"
        if complete := next(filter(is_complete, checkpoints(output_dir)), None):
            remedy = f"make room, then resume {complete.name}, which is complete, by `--resume_from_checkpoint true`"
        raise LocalError(f"`output_dir` {str(output_dir)!r} cannot be written ({cause}): {remedy}") from None
