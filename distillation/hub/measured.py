"""What other runs found out about a finished model: scores on tasks, speed, its exported form.

Kept beside the model as `measured.json`, with nothing of the machine but the names of models and hardware.
"""

import logging
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.hub.card import THIS
from distillation.runs import files

logger = logging.getLogger(__name__)

ONNX = {"onnx": "model.onnx", "onnx-int8": "model_int8.onnx"}  # by the backend, as the Hub has these names
OF_TASK = ("pipeline_tag", "dataset", "split", "demo", "per_cent")
SETTING = ("head", "backend", "device", "batch_size", "sequence_length", "parameters")


def gather(folder: Path, results: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """What the named results say: `scores` on tasks, and `speed`.

    folder, results: the finished model and its own results. paths: folders of fine-tuned models, a file of
    `benchmarks/inference.py`, or `russian_superglue.json`. Of a fine-tuned model the scores of others on its task.

    Raises UserError for a path without results, for results of what stood in the folder before, and for a score or a
    timing that two files have.
    """

    def name_of(source: str) -> str:
        if Path(source).resolve() == folder.resolve():
            return THIS
        return "teacher" if source == results["recipe"].get("teacher_name_or_path") else Path(source).name

    single = [path for path in paths if path.is_file() and path.name != files.RESULTS]
    runs = files.find_runs([path for path in paths if path not in single])
    found: dict[str, list[dict[str, Any]]] = {"scores": [], "speed": []}
    origins: dict[tuple, Path] = {}
    for path, kind, one in [
        *_scores(folder.resolve(), results.get("task"), runs, name_of),
        *(one for file in single for one in _of_file(file, name_of)),
    ]:
        key = tuple(one[name] for name in ("model", "task", *SETTING, "hardware") if name in one)
        if key in origins:
            both = f"{origins[key]} and {path} both have {', '.join(map(str, key))}"
            raise UserError(f"`results`: {both}: name one of them")
        origins[key] = path
        found[kind].append(one)
    return found


def _scores(
    own: Path, own_task: str | None, runs: Mapping[Path, Mapping[str, Any]], name_of: Callable[[str], str]
) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """What fine-tuned models say of their tasks, on the test part. A model is known by its weights."""
    weights = files.sha256(own / files.WEIGHTS)
    for folder, run in runs.items():
        if folder == own or "task" not in run or own_task not in (None, run["task"]):
            continue
        with files.as_written(folder / files.RESULTS):
            # LiDiRus is answered by the model that was fine-tuned on TERRa.
            began = runs.get(Path(run["model"]).resolve(), run)
            began = began if "task" in began else run
            name = THIS if began.get("weights") == weights else name_of(began["model"])
            if name == THIS and began.get("weights") not in (None, weights):
                raise UserError(f"`results`: {folder} began with other weights than {own} has now: fine-tune again")
            name += ", random weights" * bool(run["recipe"].get("random_weights"))
            name += ", with a task teacher" * ("task_teacher" in run)
            test = {key.removeprefix("test_"): float(value) for key, value in run.items() if key.startswith("test_")}
            score = {"model": name, "task": run["task"], "metric": run["metric"]}
            score |= {"seeds": run.get("seeds") or [run["seed"]], "test": {run["metric"]: test[run["metric"]], **test}}
            yield folder, "scores", score | {key: run.get(key) for key in OF_TASK}


def _of_file(path: Path, name_of: Callable[[str], str]) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """The rows of a file of timings, or the scores without a model of a Russian SuperGLUE."""
    content = files.read_json(path)
    with files.as_written(path):
        if "rows" not in content:
            for task, figures in content["tasks"].items():
                for who, name in (("majority", "the commonest label"), ("random", "chance")):
                    score = {"model": name, "task": task, "metric": next(iter(figures[who])), "seeds": []}
                    yield path, "scores", score | {"test": figures[who]}
            return
        hardware = ", ".join(f"{name} {value}" for name, value in content["hardware"].items())
        rows = [row for row in content["rows"] if "error" not in row]
        for row in (row for row in rows if row.get("steady")):
            known = {key: row[key] for key in (*SETTING, "mib")} | {"hardware": hardware}
            took = 1000 * statistics.median(row["seconds"])
            yield path, "speed", known | {"model": name_of(row["source"]), "milliseconds": took}
        if busy := sum(not row.get("steady") for row in rows):
            advice = "timings are left out, whose rounds differ too much: measure again on idle cores"
            logger.warning("%s: %d of %d %s", path, busy, len(rows), advice)


def exported(folder: Path, source: Path) -> dict[str, Any]:
    """What is known of a model that `benchmarks/export.py` made of this one, and under which name it goes along.

    Raises UserError for a folder of another kind or of another model.
    """
    try:
        found = files.read_json(source / files.EXPORTED.name)
        name, weights = ONNX[found["backend"]], found["weights"]
    except (UserError, LookupError, TypeError):
        raise UserError(
            f"`onnx` {str(source)!r} is no folder of benchmarks/export.py with one of {', '.join(ONNX)}"
        ) from None
    if not (source / "model.onnx").is_file():
        raise UserError(f"`onnx` {str(source)!r} has no model.onnx: export the model again")
    if weights != files.sha256(folder / files.WEIGHTS):
        raise UserError(f"`onnx` {str(source)!r} was made of other weights than {folder} has now: export it again")
    return files.without_folders(found) | {"file": name}


def take_exported(folder: Path, source: Path, found: Mapping[str, Any]) -> None:
    """Put an exported model beside the one that it was made of, in the place of an earlier one."""
    with files.replacing(folder / files.EXPORTED.parent) as draft:
        draft.mkdir()
        shutil.copyfile(source / "model.onnx", draft / found["file"])
        files.write_json(draft / files.EXPORTED.name, found)


def what_is_measured(folder: Path) -> dict[str, Any]:
    """`measured.json` of a folder, and as `exported` its `onnx/export.json`; empty where there is neither."""
    with files.as_written(folder / files.MEASURED):
        measured = dict(files.read_json(folder / files.MEASURED)) if (folder / files.MEASURED).is_file() else {}
    if (folder / files.EXPORTED).is_file():
        measured["exported"] = files.read_json(folder / files.EXPORTED)
    return measured
