"""The result files of other runs: found, read, told apart, and the models that they are of."""

import itertools
import json
import logging
import os.path
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError, one_line
from distillation.runs.files import STATE

logger = logging.getLogger(__name__)

THE_SAME = 1000  # names in common: more than any path has


def find(paths: Iterable[Path]) -> dict[Path, bool]:
    """Each JSON file in these files and folders, and whether it was named itself. Those in `checkpoint-*` are of
    unfinished runs and do not count.

    Raises UserError for a path that is not there.
    """
    found: dict[Path, bool] = {}
    for path in paths:
        if not os.path.exists(path):
            raise UserError(f"{path} does not exist: name folders of finished runs, or result files")
        if path.is_file():
            found[path.resolve()] = True
            continue
        for file in sorted(path.rglob("*.json")):
            folders = file.relative_to(path).parts[:-1]
            unfinished = any(folder.startswith("checkpoint-") for folder in folders)
            if file.is_file() and file.name != STATE and not unfinished:
                found.setdefault(file.resolve(), False)
    return found


def read(path: Path, named: bool = False) -> Any:
    """The content of a file. named: by the user, and not one of a folder's, which is skipped with a warning.

    Raises UserError for a named file that is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if named:
            raise UserError(
                f"{path} cannot be read as JSON ({one_line(error)}): name a result file, or its folder"
            ) from None
        logger.warning("%s cannot be read as JSON and is skipped: %s", path, one_line(error))
        return None


def of_fine_tuning(found: Mapping[Path, dict[str, Any]]) -> dict[Path, dict[str, Any]]:
    """Of the results of all kinds of runs, by their folders, those that count as a fine-tuned model's: of several
    seeds their mean alone."""
    return {
        folder: results
        for folder, results in found.items()
        if "task" in results and "seeds" not in found.get(folder.parent, {})
    }


def is_timing(content: Any) -> bool:
    """Whether these are the figures of `benchmarks/inference.py`."""
    if not isinstance(content, dict) or not isinstance(content.get("hardware"), dict):
        return False
    rows = content.get("rows")
    known = {"model", "backend", "batch_size"}
    return isinstance(rows, list) and bool(rows) and all(isinstance(row, dict) and known <= row.keys() for row in rows)


def hardware_of(timing: Mapping[str, Any]) -> str:
    """On what it was measured, as text."""
    return ", ".join(f"{name} {value}" for name, value in timing["hardware"].items())


def matches(model: str, sources: Iterable[str]) -> list[str]:
    """The sources that mean this model: the longest end of the path in common, and at least the last name.

    A run knows its model by the path or Hub id it was started with, perhaps on another machine. Paths that are both
    there are compared as what they point at.
    """
    lengths = {source: _common_end(model, source) for source in sources}
    longest = max(lengths.values(), default=0)
    return [source for source, length in lengths.items() if length == longest > 0]


def _common_end(one: str, other: str) -> int:
    """How many names two paths have in common, counted from the end; more than any if they are one."""
    if os.path.exists(one) and os.path.exists(other):
        return THE_SAME if os.path.samefile(one, other) else 0
    if one == other:
        return THE_SAME
    pairs = zip(reversed(Path(one).parts), reversed(Path(other).parts), strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))
