"""Locks of files that several processes make together; the lock of a process that is killed is free."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout


@contextmanager
def alone_with(file: Path, wait: bool) -> Iterator[bool]:
    """Yield True while this process alone may make the file, False if another makes it. With `wait`, wait for the
    other; the file may exist by then.

    Raises OSError where a lock cannot be written.
    """
    lock = FileLock(file.with_name(f".{file.stem}.lock"))
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
        if file.exists():  # who still waits for this lock, or makes a new one, finds the file
            with suppress(OSError):
                Path(lock.lock_file).unlink(missing_ok=True)
