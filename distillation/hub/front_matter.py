"""What the Hub reads of a model card: the YAML at its top, with the measured scores as a `model-index`."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from distillation.hub.measured import THIS

# As `evaluate` and the Hub call metrics; ours say more, as in `f1_macro`.
METRIC_TYPES = ("f1", "precision", "recall", "accuracy", "exact_match", "matthews_correlation")
# How the keys of a model's own held-out figures begin: of a student, or of a teacher made from scratch.
HELD_OUT = ("student_heldout_", "teacher_heldout_")


def front_matter(name: str, results: Mapping[str, Any], measured: Mapping[str, Any]) -> ModelCardData:
    """Of a model by its `all_results.json` and what else is measured of it; name: of its repository."""
    # Other weights than these, which only began with them.
    scores = [score | {"how": ", fine-tuned"} for score in measured.get("scores", []) if score["model"] == THIS]
    if "task" in results:
        own = {key.removeprefix("test_"): value for key, value in results.items() if key.startswith("test_")}
        scores.append({**results, "test": own})
    found = _held_out(results) + [result for score in scores for result in _on_task(score)]
    tags = [results["pipeline_tag"], *(["knowledge-distillation"] if is_distilled(results) else [])]
    return ModelCardData(
        language=results["language"],
        license=results["license"],
        base_model=results["base_model"],
        datasets=[results["dataset"]] if results["dataset"] else None,
        library_name="transformers",
        pipeline_tag=results["pipeline_tag"],
        tags=tags,
        metrics=sorted({result.metric_type for result in found}) or None,
        model_name=name.split("/")[-1],
        eval_results=found or None,
    )


def is_distilled(results: Mapping[str, Any]) -> bool:
    """Whether it is a student that learned from a teacher on text, and not from the text alone."""
    recipe = results["recipe"]
    weights = [value for key, value in recipe.items() if key.startswith("weight_") and key != "weight_mlm"]
    return bool(recipe.get("teacher_name_or_path")) and any(weights)


def held_out_prefix(results: Mapping[str, Any]) -> str | None:
    """How the keys of the model's own held-out figures begin; None if it has none."""
    return next((prefix for prefix in HELD_OUT if f"{prefix}loss" in results), None)


def _held_out(results: Mapping[str, Any]) -> list[EvalResult]:
    prefix = held_out_prefix(results)
    if prefix is None:
        return []
    figures = {
        "loss": ("loss", "nats per hidden token"),
        "loss_per_character": ("loss", "nats per hidden character"),
        "masked_token_accuracy": ("accuracy", "hidden tokens"),
        "masked_word_accuracy": ("accuracy", "hidden words"),
    }
    corpus = results["dataset"] or "text"
    return [
        EvalResult(
            task_type="fill-mask",
            dataset_type=corpus,
            dataset_name="held-out text",
            metric_type=kind,
            metric_name=title,
            metric_value=results[prefix + metric],
        )
        for metric, (kind, title) in figures.items()
    ]


def _on_task(score: Mapping[str, Any]) -> list[EvalResult]:
    """The figures of the test part, the one that the benchmark goes by first."""
    spread = {name.removesuffix("_std"): value for name, value in score["test"].items() if name.endswith("_std")}
    how = score.get("how", "")
    # Not the loss, and not the figures of single classes, which begin with the class: PER_f1.
    names = [name for name in score["test"] if not (name.endswith("_std") or name == "loss" or name[:1].isupper())]
    return [
        EvalResult(
            task_type=score.get("pipeline_tag") or "text-classification",
            dataset_type=score.get("dataset") or task_name(score),
            dataset_name=task_name(score),
            dataset_split=score.get("split") or "test",
            metric_type=_metric_type(name),
            metric_name=name + how + (f", mean of {len(score['seeds'])} seeds" if name in spread else ""),
            metric_value=score["test"][name],
        )
        for name in sorted(names, key=lambda name: name != score["metric"])
    ]


def task_name(score: Mapping[str, Any]) -> str:
    """How a task is called where a score on it is told."""
    return f"{score['task']} (demo data)" if score.get("demo") else score["task"]


def _metric_type(name: str) -> str:
    return next((kind for kind in METRIC_TYPES if kind in name), name)
