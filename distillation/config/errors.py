"""A user's mistake becomes one sentence on standard error and an exit code."""

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
LAUNCHED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR")  # pods and job arrays set some, a launcher sets all


class UserError(ValueError):
    """What the user asked for cannot be done. The message is one sentence that names the key and the remedy."""


class LocalError(UserError):
    """A UserError that may occur on one rank alone: that rank prints it."""


class Diverged(UserError):
    """A loss or weights that are not finite; all ranks raise it."""


class Stopped(Exception):
    """A signal ended the run in good order. The message says how to resume it."""

    def __init__(self, message: str, code: int):
        """code: the exit code that shells use for that signal."""
        super().__init__(message)
        self.code = code


def one_line(error: Exception | str) -> str:
    """A library's message in one line and without colours, for the end of an error."""
    return " ".join(re.sub(r"\x1b\[[\d;]*m", "", str(error)).split())[:300] or type(error).__name__


def cli_entry(main: Callable[[list[str] | None], Any]) -> Callable[[list[str] | None], Any]:
    """Make `main(argv)` print one sentence and exit with code 2 on a `UserError`. Rank 0 logs all, others warn."""

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> Any:
        if os.environ.keys() & set(LAUNCHED) == {"LOCAL_RANK"}:
            del os.environ["LOCAL_RANK"]  # for this alone transformers would wait for other ranks
        prints, code = os.environ.get("RANK") == "0" or not os.environ.keys() >= set(LAUNCHED), 2
        logging.basicConfig(format="%(message)s")
        for stage in STAGES:
            logging.getLogger(stage).setLevel(logging.INFO if prints else logging.WARNING)
        try:
            result = main(argv)
        except UserError as error:
            message, prints = f"error: {_sentence(error)}", prints or isinstance(error, LocalError)
        except OSError as error:
            if error.errno not in NOT_WRITTEN:
                raise
            where = f"{error.filename!r} " if error.filename else ""
            message = f"error: {where}cannot be written ({error.strerror}): make room, or name another place"
            prints = True
        except KeyboardInterrupt:
            message, code = "interrupted", 130
        except Stopped as stopped:
            message, code = str(stopped), stopped.code
            _leave_group()
        else:
            _leave_group()
            return result
        if prints:
            print(message, file=sys.stderr)
        raise SystemExit(code)

    return guarded


def _leave_group() -> None:
    """Destroy the process group: tensors that gloo's threads still hold at the interpreter's end abort the process."""
    torch = sys.modules.get("torch")  # if it was never imported, there is no process group
    if torch and torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def _sentence(error: UserError) -> str:
    """The message of an error. A long one, which quotes a file, loses its middle: the remedy stands at the end."""
    # An error of a data loader's worker starts with a traceback.
    text = re.split(r"(?:User|Local)Error: ", str(error))[-1].strip()
    return text if len(text) < 2 * HALF else f"{text[:HALF]} ... {text[-HALF:]}"
