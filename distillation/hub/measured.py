"""What is known of a finished model besides its own results: its scores on tasks, its speed, its exported form.

Kept beside the model as `measured.json`, with nothing of the machine but the names of models and hardware.
"""

import json
import logging
import shutil
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError, one_line
from distillation.runs.files import EXPORTED, MEASURED, RESULTS, WEIGHTS, sha256, without_folders, write_json
from distillation.runs.result_files import find, hardware_of, is_timing, matches, of_fine_tuning, read

logger = logging.getLogger(__name__)

ONNX = {"onnx": "model.onnx", "onnx-int8": "model_int8.onnx"}  # by the backend, as the Hub has these names
THIS = "this model"


def gather(folder: Path, results: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """Of all results in these files and folders those that say something of one model.

    folder, results: the finished model and its own results. Returns `scores`, of this model fine-tuned, or of others
    on the task of this one, with those of its teacher, of random weights, and of answers without a model; and
    `speed`, of this model and its teacher.

    Raises UserError for a path that is not there, where nothing is found, and for one thing measured twice.
    """
    contents = {path: read(path, named) for path, named in find(paths).items()}
    known = {path: content for path, content in contents.items() if isinstance(content, dict)}
    found = {"scores": _scores(folder, results, known), "speed": _speeds(folder, results, known)}
    if not any(found.values()):
        raise UserError(f"`results`: nothing in {', '.join(map(str, paths))} is of {folder}: leave them out")
    return found


def _scores(folder: Path, results: Mapping[str, Any], known: Mapping[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    runs = of_fine_tuning({path.parent: content for path, content in known.items() if path.name == RESULTS})
    if "task" in results:
        runs = {path: run for path, run in runs.items() if run["task"] == results["task"] and path != folder}
        named = {path: Path(str(run.get("model"))).name for path, run in runs.items()}
    else:
        weights = sha256(folder / WEIGHTS)
        of_model = _named(folder, results, runs.values(), "model")
        runs = {path: run for path, run in runs.items() if not _is_of_others(path, run, of_model, weights)}
        named = {path: of_model[run["model"]] for path, run in runs.items() if run.get("model") in of_model}
    scores = [(path, score) for path, name in named.items() if (score := _whole(path, _score, runs[path], name))]
    of_tasks = {score["task"] for _, score in scores}
    if "task" not in results:
        for path, content in known.items():
            scores += [(path, score) for score in _whole(path, _of_suite, content, str(folder), of_tasks) or []]
    _refuse_repeats([(path, (score["model"], score["task"])) for path, score in scores])
    return [score for _, score in scores]


def _is_of_others(path: Path, run: Mapping[str, Any], of_model: Mapping[str, str], weights: str) -> bool:
    """Whether a run began with what stood in this model's place before."""
    other = of_model.get(run.get("model")) == THIS and run.get("weights") not in (None, weights)
    if other:
        logger.warning("%s is of other weights than %s has now, and is skipped", path, run["model"])
    return other


def _speeds(folder: Path, results: Mapping[str, Any], known: Mapping[Path, dict[str, Any]]) -> list[dict[str, Any]]:
    rows = [
        (path, row | {"hardware": hardware_of(timing)})
        for path, timing in known.items()
        if is_timing(timing)
        for row in timing["rows"]
        if "error" not in row
    ]
    of_model = _named(folder, results, [row for _, row in rows], "source")
    found = [
        (path, speed)
        for path, row in rows
        if row.get("source") in of_model and (speed := _whole(path, _speed, row, of_model[row["source"]]))
    ]
    setting = ("model", "head", "backend", "device", "batch_size", "sequence_length", "hardware")
    _refuse_repeats([(path, tuple(speed[key] for key in setting)) for path, speed in found])
    return [speed for _, speed in found]


def _named(folder: Path, results: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], key: str) -> dict[str, str]:
    """What rows call this model and its teacher: how they are called here."""
    sources = list(dict.fromkeys(row[key] for row in rows if isinstance(row.get(key), str)))
    models = {THIS: str(folder)}
    if teacher := results["recipe"].get("teacher_name_or_path"):
        models["teacher"] = teacher
    return {source: name for name, model in models.items() for source in matches(model, sources)}


def _whole(path: Path, take: Callable[..., Any], *arguments: Any) -> Any:
    """What is taken of a file, None with a warning if it lacks something."""
    try:
        return take(*arguments)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, StopIteration) as error:
        logger.warning("%s is not as results are, and is skipped (%s)", path, one_line(repr(error)))
        return None


def _refuse_repeats(found: Sequence[tuple[Path, tuple]]) -> None:
    first: dict[tuple, Path] = {}
    for path, what in found:
        if what in first:
            raise UserError(
                f"`results`: {first[what]} and {path} both have {', '.join(map(str, what))}: name one of them"
            )
        first[what] = path


def _score(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    """What a run says of a model on the test part of its task."""
    if run["recipe"].get("random_weights"):
        name += ", random weights"
    if "task_teacher" in run:
        name += ", with a task teacher"
    figures = {key.removeprefix("test_"): float(value) for key, value in run.items() if key.startswith("test_")}
    float(figures[run["metric"]])  # the one that counts
    return {
        "model": name,
        "task": run["task"],
        "metric": run["metric"],
        "seeds": run.get("seeds") or [run["seed"]],
        "test": figures,
        **{key: run.get(key) for key in ("pipeline_tag", "dataset", "split", "demo", "per_cent")},
    }


def _of_suite(suite: Mapping[str, Any], model: str, known: set[str]) -> list[dict[str, Any]]:
    """What the results of a whole Russian SuperGLUE add: the commonest label and chance on the tasks on which this
    model was scored, and its score where another's run has it, as that of TERRa has LiDiRus's."""
    if not {"model", "tasks", "overall"} <= suite.keys() or not matches(model, [suite["model"]]):
        return []
    names = {"model": THIS, "majority": "the commonest label", "random": "chance"}
    return [
        {"model": name, "task": task, "metric": next(iter(figures[who])), "seeds": [], "test": figures[who]}
        for task, figures in suite["tasks"].items()
        for who, name in names.items()
        if not (name == THIS and task in known)
    ]


def _speed(row: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The median of a row of timings."""
    same = ("head", "backend", "device", "batch_size", "sequence_length", "parameters", "hardware")
    milliseconds = 1000 * statistics.median(row["seconds"])
    if not milliseconds > 0:
        raise ValueError("no time at all")
    return {
        "model": name,
        **{key: row[key] for key in same},
        "mib": float(row["mib"]),
        "milliseconds": milliseconds,
    }


def exported(folder: Path, source: Path) -> dict[str, Any]:
    """What is known of a model that `benchmarks/export.py` made of this one, and under which name it goes along.

    Raises UserError for a folder of another kind or of another model.
    """
    try:
        found = json.loads((source / EXPORTED.name).read_text(encoding="utf-8"))
        name, weights = ONNX[found["backend"]], found["weights"]
    except (OSError, ValueError, KeyError, TypeError):
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
    there = folder / EXPORTED.parent
    draft = folder / f"{EXPORTED.parent}.part"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    shutil.copyfile(source / "model.onnx", draft / found["file"])
    write_json(draft / EXPORTED.name, found)
    shutil.rmtree(there, ignore_errors=True)
    draft.replace(there)


def what_is_measured(folder: Path) -> dict[str, Any]:
    """`measured.json` of a folder, and as `exported` its `onnx/export.json`; empty where there is neither.

    Raises UserError for one that is no JSON object.
    """
    measured = _object(folder / MEASURED)
    if found := _object(folder / EXPORTED):
        measured["exported"] = found
    return measured


def _object(path: Path) -> dict[str, Any]:
    found = read(path, True) if path.is_file() else {}
    if not isinstance(found, dict):
        raise UserError(f"{path} is not as this version writes it: remove it, and publish with `results` or `onnx`")
    return found
