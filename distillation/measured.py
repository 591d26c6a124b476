"""What is known of a finished model besides its own results: its scores on tasks, its speed, its exported form.

Kept beside the model as `measured.json`, with nothing of the machine but the names of models and hardware.
"""

import json
import shutil
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.recipe import RecipeError
from distillation.result_files import find, hardware_of, is_timing, matches, of_fine_tuning, read
from distillation.results import RESULTS, without_folders, write_json

MEASURED = "measured.json"
EXPORTED = Path("onnx", "export.json")
ONNX = {"onnx": "model.onnx", "onnx-int8": "model_int8.onnx"}  # by the backend, as the Hub has these names
THIS = "this model"
NEEDED = {"task", "metric", "model", "recipe", "examples"}  # of a fine-tuning run's results


def gather(folder: Path, results: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Of all results in these files and folders those that say something of one model.

    folder, results: the finished model and its own results. Returns `scores`, of this model fine-tuned, or of others
    on the task of this one, with those of its teacher, of random weights, and of answers without a model; and
    `speed`, of this model and its teacher.

    Raises RecipeError for a path that is not there, and where nothing is found.
    """
    contents = {path: read(path, named) for path, named in find(paths).items()}
    known = {path: content for path, content in contents.items() if isinstance(content, dict)}
    runs = of_fine_tuning({path.parent: content for path, content in known.items() if path.name == RESULTS})
    runs = {path: run for path, run in runs.items() if run.keys() >= NEEDED}
    names = _names(folder, results)
    if "task" in results:
        runs = {path: run for path, run in runs.items() if run["task"] == results["task"] and path != folder.resolve()}
        scores = [_score(run, Path(run["model"]).name) for run in runs.values()]
    else:
        of_model = {source: name for name in names for source in _sources(names[name], runs.values(), "model")}
        scores = [_score(run, of_model[run["model"]]) for run in runs.values() if run["model"] in of_model]
        scores += _of_suites(known.values(), str(folder), {score["task"] for score in scores})
    timings = [content for content in known.values() if is_timing(content)]
    rows = [row | {"hardware": hardware_of(timing)} for timing in timings for row in timing["rows"]]
    speed = [
        _speed(row, name)
        for name, model in names.items()
        for source in _sources(model, rows, "source")
        for row in rows
        if row["source"] == source and row.get("seconds")
    ]
    if not (scores or speed):
        raise RecipeError(f"`results`: nothing in {', '.join(map(str, paths))} is of {folder}: leave them out")
    return {"scores": scores, "speed": speed}


def _names(folder: Path, results: Mapping[str, Any]) -> dict[str, str]:
    """How the models are called here, and by what the results of others know them."""
    teacher = results["recipe"].get("teacher_name_or_path")
    return {THIS: str(folder)} | ({"teacher": teacher} if teacher else {})


def _sources(model: str, rows: Iterable[Mapping[str, Any]], key: str) -> list[str]:
    return matches(model, dict.fromkeys(row[key] for row in rows if isinstance(row.get(key), str)))


def _score(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a run says of a model on the test part of its task."""
    if run["recipe"].get("random_weights"):
        name += ", random weights"
    if "task_teacher" in run:
        name += ", with a task teacher"
    return {
        "model": name,
        "task": run["task"],
        "metric": run["metric"],
        "seeds": run.get("seeds") or [run["seed"]],
        "test": {key.removeprefix("test_"): value for key, value in run.items() if key.startswith("test_")},
        "examples": run["examples"]["test"],
        "pipeline_tag": run.get("pipeline_tag"),
        "dataset": run.get("dataset"),
    }


def _of_suites(contents: Iterable[Mapping[str, Any]], model: str, known: set[str]) -> list[dict[str, Any]]:
    """What the results of a whole Russian SuperGLUE add: the commonest label and chance on the tasks on which this
    model was scored, and its score where another's run has it, as that of TERRa has LiDiRus's."""
    suites = [one for one in contents if {"model", "tasks", "overall"} <= one.keys()]
    mine = matches(model, [one["model"] for one in suites])
    names = {"model": THIS, "majority": "the commonest label", "random": "chance"}
    return [
        {"model": name, "task": task, "metric": next(iter(figures[who])), "seeds": [], "test": figures[who]}
        for suite in suites
        if suite["model"] in mine
        for task, figures in suite["tasks"].items()
        for who, name in names.items()
        if not (name == THIS and task in known)
    ]


def _speed(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The median of a row of timings."""
    same = ("head", "backend", "device", "batch_size", "sequence_length", "parameters", "mib", "hardware")
    return {
        "model": name,
        **{key: row.get(key) for key in same},
        "milliseconds": 1000 * statistics.median(row["seconds"]),
    }


def take_exported(folder: Path, exported: Path, results: Mapping[str, Any]) -> None:
    """Put an exported model beside the model that it was made of.

    exported: a folder that `benchmarks/export.py` made. Raises RecipeError for one of another kind or another model.
    """
    try:
        found = json.loads((exported / EXPORTED.name).read_text(encoding="utf-8"))
        name = ONNX[found["backend"]]
    except (OSError, ValueError, KeyError, TypeError):
        raise RecipeError(
            f"`onnx` {str(exported)!r} is no folder of benchmarks/export.py with one of {', '.join(ONNX)}"
        ) from None
    if not (exported / "model.onnx").is_file():
        raise RecipeError(f"`onnx` {str(exported)!r} has no model.onnx: export the model again")
    if found["parameters"] != results["parameters"] or not matches(str(folder), [found["model"]]):
        raise RecipeError(f"`onnx` {str(exported)!r} was made of {found['model']}, not of {str(folder)!r}")
    (folder / "onnx").mkdir(exist_ok=True)
    draft = folder / "onnx" / (name + ".part")
    shutil.copyfile(exported / "model.onnx", draft)
    draft.replace(folder / "onnx" / name)
    write_json(folder / EXPORTED, without_folders(found) | {"file": name})


def what_is_measured(folder: Path) -> dict[str, Any]:
    """`measured.json` of a folder, and as `exported` its `onnx/export.json`; empty where there is neither."""
    measured = read(folder / MEASURED, True) if (folder / MEASURED).is_file() else {}
    if (folder / EXPORTED).is_file():
        measured |= {"exported": read(folder / EXPORTED, True)}
    return measured
