"""What other runs found out about a finished model: scores on tasks, speed, its exported form.

Kept beside the model as `measured.json`, with nothing of the machine but the names of models and hardware.
"""

import logging
import shutil
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.hub.card import THIS
from distillation.runs.files import (
    EXPORTED,
    MEASURED,
    RESULTS,
    WEIGHTS,
    as_written,
    find_runs,
    read_json,
    replacing,
    sha256,
    without_folders,
    write_json,
)

logger = logging.getLogger(__name__)

ONNX = {"onnx": "model.onnx", "onnx-int8": "model_int8.onnx"}  # by the backend, as the Hub has these names
SETTING = ("head", "backend", "device", "batch_size", "sequence_length", "parameters")


def gather(folder: Path, results: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """What the named results say: `scores` on tasks, and `speed`.

    folder, results: the finished model and its own results. paths: folders of fine-tuned models, a file of
    `benchmarks/inference.py`, or `russian_superglue.json`. Of a fine-tuned model the scores of others on its task.

    Raises UserError for a path without results, for results of what stood in the folder before, and for a score or a
    timing that two files have.
    """
    model = _Model(folder.resolve(), results)
    files = [path for path in paths if path.is_file() and path.name != RESULTS]
    runs = find_runs([path for path in paths if path not in files])
    found: dict[tuple, tuple[Path, dict[str, Any]]] = {}
    for path, one in [*_runs_of(model, runs), *(one for file in files for one in _of_file(model, file))]:
        key = tuple(one[name] for name in ("model", "task", *SETTING, "hardware") if name in one)
        if key in found:
            both = f"{found[key][0]} and {path} both have {', '.join(map(str, key))}"
            raise UserError(f"`results`: {both}: name one of them")
        found[key] = path, one
    scores = [one for _, one in found.values() if "task" in one]
    return {"scores": scores, "speed": [one for _, one in found.values() if "task" not in one]}


class _Model:
    """The finished model, and what other models are called beside it."""

    def __init__(self, folder: Path, results: Mapping[str, Any]):
        self.folder, self.results = folder, results
        self.weights = sha256(folder / WEIGHTS)
        self.teacher = results["recipe"].get("teacher_name_or_path")

    def name(self, source: str) -> str:
        """What a model is called that results know by this folder or Hub id."""
        if Path(source).resolve() == self.folder:
            return THIS
        return "teacher" if source == self.teacher else Path(source).name


def _runs_of(model: _Model, runs: Mapping[Path, Mapping[str, Any]]) -> Iterator[tuple[Path, dict[str, Any]]]:
    own_task = model.results.get("task")
    runs = {folder: run for folder, run in runs.items() if "task" in run}
    for folder, run in runs.items():
        with as_written(folder / RESULTS):
            if folder != model.folder and own_task in (None, run["task"]):
                # LiDiRus is answered by the model that was fine-tuned on TERRa.
                began = runs.get(Path(run["model"]).resolve(), run)
                name = THIS if began.get("weights") == model.weights else model.name(began["model"])
                if name == THIS and began.get("weights") not in (None, model.weights):
                    raise UserError(
                        f"`results`: {folder} began with other weights than {model.folder} has now: fine-tune again"
                    )
                name += ", random weights" * bool(run["recipe"].get("random_weights"))
                name += ", with a task teacher" * ("task_teacher" in run)
                yield folder, _score(name, run)


def _score(name: str, run: Mapping[str, Any]) -> dict[str, Any]:
    """What a run says of a model on the test part of its task."""
    figures = {key.removeprefix("test_"): float(value) for key, value in run.items() if key.startswith("test_")}
    return {
        "model": name,
        "task": run["task"],
        "metric": run["metric"],
        "seeds": run.get("seeds") or [run["seed"]],
        "test": {run["metric"]: figures[run["metric"]], **figures},
        **{key: run.get(key) for key in ("pipeline_tag", "dataset", "split", "demo", "per_cent")},
    }


def _of_file(model: _Model, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The rows of a file of timings, or the scores without a model of a Russian SuperGLUE."""
    content = read_json(path)
    with as_written(path):
        if "rows" not in content:
            for task, figures in content["tasks"].items():
                for who, name in (("majority", "the commonest label"), ("random", "chance")):
                    metric = next(iter(figures[who]))
                    test = {"model": name, "task": task, "metric": metric, "seeds": [], "test": figures[who]}
                    yield path, test
            return
        hardware = ", ".join(f"{name} {value}" for name, value in content["hardware"].items())
        rows = [row for row in content["rows"] if "error" not in row]
        for row in rows:
            if row.get("steady"):
                yield path, _speed(model.name(row["source"]), row) | {"hardware": hardware}
        if busy := sum(not row.get("steady") for row in rows):
            logger.warning(
                "%s: %d of %d timings are left out, whose rounds differ too much: measure again on idle cores",
                path, busy, len(rows),
            )  # fmt: skip


def _speed(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    milliseconds = 1000 * statistics.median(row["seconds"])
    return {"model": name, **{key: row[key] for key in SETTING}, "mib": row["mib"], "milliseconds": milliseconds}


def exported(folder: Path, source: Path) -> dict[str, Any]:
    """What is known of a model that `benchmarks/export.py` made of this one, and under which name it goes along.

    Raises UserError for a folder of another kind or of another model.
    """
    try:
        found = read_json(source / EXPORTED.name)
        name, weights = ONNX[found["backend"]], found["weights"]
    except (UserError, LookupError, TypeError):
        raise UserError(
            f"`onnx` {str(source)!r} is no folder of benchmarks/export.py with one of {', '.join(ONNX)}"
        ) from None
    if not (source / "model.onnx").is_file():
        raise UserError(f"`onnx` {str(source)!r} has no model.onnx: export the model again")
    if weights != sha256(folder / WEIGHTS):
        raise UserError(f"`onnx` {str(source)!r} was made of other weights than {folder} has now: export it again")
    return without_folders(found) | {"file": name}


def take_exported(folder: Path, source: Path, found: Mapping[str, Any]) -> None:
    """Put an exported model beside the one that it was made of, in the place of an earlier one."""
    with replacing(folder / EXPORTED.parent) as draft:
        draft.mkdir()
        shutil.copyfile(source / "model.onnx", draft / found["file"])
        write_json(draft / EXPORTED.name, found)


def what_is_measured(folder: Path) -> dict[str, Any]:
    """`measured.json` of a folder, and as `exported` its `onnx/export.json`; empty where there is neither."""
    with as_written(folder / MEASURED):
        measured = dict(read_json(folder / MEASURED)) if (folder / MEASURED).is_file() else {}
    if (folder / EXPORTED).is_file():
        measured["exported"] = read_json(folder / EXPORTED)
    return measured
