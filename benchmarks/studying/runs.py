"""Runs of the project's scripts: each in a process of its own and made once."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.studying.processes import call
from distillation.config.recipe import UserError, one_line
from distillation.runs.files import RESULTS, write_text

ROOT = Path(__file__).resolve().parents[2]
RESUME = "--resume_from_checkpoint=true"  # what was interrupted goes on
MADE_BY, LOG = "command.txt", "run.log"


@dataclass(frozen=True)
class Run:
    """One script with its options, and the folder for what it makes, of which `result` is written last."""

    name: str
    script: str  # its path from the repository's root
    options: tuple[str, ...]
    folder: Path
    result: str = RESULTS
    resumes: bool = True  # the script takes `RESUME`
    made_of: str = ""  # what else it depends on: the identity of the run whose model it takes

    @property
    def identity(self) -> str:
        """What it is made by: the command, the contents of recipes that it names, and what it is made of."""
        recipes = [word.removeprefix("--config=") for word in self.options if word.endswith(".yaml")]
        contents = [Path(file).read_text("utf-8") for file in recipes]
        return "\n".join([self.script, *self.options, *contents, *[self.made_of] * bool(self.made_of)])

    def check(self) -> None:
        """Raise UserError for a folder that another run made, or this one of something else."""
        made_by = self.folder / MADE_BY
        if made_by.exists() and made_by.read_text(encoding="utf-8") != self.identity:
            raise UserError(
                f"{self.folder} holds a run of another command or recipe, or of another model: remove it, or "
                "name another output_dir"
            )

    @property
    def finished(self) -> bool:
        """Whether its result is there."""
        return (self.folder / self.result).exists()

    def make(self, threads: int) -> None:
        """Make it unless it is there; the exit code 1 and its last words if it fails."""
        self.check()
        if self.finished:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        write_text(self.folder / MADE_BY, self.identity)
        log = self.folder / LOG
        code = call(ROOT / self.script, [*self.options, *[RESUME] * self.resumes], log, threads)
        if code and not self.finished:  # when two end at once, `multiprocessing` may tell the wrong code
            last = one_line(log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2])
            sys.exit(f"error: {self.name} failed with exit code {code}, see {log}: {last}")

    def results(self) -> dict[str, Any]:
        """What it found."""
        return json.loads((self.folder / self.result).read_text(encoding="utf-8"))


def options(keys: Mapping[str, Any]) -> tuple[str, ...]:
    """Keys of a recipe as words of a command line; a key without a value is left out."""
    words = []
    for key, value in keys.items():
        if isinstance(value, list):
            words += [f"--{key}", *map(str, value)]
        elif value is not None:
            words.append(f"--{key}={str(value).lower() if isinstance(value, bool) else value}")
    return tuple(words)


def at_once(work: Mapping[str, Callable[[int], Any]], jobs: int) -> Iterator[str]:
    """Do some of the work at a time, in order, and give the name of each when it is done. Each is told its share of
    the cores, in threads. What fails is told at the end, with exit code 1: the others are done all the same."""
    together = max(1, min(jobs, len(work)))
    threads = max(1, len(os.sched_getaffinity(0)) // together)
    failures = []
    with ThreadPoolExecutor(together) as pool:
        names = {pool.submit(do, threads): name for name, do in work.items()}
        try:
            for future in as_completed(names):
                try:
                    future.result()
                    yield names[future]
                except SystemExit as failure:
                    failures.append(str(failure))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    if failures:
        sys.exit("\n".join(failures))
