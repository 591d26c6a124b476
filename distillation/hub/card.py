"""A model card for the Hub: `card_template.md`, filled from the files of a finished folder.

Every figure is one of `all_results.json`, `measured.json`, `onnx/export.json`, or `config.json` in the same folder, or
the ratio of two of them.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

from distillation.config.terms import TERMS
from distillation.hub.snippets import SENTENCES, example, javascript, python
from distillation.runs.files import METRICS, held_out_table, markdown_table, trimming_table, without_folders

TEMPLATE = Path(__file__).with_name("card_template.md")
THIS = "this model"
FACTS = ("language", "license", "license_name", "license_link", "base_model")
# The models whose held-out figures `all_results.json` has, by the start of their keys.
BEFORE = "this model before training"
HELD_OUT = {"teacher": "teacher", "student_before": BEFORE, "student": THIS}
# Names of `METRICS` for the Hub.
HELD_OUT_NAMES = ("nats per hidden token", "nats per hidden character", "hidden tokens", "hidden words")
OF_CLASS = ("_precision", "_recall", "_f1")  # the ends of figures of a single class
# The Hub's names of metrics; ours say more, as in `f1_macro`.
METRIC_TYPES = ("loss", "f1", "precision", "recall", "accuracy", "exact_match", "matthews_correlation")


def model_card(name: str, results: Mapping[str, Any], config: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The text of `README.md`.

    name: of the repository; results: `all_results.json`; config: `config.json` with `model_max_length` of the
    tokenizer's; measured: `measured.json`, and as `exported` what is known of the exported model.

    Raises ValueError, or what Python raises, for results that lack something.
    """
    results = without_folders(results)
    recipe, held_out, title = results["recipe"], _held_out(results), name.split("/")[-1]
    scores, speed = measured.get("scores", []), measured.get("speed", [])
    learned_from = [value for key, value in recipe.items() if key.startswith("weight_") and key != "weight_mlm"]
    distilled = bool(recipe.get("teacher_name_or_path")) and (any(learned_from) or "dimension" in results)
    source = results["base_model"] or Path(results.get("model") or base_model_of(recipe) or "").name
    if recipe.get("student_initialisation") == "same_shape" and not distilled:
        source = Path(recipe["student_vocabulary"]).name  # it learned nothing from a teacher
    values = {
        "name": name,
        "title": title,
        "results": results,
        "task": task_name(results) if "task" in results else None,
        "source": source,
        "is_random": recipe.get("random_weights") or recipe.get("student_initialisation") == "random",
        "is_distilled": distilled,
        "held_out": held_out and held_out_table(held_out),
        "trimming": _trimming(results, source) if "after" in results else None,
        "score_table": score_table(results) if "task" in results else None,
        "figure": figure,
        "models": sorted(dict.fromkeys(one["model"] for one in scores), key=lambda it: (it != THIS, THIS not in it)),
        "machines": ", and ".join(dict.fromkeys(f"{row['device']} ({row['hardware']})" for row in speed)),
        "terms": {
            name: f"{term.meaning} ({term.citation})"
            for name, term in TERMS.items()
            if distilled and f"eval_{name}" in results
        },
        **_code(name, results, config, measured.get("exported")),
        "recipe_yaml": yaml.safe_dump(dict(recipe), allow_unicode=True, sort_keys=False).rstrip(),
    }
    try:
        front_matter = _front_matter(title, results, scores, distilled, "exported" in measured)
        card = ModelCard.from_template(front_matter, template_path=TEMPLATE, config=config, **measured, **values)
        return f"{card}\n"
    except jinja2.TemplateError as error:
        raise ValueError(f"the card lacks something: {error}") from None


def base_model_of(recipe: Mapping[str, Any]) -> str | None:
    """The folder or Hub id of the model that a masked LM was made from: the teacher, or the checkpoint that went on
    training; None for a teacher from scratch."""
    return recipe.get("teacher_name_or_path") or recipe.get("model_name_or_path")


def task_name(score: Mapping[str, Any]) -> str:
    """A task's name beside a score on it. It marks a score on demo data, which is no score on the benchmark."""
    return f"{score['task']} (demo data)" if score.get("demo") else score["task"]


def score_table(results: Mapping[str, Any]) -> str:
    """The scores of a fine-tuned model. The interval is over test examples; several seeds have their deviation."""
    names = [name[5:] for name in results if name.startswith("test_") and not name.endswith("_std")]
    parts = {part: f"{part}, {results['examples'][part]:,} examples" for part in ("validation", "test")}
    rows = [[name, *(figure(results, f"{part}_{name}") for part in parts)] for name in names]
    heading = [task_name(results), *parts.values()]
    if ends := results.get("intervals"):
        heading.append("95 % interval of test")
        for row in rows:
            row.append(" to ".join(f"{end:.4f}" for end in ends.get(row[0], ())))
    return markdown_table(heading, rows)


