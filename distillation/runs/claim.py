"""One run writes to a folder at a time: two that were started together would mix their checkpoints."""

import os
from pathlib import Path

from distillation.config.errors import LocalError

_claimed: list[int] = []  # the descriptor of the folder that this process writes to


def claim(folder: Path) -> None:
    """Lock a folder until this process locks another, or ends. Raises LocalError if another process has done so."""
    if os.name == "nt":
        return
    import fcntl

    _release()
    _claimed.append(os.open(folder, os.O_RDONLY))
    try:
        fcntl.flock(_claimed[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = f"another run writes to `output_dir` {str(folder)!r}: wait until it ends, or name another folder"
        raise LocalError(text) from None
    except OSError:  # a file system that locks no folders
        pass


def _release() -> None:
    while _claimed:
        os.close(_claimed.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release)  # a data loader's worker would keep the lock of a killed run
