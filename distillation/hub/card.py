"""A model card for the Hub: `card_template.md`, filled from the files of a finished folder.

Every figure is one of `all_results.json`, `measured.json`, `onnx/export.json`, or `config.json` in the same folder, or
the ratio of two of them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from distillation.config.arguments import TERMS, ObjectiveArguments
from distillation.runs.files import METRICS, held_out_table, markdown_table, without_folders

TEMPLATE = Path(__file__).with_name("card_template.md")
THIS = "this model"
PARTS = ("validation", "test")
# Whose held-out figures `all_results.json` has, by how their keys begin.
HELD_OUT = {"teacher": "teacher", "student_before": "this model before training", "student": THIS}
# Held-out figures as the Hub knows them: the type and the name of the metric, in the order of `METRICS`.
HELD_OUT_TYPES = (
    ("loss", "nats per hidden token"),
    ("loss", "nats per hidden character"),
    ("accuracy", "hidden tokens"),
    ("accuracy", "hidden words"),
)
# As the Hub calls metrics; ours say more, as in `f1_macro`.
METRIC_TYPES = ("f1", "precision", "recall", "accuracy", "exact_match", "matthews_correlation")
SETTING = ("head", "device", "batch_size", "sequence_length", "hardware")  # what timings must share to be compared


def model_card(name: str, results: Mapping[str, Any], config: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The text of `README.md`.

    name: of the repository; results: `all_results.json`; config: `config.json` with `model_max_length` of the
    tokenizer's; measured: `measured.json`, and as `exported` what is known of the exported model.

    Raises ValueError, or what Python raises, for results that lack something.
    """
    results = without_folders(results)
    recipe, distilled = results["recipe"], is_distilled(results["recipe"])
    held_out = _held_out(results)
    speed = measured.get("speed", [])
    values = {
        "name": name,
        "title": name.split("/")[-1],
        "tag": results["pipeline_tag"],
        "results": results,
        "task": task_name(results) if "task" in results else None,
        "source": results["base_model"] or Path(results.get("model") or recipe.get("teacher_name_or_path") or "").name,
        "is_random": recipe.get("random_weights") or recipe.get("student_initialisation") == "random",
        "is_distilled": distilled,
        "config": config,
        "exported": measured.get("exported"),
        "held_out": held_out and held_out_table(held_out),
        "hidden_words": results.get("student_heldout_masked_words", results.get("teacher_heldout_masked_words")),
        "own_scores": None if held_out else _own_scores(results),
        "scores": _scores(measured.get("scores", [])),
        "speed": _speed(speed),
        "compared": _compared(speed),
        "machines": ", and ".join(dict.fromkeys(f"{row['device']} ({row['hardware']})" for row in speed)),
        "terms": _terms(results) if distilled else None,
        "versions": ", ".join(f"{library} {version}" for library, version in results["versions"].items()),
        "recipe_yaml": yaml.safe_dump(dict(recipe), allow_unicode=True, sort_keys=False).rstrip(),
    }
    try:
        card = ModelCard.from_template(_front_matter(name, results, measured), template_path=TEMPLATE, **values)
    except jinja2.TemplateError as error:
        raise ValueError(f"the card lacks something: {error}") from None
    return f"{card}\n"


def is_distilled(recipe: Mapping[str, Any]) -> bool:
    """Whether it is a student that learned from a teacher on text, and not from the text alone."""
    weights = [value for key, value in recipe.items() if key.startswith("weight_") and key != "weight_mlm"]
    return bool(recipe.get("teacher_name_or_path")) and any(weights)


def task_name(score: Mapping[str, Any]) -> str:
    """What a task is called beside a score on it: one on demo data is none of the benchmark."""
    return f"{score['task']} (demo data)" if score.get("demo") else score["task"]


def metric_names(results: Mapping[str, Any]) -> list[str]:
    """Of the figures of the test part."""
    names = [name.removeprefix("test_") for name in results if name.startswith("test_")]
    return [name for name in names if not name.endswith("_std")]


def figure(values: Mapping[str, float], name: str) -> str:
    """A figure, with its standard deviation over seeds if there is one; nothing where it is not known."""
    if values.get(name) is None:
        return ""
    return f"{values[name]:.4f}" + (f" ± {values[name + '_std']:.4f}" if f"{name}_std" in values else "")


def _front_matter(name: str, results: Mapping[str, Any], measured: Mapping[str, Any]) -> ModelCardData:
    """What the Hub reads: the YAML at the top, with the figures of this model."""
    scores = [score for score in measured.get("scores", []) if score["model"] == THIS]
    found = _held_out_results(results)
    found += [one for score in scores for one in _task_results(score, ", fine-tuned")]
    if "task" in results:
        own = {key.removeprefix("test_"): value for key, value in results.items() if key.startswith("test_")}
        found += _task_results({**results, "test": own}, "")
    return ModelCardData(
        language=results["language"],
        license=results["license"],
        base_model=results["base_model"],
        datasets=[results["dataset"]] if results["dataset"] else None,
        library_name="transformers",
        pipeline_tag=results["pipeline_tag"],
        tags=[results["pipeline_tag"], *["knowledge-distillation"] * is_distilled(results["recipe"])],
        metrics=sorted({result.metric_type for result in found}) or None,
        model_name=name.split("/")[-1],
        eval_results=found or None,
    )