def figure(values: Mapping[str, float], name: str) -> str:
    """A figure, with its standard deviation over seeds if there is one; nothing where it is not known."""
    if values.get(name) is None:
        return ""
    return f"{values[name]:.4f}" + (f" ± {values[name + '_std']:.4f}" if f"{name}_std" in values else "")


def _held_out(results: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """The held-out figures by model. Where no student has any, a teacher was trained: it is `THIS`."""
    if "after" in results:  # of a trimmed model; only masked LMs have these
        return {THIS: {metric: results["after"][metric] for metric in METRICS}} if "loss" in results["after"] else {}
    names = HELD_OUT if "student_heldout_loss" in results else {"teacher_before": BEFORE, "teacher": THIS}
    return {
        title: {metric: results[f"{model}_heldout_{metric}"] for metric in METRICS}
        for model, title in names.items()
        if f"{model}_heldout_loss" in results
    }


def _trimming(results: Mapping[str, Any], source: str) -> str:
    """The figures of a trimmed model and of its source. Times are left out: nobody knows the machine."""
    figures = {f"`{source}`": results["before"], THIS: results["after"]}
    return trimming_table(
        {model: {key: value for key, value in of.items() if key != "answer_ms"} for model, of in figures.items()}
    )


def _code(
    name: str, results: Mapping[str, Any], config: Mapping[str, Any], exported: Mapping[str, Any] | None
) -> dict[str, str]:
    """How to use the exported model, in Python and in JavaScript; name: of the repository."""
    if not exported:
        return {}
    tag, local = exported.get("task") or results["pipeline_tag"], name.split("/")[-1]
    texts = example(tag, results.get("texts"), config.get("mask_token"))
    options = '{ dtype: "q8" }' if exported["backend"] == "onnx-int8" else '{ dtype: "fp32" }'
    return {
        "python": python(local, f"{local}/onnx", texts),
        "javascript": javascript(name, tag, texts, options),
        "local": local,
    }


def _front_matter(
    title: str, results: Mapping[str, Any], scores: Sequence[dict], distilled: bool, is_exported: bool
) -> ModelCardData:
    """What the Hub reads: the YAML at the top, with the figures of this model."""
    tag, data, figures = results["pipeline_tag"], results["dataset"], _held_out(results).get(THIS, {})
    found = [
        _result(metric, "fill-mask", data or "text", "held-out text", metric_value=value, metric_name=name)
        for (metric, value), name in zip(figures.items(), HELD_OUT_NAMES, strict=False)
    ]
    if "task" in results:
        own = {key.removeprefix("test_"): value for key, value in results.items() if key.startswith("test_")}
        found += _task_results(results | {"test": own}, "")
    found += [
        one
        for score in scores
        if score["model"] == THIS
        for one in _task_results(score, "" if score.get("frozen") else ", fine-tuned")
    ]
    return ModelCardData(
        **{key: results[key] for key in FACTS if key in results},
        datasets=[data] if data else None,
        library_name="sentence-transformers" if tag == SENTENCES else "transformers",
        pipeline_tag=tag,
        tags=[tag, *["knowledge-distillation"] * distilled, *["onnx", "transformers.js"] * is_exported],
        metrics=sorted({result.metric_type for result in found}) or None,
        model_name=title,
        eval_results=found or None,
    )


def _task_results(score: Mapping[str, Any], how: str) -> Iterator[EvalResult]:
    """The figures on the test part, the primary metric first, without the loss and those of single classes (`PER_f1`).
    how: added to the names."""
    test, data = score["test"], score.get("dataset") or task_name(score)
    tag, split = score.get("pipeline_tag") or "text-classification", score.get("split") or "test"
    names = [name for name in test if name != "loss" and not name.endswith(("_std", *OF_CLASS))]
    for name in sorted(names, key=lambda name: name != score["metric"]):
        title = name + how + (f", mean of {len(score['seeds'])} seeds" if f"{name}_std" in test else "")
        options = dict(metric_value=test[name], metric_name=title, dataset_split=split)
        yield _result(name, tag, data, task_name(score), **options)


def _result(metric: str, *where: str, **options: Any) -> EvalResult:
    return EvalResult(*where, next((kind for kind in METRIC_TYPES if kind in metric), metric), **options)
