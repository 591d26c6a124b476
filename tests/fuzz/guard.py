"""Watches one call in a fork of this process: how it ends, what it prints, and what it does that it must not do.

This process must not have trained anything: torch's threads do not survive a fork.
"""

import contextlib
import multiprocessing
import os
import re
import resource
import signal
import stat
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REFUSED, SURVIVED, FAILED = "refused", "survived", "failed"
TOKEN = "hf_ThisIsNoTokenAtAll1234567890abcdef"  # given to every script; no file or output may show it
EXECUTED = "executed"  # the name of the file that planted code leaves
LONGEST = 620  # characters of a sentence
MEMORY = 16 * 2**30  # bytes of address space
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# Audit events of a change on the disk. Paths come first, descriptors of their folders last.
CHANGES = ("os.mkdir", "os.rmdir", "os.remove", "os.chmod", "os.rename", "os.link", "os.symlink")
# Audit events that are always wrong. multiprocessing starts its processes by another one.
FORBIDDEN = {"pickle.find_class", "socket.connect", "socket.getaddrinfo", "os.system", "os.exec", "os.posix_spawn"}
FORBIDDEN |= {"subprocess.Popen"}
FRESH = "from benchmarks.timing.asking import main; main()"  # the Python that a benchmark starts


@dataclass(frozen=True)
class Report:
    """What became of a call."""

    outcome: str  # refused, survived, or failed, which is neither
    faults: list[str]
    message: str  # the error, or the last line on standard error
    seconds: float


def watch(call: Callable[[], Any], folder: Path, caches: Sequence[Path], limit: float, fails: int = 2) -> Report:
    """Call in a fork that may write to `folder/here` and `caches`, and works in `folder/here/work`.

    limit: seconds, more is a hang; fails: the exit code of a script that has reported a part that failed.
    """
    here, printed = folder / "here", folder / "printed"
    for path in (here / "work", printed):
        path.mkdir(parents=True, exist_ok=True)
    before, start = contents(here), time.monotonic()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(call, here, printed, caches))
    process.start()
    process.join(limit)
    code, seconds = process.exitcode, time.monotonic() - start
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # workers that it left behind, and itself if it hangs
    process.join()

    output, errors, deeds = ((printed / name).read_text("utf-8", "replace") for name in ("output", "errors", "deeds"))
    sentences = [line for line in errors.splitlines() if line.startswith("error: ")]
    message = (sentences or [line for line in errors.splitlines() if line.strip()] or [""])[-1]
    outcome = {0: SURVIVED, fails: SURVIVED, 2: REFUSED}.get(code, FAILED)
    faults = [f"did what it must not: {deed}" for deed in deeds.splitlines()]
    if outcome == FAILED:
        faults.append(f"hung for {seconds:.0f} s" if code is None else f"ended with code {code}")
    if "Traceback (most recent call last)" in errors + output:
        faults.append("printed a traceback")
    if code == 2 and len(sentences) != 1:
        faults.append(f"printed {len(sentences)} errors")
    faults += [f"printed an error of {len(line)} characters" for line in sentences if not 20 < len(line) < LONGEST]
    faults += _faults_of_files(before, contents(here), outcome, message)
    files = [path for root in (printed, here) for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    faults += [f"revealed the token in {path.name}" for path in files if TOKEN.encode() in path.read_bytes()]
    return Report(outcome, faults, message, seconds)


def _faults_of_files(before: dict[str, tuple], after: dict[str, tuple], outcome: str, message: str) -> list[str]:
    new = sorted(after.keys() - before.keys())
    # A run whose weights break has begun: it leaves its recipe, and the vectors of its teacher.
    begun = re.compile("output(/(recipe|inputs).json|/teacher_vectors.*)?$" if "not finite" in message else "$^")
    faults = [f"refused, and left {name}" for name in new if outcome == REFUSED and not begun.match(name)]
    faults += [f"wrote {name} into its working folder" for name in new if name.startswith("work/")]
    faults += [f"ran what was planted: {name}" for name in new if Path(name).name == EXECUTED]
    changed = [name for name, facts in before.items() if after.get(name) != facts]
    return faults + [f"changed {name}" for name in changed if outcome == REFUSED or not name.startswith("output")]


def _run(call: Callable[[], Any], here: Path, printed: Path, caches: Sequence[Path]) -> None:
    """The other side of the fork. multiprocessing makes an exit code, and a traceback, of what the call raises."""
    os.setsid()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(here / "work")
    names = ("output", "errors", "deeds")
    output, errors, deeds = (os.open(printed / name, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for name in names)
    os.dup2(output, 1)
    os.dup2(errors, 2)
    sys.stdout, sys.stderr = (open(number, "w", buffering=1, encoding="utf-8") for number in (1, 2))
    allowed = tuple(f"{os.path.realpath(folder)}{os.sep}" for folder in (here, printed, *caches, "/dev", "/proc"))

    def note(text: str) -> None:
        places = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_stack()[:-2]]
        os.write(deeds, f"{text} at {' < '.join(places[:-4:-1])}\n".encode())

    def hook(event: str, arguments: tuple) -> None:
        """What the call forks inherits it, and writes to the same file."""
        paths: list[tuple] = []
        if event == "open":
            paths = [(arguments[0], -1)] if arguments[2] & WRITING and not isinstance(arguments[0], int) else []
        elif event in CHANGES:
            names = [one for one in arguments if isinstance(one, str | bytes | os.PathLike)]
            paths = list(zip(names, arguments[-len(names) :], strict=False))[event == "os.symlink" :]
        elif event in FORBIDDEN:
            words = arguments[1] if event in ("subprocess.Popen", "socket.connect") else arguments
            is_file = event == "socket.connect" and isinstance(words, str | bytes)
            # Futures of a benchmark's own processes are unpickled.
            is_fresh = event == "subprocess.Popen" and FRESH in words
            is_future = event == "pickle.find_class" and words[0].startswith("concurrent.futures")
            if not (is_file or is_fresh or is_future):
                note(f"{event} {' '.join(map(str, words)) if isinstance(words, list | tuple) else words}")
        for path, descriptor in paths:
            inside = f"/proc/self/fd/{descriptor}" if descriptor >= 0 else ""
            full = os.path.realpath(os.path.join(inside, os.fsdecode(path)))
            if not f"{full}{os.sep}".startswith(allowed):
                note(f"{event} {full}")

    sys.addaudithook(hook)
    call()


def contents(folder: Path) -> dict[str, tuple]:
    """All that is below a folder, with facts that show a change."""
    found = {}
    for path in folder.rglob("*"):
        facts = path.lstat()
        change = (facts.st_size, facts.st_mtime_ns, facts.st_mode)
        found[str(path.relative_to(folder))] = () if stat.S_ISDIR(facts.st_mode) else change
    return found
