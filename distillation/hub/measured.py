"""What was measured of a finished model by other runs: scores on tasks, speed, its exported form.

`measured.json`, beside the model, holds these. It describes machines by the names of their hardware alone.
"""

import logging
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.hub.card import THIS
from distillation.hub.snippets import SENTENCES, VECTORS
from distillation.runs import files

logger = logging.getLogger(__name__)

# By the backend, as the Hub has these names; transformers.js looks for the last one.
ONNX = {"onnx": ("model.onnx",), "onnx-int8": ("model_int8.onnx", "model_quantized.onnx")}
GRAPH, CODE = "model.onnx", "model.py"  # of an exported folder
OF_TASK = ("pipeline_tag", "dataset", "split", "demo", "per_cent", "frozen")
SETTING = ("head", "backend", "device", "batch_size", "sequence_length", "parameters")


def gather(folder: Path, results: Mapping[str, Any], paths: Sequence[Path]) -> dict[str, Any]:
    """The `scores` on tasks and the `speed` in the named results; a kind without rows is left out.

    folder, results: the finished model and its own results. A fine-tuned model takes only scores on its own task.
    paths: folders of fine-tuned models, files of `benchmarks/inference.py`, or `russian_superglue.json`.

    Raises UserError for a path without results, for results of a model that was in the folder before, and for a score
    or a timing that two files have.
    """

    def name_of(source: str) -> str:
        if Path(source).resolve() == folder.resolve():
            return THIS
        return "teacher" if source == results["recipe"].get("teacher_name_or_path") else Path(source).name

    single = [path for path in paths if path.is_file() and path.name != files.RESULTS]
    runs = files.find_runs([path for path in paths if path not in single])
    found: dict[str, list[dict[str, Any]]] = {"scores": [], "speed": []}
    origins: dict[tuple, Path] = {}
    rows = [*_scores(folder.resolve(), results.get("task"), runs, name_of)]
    for path, one in rows + [(file, one) for file in single for one in _of_file(file, name_of)]:
        key = tuple(one[name] for name in ("model", "task", *SETTING, "hardware") if name in one)
        if key in origins:
            both = f"{origins[key]} and {path} both have {', '.join(map(str, key))}"
            raise UserError(f"`results`: {both}: name one of them")
        origins[key] = path
        found["scores" if "task" in one else "speed"].append(one)
    models = [one["model"] for kind in found.values() for one in kind]
    if models and not any(model.startswith(THIS) for model in models):
        logger.warning("no result in `results` is of %s: the card shows those of other models", folder)
    return {kind: rows for kind, rows in found.items() if rows}


def _scores(
    own: Path, own_task: str | None, runs: Mapping[Path, Mapping[str, Any]], name_of: Callable[[str], str]
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The scores of fine-tuned models on the test part. The hash of their first weights tells which model they are."""
    weights = files.sha256(own / files.WEIGHTS)
    for folder, run in runs.items():
        if folder == own or "task" not in run or own_task not in (None, run["task"]):
            continue
        with files.explain_bad_results(folder / files.RESULTS):
            base = files.begun_as(run, runs)
            name = THIS if base.get("weights") == weights else name_of(base["model"])
            if name == THIS and base.get("weights") not in (None, weights):
                raise UserError(f"`results`: {folder} began with other weights than {own} has now: fine-tune again")
            name += files.how_trained(run)
            test = {key.removeprefix("test_"): float(value) for key, value in run.items() if key.startswith("test_")}
            score = {"model": name, "task": run["task"], "metric": run["metric"]}
            score |= {"seeds": run.get("seeds") or [run["seed"]], "test": {run["metric"]: test[run["metric"]], **test}}
            yield folder, score | {key: run.get(key) for key in OF_TASK}


def _of_file(path: Path, name_of: Callable[[str], str]) -> Iterator[dict[str, Any]]:
    """The rows of a file of timings, or the scores of a Russian SuperGLUE that take no model."""
    content = files.read_json(path)
    with files.explain_bad_results(path):
        if "rows" not in content:
            for task, figures in content["tasks"].items():
                for who, name in (("majority", "the commonest label"), ("random", "chance")):
                    score = {"model": name, "task": task, "metric": next(iter(figures[who])), "seeds": []}
                    yield score | {"test": figures[who]}
            return
        rows = [row for row in content["rows"] if "error" not in row]
        steady = [row for row in rows if row.get("steady")]
        for row in steady:
            facts = content["hardware"] | {name: row[name] for name in ("threads",) if name in row}
            hardware = ", ".join(f"{name} {value}" for name, value in facts.items())
            took = {"milliseconds": 1000 * statistics.median(row["seconds"]), "hardware": hardware}
            yield {key: row[key] for key in (*SETTING, "mib")} | took | {"model": name_of(row["source"])}
        if len(steady) < len(rows):
            advice = "timings are left out because the machine was busy: measure again on idle cores"
            logger.warning("%s: %d of %d %s", path, len(rows) - len(steady), len(rows), advice)


def exported(folder: Path, results: Mapping[str, Any], source: Path) -> dict[str, Any]:
    """The facts of a model that `benchmarks/export.py` made of this one, and the name of its file on the Hub.

    Raises UserError for a folder of another kind, of another model, or with another head than the model has.
    """
    named = f"`onnx` {str(source)!r}"
    try:
        found = files.read_json(source / files.EXPORTED.name)
        names, weights, task = ONNX[found["backend"]], found["weights"], found["task"]
        (source / GRAPH).stat(), (source / CODE).stat()
    except (UserError, LookupError, TypeError, OSError):
        raise UserError(f"{named} lacks an export.json, {GRAPH}, or {CODE} as export.py makes: export again") from None
    if weights != files.sha256(folder / files.WEIGHTS):
        raise UserError(f"{named} was made of other weights than {folder} has now: export it again")
    if task != results["pipeline_tag"] and not {task, results["pipeline_tag"]} <= {SENTENCES, VECTORS}:
        raise UserError(
            f"{named} is for {task}, and {folder} for {results['pipeline_tag']}: export it with its own head"
        )
    return files.without_folders(found) | {"file": names[0]}


def copy_exported(folder: Path, source: Path, found: Mapping[str, Any]) -> None:
    """Copy an exported model into the folder of its model, in place of an earlier one."""
    with files.replacing(folder / files.EXPORTED.parent, obsolete={*ONNX["onnx"], *ONNX["onnx-int8"]}) as draft:
        draft.mkdir()
        for name in ONNX[found["backend"]]:
            shutil.copyfile(source / GRAPH, draft / name)
        shutil.copyfile(source / CODE, draft / CODE)
        files.write_json(draft / files.EXPORTED.name, found)


def read_measured(folder: Path) -> dict[str, Any]:
    """`measured.json` of a folder, and as `exported` its `onnx/export.json`; empty where neither exists."""
    with files.explain_bad_results(folder / files.MEASURED):
        measured = dict(files.read_json(folder / files.MEASURED)) if (folder / files.MEASURED).is_file() else {}
    if (folder / files.EXPORTED).is_file():
        measured["exported"] = files.read_json(folder / files.EXPORTED)
    return measured
