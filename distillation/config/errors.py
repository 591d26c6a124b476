"""What a user got wrong becomes one sentence and an exit code."""

import errno
import functools
import logging
import os
import re
import sys
from collections.abc import Callable
from typing import Any

NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.ENAMETOOLONG}
HALF = 290  # characters of a sentence that are always shown, at its start and at its end
STAGES = ("distillation", "finetuning", "benchmarks")


class UserError(ValueError):
    """What the user asked for cannot be done. The message is one sentence that names the key and the remedy."""


class LocalError(UserError):
    """A UserError that perhaps only one process of several meets: that process prints it, whatever its rank."""


class Stopped(Exception):
    """A signal has ended the run in good order. The message says how to go on."""

    def __init__(self, message: str, code: int):
        """code: the exit code that shells have for that signal."""
        super().__init__(message)
        self.code = code


def one_line(error: Exception | str) -> str:
    """A library's message, fit for the end of such a sentence."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def cli_entry(main: Callable[[list[str] | None], Any]) -> Callable[[list[str] | None], Any]:
    """Make `main(argv)` end with one sentence on standard error and exit code 2 on a `UserError`.

    The main process logs everything and the others only warnings. The process group is left before the interpreter
    ends: gloo's threads may still hold tensors then, and one that frees them too late aborts the process.
    """

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> Any:
        main_process = os.environ.get("RANK", "0") == "0"
        logging.basicConfig(format="%(message)s")
        for stage in STAGES:
            logging.getLogger(stage).setLevel(logging.INFO if main_process else logging.WARNING)
        try:
            result = main(argv)
        except UserError as error:
            if main_process or isinstance(error, LocalError):  # every rank meets the others: one of them prints
                print(f"error: {_sentence(error)}", file=sys.stderr)
            raise SystemExit(2) from None
        except OSError as error:
            if error.errno not in NOT_WRITTEN:
                raise
            where = f"{error.filename!r} " if error.filename else ""
            print(f"error: {where}cannot be written ({error.strerror}): make room, or name another", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            if main_process:
                print("interrupted: what has checkpoints goes on by `--resume_from_checkpoint true`", file=sys.stderr)
            raise SystemExit(130) from None
        except Stopped as stopped:
            if main_process:
                print(stopped, file=sys.stderr)
            _leave_group()
            raise SystemExit(stopped.code) from None
        _leave_group()
        return result

    return guarded


def _leave_group() -> None:
    torch = sys.modules.get("torch")  # what was never imported has no process group
    if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _sentence(error: UserError) -> str:
    """Its message, without the middle if it quotes a whole file: the remedy stands at the end."""
    # What a data loader's worker raised has its traceback in front.
    text = re.split(r"(?:User|Local)Error: ", str(error))[-1].strip()
    return text if len(text) < 2 * HALF else f"{text[:HALF]} ... {text[-HALF:]}"
