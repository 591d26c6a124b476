"""Result files are refused where they hold what no run of this project writes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.runs.files import METRICS

NUMBER, TEXT = (int, float), (str,)
TUNED = {"task": TEXT, "metric": TEXT, "model": TEXT, "parameters": NUMBER, "recipe": (dict,)}
DISTILLED = {"recipe": (dict,), "parameters": NUMBER, "steps": NUMBER}
TIMED = dict.fromkeys(("model", "source", "head", "backend", "device"), TEXT)
TIMED |= dict.fromkeys(("batch_size", "sequence_length"), NUMBER)
PERHAPS_TIMED = {"parameters": NUMBER, "mib": NUMBER, "bound_seconds": NUMBER, "error": TEXT}
POSITIVE = {"parameters", "batch_size", "sequence_length", "mib", "bound_seconds"}
KINDS = {NUMBER: "number", TEXT: "text", (dict,): "object", (list,): "list"}


def check_run(path: Path, run: Mapping[str, Any]) -> None:
    """Raise UserError for results of a training run that lack a figure, or have something else in its place."""
    if "task" in run:
        _check(path, run, TUNED)
        _check(path, run, {f"test_{run['metric']}": NUMBER})
        _check_if_there(path, run, {f"test_{run['metric']}_std": NUMBER})
    elif "student_heldout_loss" in run:
        models = ["student"] + ["teacher"] * ("teacher_heldout_loss" in run)
        _check(path, run, DISTILLED | {f"{model}_heldout_{name}": NUMBER for model in models for name in METRICS})
        _check_if_there(path, run["recipe"], {"teacher_name_or_path": TEXT})


def check_timing(path: Path, row: Mapping[str, Any]) -> None:
    """Raise UserError for a timed row that lacks a figure, or has something else in its place."""
    _check(path, row, TIMED)
    _check_if_there(path, row, PERHAPS_TIMED)
    if "error" not in row:
        _check(path, row, {"seconds": (list,)})
    for name in ("seconds", "peak_mib"):
        if not all(_is(value, NUMBER) and (value > 0 or name != "seconds") for value in row.get(name) or ()):
            raise UserError(f"{path}: `{name}` of {row['model']} holds what no time or size is; measure it again")
    if "error" not in row and not row["seconds"]:
        raise UserError(f"{path}: the row of {row['model']} has no `seconds`; measure it again")


def check_history(path: Path, content: Any) -> list[dict[str, float]]:
    """What a trainer logged, of `trainer_state.json`; nothing where that could not be read.

    Raises UserError for a file of something else.
    """
    if content is None:
        return []
    found = content.get("log_history", []) if isinstance(content, dict) else None
    if not isinstance(found, list) or not all(isinstance(entry, dict) and "step" in entry for entry in found):
        raise UserError(f"{path}: `log_history` is no list of entries with a `step`; remove the file, or run again")
    for entry in found:
        _check(path, entry, dict.fromkeys(entry, NUMBER))
    return found


def _check(path: Path, found: Mapping[str, Any], kinds: Mapping[str, tuple]) -> None:
    for name, kind in kinds.items():
        if name not in found:
            raise UserError(f"{path} has no `{name}`; make it anew, or name other results")
        if not _is(found[name], kind):
            was = type(found[name]).__name__
            raise UserError(f"{path}: `{name}` is {was} and no {KINDS[kind]}; make it anew, or name other results")
        if name in POSITIVE and not found[name] > 0:
            raise UserError(f"{path}: `{name}` is {found[name]}; make it anew, or name other results")


def _check_if_there(path: Path, found: Mapping[str, Any], kinds: Mapping[str, tuple]) -> None:
    _check(path, found, {name: kind for name, kind in kinds.items() if found.get(name) is not None})


def _is(value: Any, kind: tuple) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)
