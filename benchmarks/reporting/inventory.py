"""Which results there are: every result file in files and folders, told apart by what it holds."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.reporting.files import check_history, check_run, check_timing
from distillation.config.errors import UserError
from distillation.runs.files import RESULTS, STATE
from distillation.runs.result_files import find, hardware_of, is_timing, of_fine_tuning, read

# What tells two timings apart.
TIMED = ("hardware", "source", "model", "head", "backend", "device", "batch_size", "sequence_length")


@dataclass
class Inventory:
    """What was found.

    runs: the results of each training run by its folder; histories: what distillation runs logged, by their folder;
    timings: rows of inference results, each with its `hardware` as text.
    """

    runs: dict[Path, dict[str, Any]] = field(default_factory=dict)
    histories: dict[Path, list[dict[str, float]]] = field(default_factory=dict)
    timings: list[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def distilled(self) -> dict[Path, dict[str, Any]]:
        """The runs that trained a student and measured it."""
        return {folder: run for folder, run in self.runs.items() if "student_heldout_loss" in run}

    @cached_property
    def fine_tuned(self) -> dict[Path, dict[str, Any]]:
        """The runs that fine-tuned a model on a task."""
        return of_fine_tuning(self.runs)


def take_stock(paths: Iterable[Path]) -> Inventory:
    """Read all result files; those in `checkpoint-*` are of unfinished runs and do not count.

    Raises UserError for a path that is not there, a named file that is no JSON, one thing timed twice, and nothing
    found. A file in a folder that is no JSON is named in a warning.
    """
    paths = list(paths)
    inventory = Inventory()
    origins: dict[tuple, Path] = {}
    for path, named in find(paths).items():
        content = read(path, named)
        if path.name == RESULTS and isinstance(content, dict):
            check_run(path, content)
            inventory.runs[path.parent] = content
        elif is_timing(content):
            inventory.timings += _timings(path, content, origins)
    inventory.timings = _told_apart(inventory.timings)
    for folder in inventory.distilled:
        if (folder / STATE).is_file():
            inventory.histories[folder] = check_history(folder / STATE, read(folder / STATE))
    if not (inventory.distilled or inventory.fine_tuned or inventory.timings):
        raise UserError(
            f"no results in {', '.join(map(str, paths))}: name folders of finished runs, or files of inference results"
        )
    return inventory


def _timings(path: Path, content: Mapping[str, Any], origins: dict[tuple, Path]) -> list[dict[str, Any]]:
    """The rows of a file, each with the hardware. origins: where each thing was timed so far; it grows."""
    rows = [row | {"hardware": hardware_of(content)} for row in content["rows"]]
    for row in rows:
        check_timing(path, row)
        key = tuple(row[name] for name in TIMED)
        if key in origins:
            raise UserError(
                f"{row['model']} with {row['backend']} was timed twice, in {origins[key]} and in {path}: name one file"
            )
        origins[key] = path
    return rows


def _told_apart(timings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows; models of one name also by where they came from."""
    sources = Counter(name for name, _ in {(row["model"], row["source"]) for row in timings})
    return [
        row | {"model": f"{row['model']} ({row['source']})"} if sources[row["model"]] > 1 else row for row in timings
    ]


def short_names(folders: Sequence[Path]) -> dict[Path, str]:
    """Each folder by as few of its last names as no other has."""
    ends = {path: ["/".join(path.parts[-length:]) for length in range(1, len(path.parts) + 1)] for path in folders}
    counts = Counter(end for of_one in ends.values() for end in of_one)
    return {path: next(end for end in of_one if counts[end] == 1) for path, of_one in ends.items()}
