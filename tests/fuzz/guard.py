"""One call in a fork of this process, watched: how it ended, what it said, and what it did that it must not do.

In a fork, since a call may hang where no signal handler runs, end the process, or leave something behind in it; and
none has to import the libraries again. So this process must not have trained anything: torch's threads do not survive
a fork.
"""

import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MEMORY = 16 * 2**30  # bytes of address space: what wants more was asked for too much
POLL = 0.01  # seconds
FRAMES = 3  # of a stack that are told
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
DEVICES = ("/dev/", "/proc/")
# Audit events of a change on the disk: where the paths stand among the arguments, and the folders they are in.
CHANGES = {
    "os.mkdir": {0: 2},
    "os.rmdir": {0: 1},
    "os.remove": {0: 1},
    "os.truncate": {0: None},
    "os.chmod": {0: 2},
    "os.rename": {0: 2, 1: 3},
    "os.link": {0: 2, 1: 3},
    "os.symlink": {1: 2},
}
# Events of what is never right. multiprocessing starts its processes without the latter ones.
FORBIDDEN = ("pickle.find_class", "socket.connect", "socket.getaddrinfo", "os.system", "os.exec", "os.posix_spawn")
FORBIDDEN += ("subprocess.Popen",)


@dataclass(frozen=True)
class Report:
    """code: the exit code, negative for a signal, None for a hang; deeds: what the audit hook saw, a line each."""

    code: int | None
    output: str
    errors: str
    deeds: list[str]
    seconds: float


def watch(call: Callable[[], Any], work: Path, said: Path, allowed: Sequence[Path], limit: float) -> Report:
    """Call in a fork whose working folder is `work`.

    said: a folder for what it prints; allowed: folders that it may write to; limit: seconds.
    """
    said.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    sys.stdout.flush()
    sys.stderr.flush()
    process = os.fork()
    if not process:
        _be_watched(call, work, said, [*allowed, said])
    status = _wait(process, begin + limit)
    _end_group(process)  # workers that it left behind
    told = [(said / name).read_text("utf-8", "replace") for name in ("output", "errors", "deeds")]
    return Report(status, *told[:2], told[2].splitlines(), time.monotonic() - begin)


def _wait(process: int, deadline: float) -> int | None:
    while time.monotonic() < deadline:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL)
    _end_group(process)
    os.waitpid(process, 0)
    return None


def _end_group(process: int) -> None:
    try:
        os.killpg(process, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _be_watched(call: Callable[[], Any], work: Path, said: Path, allowed: Sequence[Path]) -> None:
    """The other side of the fork, which never returns."""
    code = 1
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chdir(work)
        for number, name in ((1, "output"), (2, "errors")):
            os.dup2(os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.stdout, sys.stderr = (open(number, "w", buffering=1, encoding="utf-8") for number in (1, 2))
        deeds = os.open(said / "deeds", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
        sys.addaudithook(_Hook(deeds, allowed))
        code = _code_of(call)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _code_of(call: Callable[[], Any]) -> int:
    """The exit code of a script that makes this call, which has printed what the interpreter would print."""
    try:
        call()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


class _Hook:
    """Notes what a process must not do; those that it forks note in the same file."""

    def __init__(self, deeds: int, allowed: Sequence[Path]):
        self.deeds = deeds
        self.allowed = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in allowed)

    def __call__(self, event: str, arguments: tuple) -> None:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(path, int) and flags & WRITING:
                self._check(event, path, None)
        elif event in CHANGES:
            for place, folder in CHANGES[event].items():
                self._check(event, arguments[place], arguments[folder] if folder is not None else None)
        elif event in FORBIDDEN:
            self._judge(event, arguments)

    def _check(self, event: str, path: Any, folder: int | None) -> None:
        if isinstance(path, int):
            return
        inside = f"/proc/self/fd/{folder}" if folder is not None and folder >= 0 else ""
        full = os.path.realpath(os.path.join(inside, os.fsdecode(path)))
        if not f"{full}{os.sep}".startswith((*self.allowed, *DEVICES)):
            self._note(f"{event} {full}")

    def _judge(self, event: str, arguments: tuple) -> None:
        if event == "socket.connect" and isinstance(arguments[1], str | bytes):
            return  # a file
        if event == "pickle.find_class" and arguments[0].startswith("concurrent.futures"):
            return  # what the processes of a benchmark tell each other
        words = arguments[1] if event == "subprocess.Popen" else arguments
        told = " ".join(map(str, words)) if isinstance(words, list | tuple) else str(words)
        self._note(f"{event} {told}")

    def _note(self, text: str) -> None:
        stack = traceback.extract_stack()[:-3]
        places = " < ".join(f"{frame.filename}:{frame.lineno}" for frame in reversed(stack[-FRAMES:]))
        os.write(self.deeds, f"{text} at {places}\n".encode())


def contents(folder: Path) -> dict[str, tuple]:
    """All that is below a folder, with what tells whether it was changed."""
    found = {}
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "Microsoft"]  # where ONNX Runtime writes at every import
        for name in (*folders, *files):
            path = Path(place, name)
            facts = path.lstat()
            is_folder = path.is_dir() and not path.is_symlink()
            found[str(path.relative_to(folder))] = (
                ("folder",) if is_folder else (facts.st_size, facts.st_mtime_ns, facts.st_mode)
            )
    return found


def remove(folder: Path) -> None:
    """With what nobody may look into."""
    for place, folders, _ in os.walk(folder):
        for name in folders:
            if not Path(place, name).is_symlink():
                Path(place, name).chmod(0o700)
    shutil.rmtree(folder)