def _held_out_results(results: Mapping[str, Any]) -> list[EvalResult]:
    figures = _held_out(results).get(THIS)
    return [
        EvalResult(
            task_type="fill-mask",
            dataset_type=results["dataset"] or "text",
            dataset_name="held-out text",
            metric_type=kind,
            metric_name=title,
            metric_value=figures[metric],
        )
        for metric, (kind, title) in zip(METRICS, HELD_OUT_TYPES, strict=True)
        if figures
    ]


def _task_results(score: Mapping[str, Any], how: str) -> list[EvalResult]:
    """The figures of the test part, the one that the benchmark goes by first; neither the loss nor those of single
    classes, which begin with the class, as in PER_f1. how: added to their names."""
    names = [name for name in score["test"] if not (name.endswith("_std") or name == "loss" or name[:1].isupper())]
    return [
        EvalResult(
            task_type=score.get("pipeline_tag") or "text-classification",
            dataset_type=score.get("dataset") or task_name(score),
            dataset_name=task_name(score),
            dataset_split=score.get("split") or "test",
            metric_type=next((kind for kind in METRIC_TYPES if kind in name), name),
            metric_name=name
            + how
            + (f", mean of {len(score['seeds'])} seeds" if f"{name}_std" in score["test"] else ""),
            metric_value=score["test"][name],
        )
        for name in sorted(names, key=lambda name: name != score["metric"])
    ]


def _held_out(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The figures of held-out text by the model that they are of; those of a teacher made from scratch are its own."""
    names = HELD_OUT if "student_heldout_loss" in results else {"teacher": THIS}
    return {
        title: {metric: results[f"{model}_heldout_{metric}"] for metric in METRICS}
        for model, title in names.items()
        if f"{model}_heldout_loss" in results
    }


def _own_scores(results: Mapping[str, Any]) -> str:
    rows = [[name, *(figure(results, f"{part}_{name}") for part in PARTS)] for name in metric_names(results)]
    return markdown_table(["metric", *PARTS], rows)


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    """A row a task, a column a model: this one first, then what was done with it otherwise, then the others."""
    models = sorted(
        dict.fromkeys(score["model"] for score in scores), key=lambda name: (name != THIS, not name.startswith(THIS))
    )
    per_cent = {score["task"] for score in scores if score.get("per_cent")}
    titles = {score["task"]: task_name(score) for score in sorted(scores, key=lambda score: bool(score.get("demo")))}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for score in scores:
        metric = score["metric"] + ", %" * (score["task"] in per_cent)
        rows.setdefault((titles[score["task"]], metric), {})[score["model"]] = figure(score["test"], score["metric"])
    lines = [[*task, *(cells.get(model, "") for model in models)] for task, cells in rows.items()]
    return markdown_table(["task", "metric", *models], lines) if lines else ""


def _speed(rows: Sequence[Mapping[str, Any]]) -> str:
    compared, lines = _compared(rows), []
    base = {
        tuple(row[key] for key in SETTING): row["milliseconds"]
        for row in rows
        if row["backend"] == "torch" and row["model"] == compared
    }
    for row in rows:
        slower = base.get(tuple(row[key] for key in SETTING))
        lines.append(
            [row["model"], row["head"], row["backend"], f"{row['batch_size']} x {row['sequence_length']}"]
            + [f"{row['milliseconds']:.2f}", f"{slower / row['milliseconds']:.1f}" if slower else ""]
            + [f"{row['mib']:.2f}"]
        )
    heads = ["model", "head", "backend", "batch x length", "ms", "times as fast", "MiB on disk"]
    return markdown_table(heads, lines) if lines else ""


def _compared(rows: Sequence[Mapping[str, Any]]) -> str:
    """The model that speeds are compared with: the largest that was timed in PyTorch."""
    in_torch = [row for row in rows if row["backend"] == "torch"]
    return max(in_torch, key=lambda row: row["parameters"])["model"] if in_torch else THIS


def _terms(results: Mapping[str, Any]) -> str:
    """The terms of the loss, as the help of their weights has them."""
    meaning = {
        term: ObjectiveArguments.__dataclass_fields__[f"weight_{term}"].metadata["help"].removeprefix("Weight of ")
        for term in TERMS
    }
    rows = [
        [meaning[term].rstrip(".").split(",")[0], f"{results['recipe'][f'weight_{term}']:g}", f"{loss:.4f}"]
        for term in TERMS
        if (loss := results.get(f"eval_{term}")) is not None
    ]
    return markdown_table(["term", "weight", "on held-out text"], rows) if rows else ""
