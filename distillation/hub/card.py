"""A model card for the Hub: what a model is, how it is asked, what it was measured to be worth, how it was made.

Every figure is one of `all_results.json`, `measured.json`, `onnx/export.json`, or `config.json` in the same folder, or
the ratio of two of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard

from distillation.config.arguments import TERMS, ObjectiveArguments
from distillation.hub.front_matter import front_matter, held_out_prefix, is_distilled, task_name
from distillation.hub.measured import THIS
from distillation.hub.usage import onnx_usage, usage
from distillation.runs.files import EXPORTED, HEADINGS, MEASURED, METRICS, RESULTS, without_folders

CITATION = """## Citation

The method:

```bibtex
@misc{kolesnikova2022knowledge,
  title = {Knowledge Distillation of Russian Language Models with Reduction of Vocabulary},
  author = {Kolesnikova, Alina and Kuratov, Yuri and Konovalov, Vasily and Burtsev, Mikhail},
  year = {2022},
  eprint = {2205.02340},
  archivePrefix = {arXiv},
  url = {https://arxiv.org/abs/2205.02340}
}
```"""
PARTS = ("validation", "test")
PER_CENT = " Scores of questions are per cent, as SQuAD's script has them."


def model_card(name: str, results: Mapping[str, Any], config: Mapping[str, Any], measured: Mapping[str, Any]) -> str:
    """The text of `README.md`.

    name: of the repository; results: `all_results.json`; config: `config.json`; measured: of `what_is_measured`.
    """
    results = without_folders(results)
    on_text = held_out_prefix(results) is not None
    sections = [
        f"# {name.split('/')[-1]}\n\n{_summary(results, config)}",
        f"## How to use\n\n```python\n{usage(results['pipeline_tag'], name, results.get('texts', 1))}\n```",
        _exported(results["pipeline_tag"], name, measured.get("exported")),
        _held_out(results) if on_text else _own_scores(results),
        _scores(measured.get("scores", [])),
        _speed(measured.get("speed", [])),
        _limits(results, config),
        _making(results),
        CITATION,
    ]
    body = "\n\n".join(section for section in sections if section)
    return str(ModelCard(f"---\n{front_matter(name, results, measured).to_yaml()}\n---\n\n{body}\n"))


def metric_names(results: Mapping[str, Any]) -> list[str]:
    """Of the figures of the test part."""
    names = [name.removeprefix("test_") for name in results if name.startswith("test_")]
    return [name for name in names if not name.endswith("_std")]


def figure(values: Mapping[str, float], name: str) -> str:
    """A figure, with its standard deviation over seeds if there is one; nothing where it is not known."""
    if values.get(name) is None:
        return ""
    return f"{values[name]:.4f}" + (f" ± {values[name + '_std']:.4f}" if f"{name}_std" in values else "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _summary(results: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    size = f"{results['parameters']:,} parameters, {results['model_bytes'] / 2**20:,.2f} MiB"
    source = f"`{results['base_model'] or _name_of_source(results)}`"
    if "task" in results:
        how = "With the shape of {} and random first weights, trained" if _is_random(results) else "{} fine-tuned"
        taught = " with a task teacher" if "task_teacher" in results else ""
        return f"{how.format(source)} on {task_name(results)}{taught}: {size}.{_shape(config)}"
    if is_distilled(results):
        parameters = results["teacher_parameters"]
        how = (
            f"distilled from {source}, which has {parameters:,} parameters: "
            f"{parameters / results['parameters']:.1f} times as many"
        )
    elif "teacher_parameters" in results:
        how = f"trained as a masked LM alone, {'' if _is_random(results) else f'its first weights made of {source}'}"
    else:
        how = "trained from scratch"
    return f"A masked language model of {size}, {how.rstrip(', ')}.{_shape(config)}"


def _name_of_source(results: Mapping[str, Any]) -> str:
    return Path(results.get("model") or results["recipe"].get("teacher_name_or_path") or "").name


def _is_random(results: Mapping[str, Any]) -> bool:
    recipe = results["recipe"]
    return bool(recipe.get("random_weights")) or recipe.get("student_initialisation") == "random"


def _shape(config: Mapping[str, Any]) -> str:
    layers = config.get("num_hidden_layers", config.get("n_layers"))  # as BERT calls it, and DistilBERT
    width = config.get("hidden_size", config.get("dim"))
    heads = config.get("num_attention_heads", config.get("n_heads"))
    if None in (layers, width, heads):
        return ""
    return f" It has {layers} layers of width {width} with {heads} heads, and {config['vocab_size']:,} tokens."


def _exported(tag: str, name: str, exported: Mapping[str, Any] | None) -> str:
    if exported is None:
        return ""
    size = exported["bytes"]["model.onnx"] / 2**20
    return (
        f"`onnx/{exported['file']}` is this model for ONNX Runtime ({exported['backend']}, {size:.2f} MiB). "
        f"Beside PyTorch, {exported['agreement']:.2%} of {exported['compared']} agree; logits differ by "
        f"{exported['largest_difference']:.2g} at most (`{EXPORTED}`).\n\n"
        f"```python\n{onnx_usage(tag, name, exported['file'])}\n```"
    )


def _held_out(results: Mapping[str, Any]) -> str:
    names = {"teacher": "teacher", "student_before": "this model before training", "student": THIS}
    if "student_heldout_loss" not in results:  # a teacher made from scratch
        names = {"teacher": THIS}
    rows = [
        [name, *(f"{results[f'{role}_heldout_{metric}']:.4f}" for metric in METRICS)] for role, name in names.items()
    ]
    hidden = results[f"{held_out_prefix(results)}masked_words"]
    return (
        f"## Held-out text\n\n{_table(['model', *HEADINGS], rows)}\n\nWhole words are hidden, always behind the mask "
        f"token: {hidden:,} words. Losses in nats. (`{RESULTS}`)"
    )


def _own_scores(results: Mapping[str, Any]) -> str:
    rows = [[name, *(figure(results, f"{part}_{name}") for part in PARTS)] for name in metric_names(results)]
    sizes = " and ".join(f"{results['examples'][part]:,} ({part})" for part in PARTS)
    return (
        f"## Scores\n\n{_table(['metric', *PARTS], rows)}\n\nOn {sizes} examples. The checkpoint was chosen by "
        f"{results['chosen_by']}.{PER_CENT if results.get('per_cent') else ''} (`{RESULTS}`)"
    )


def _scores(scores: Sequence[Mapping[str, Any]]) -> str:
    if not scores:
        return ""
    # This model first, then what was done with it otherwise, then the others.
    models = sorted(
        dict.fromkeys(score["model"] for score in scores), key=lambda name: (name != THIS, not name.startswith(THIS))
    )
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for score in scores:
        known = next((one for one in scores if one["task"] == score["task"] and "split" in one), score)
        row = rows.setdefault((task_name(known), score["metric"]), {})
        row[score["model"]] = figure(score["test"], score["metric"])
    table = _table(
        ["task", "metric", *models],
        [[*task, *(cells.get(model, "") for model in models)] for task, cells in rows.items()],
    )
    spread = " ± is the standard deviation over seeds." if "±" in table else ""
    unit = PER_CENT if any(score.get("per_cent") for score in scores) else ""
    return (
        f"## Tasks\n\n{table}\n\nModels fine-tuned on the task and scored on the part that the benchmark reports, "
        f"which chose nothing.{unit}{spread} (`{MEASURED}`)"
    )


def _speed(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return ""
    in_torch = [row for row in rows if row["backend"] == "torch"]
    compared = THIS if all(row["model"] == THIS for row in in_torch) else "the teacher"
    slowest = {_setting(row): row["milliseconds"] for row in in_torch if (row["model"] == THIS) == (compared == THIS)}
    cells = []
    for row in rows:
        base = slowest.get(_setting(row))
        faster = f"{base / row['milliseconds']:.1f}" if base else ""
        shape = f"{row['batch_size']} x {row['sequence_length']}"
        took, size = f"{row['milliseconds']:.2f}", f"{row['mib']:.2f}"
        cells.append([row["model"], row["head"], row["backend"], shape, took, faster, size])
    heads = ["model", "head", "backend", "batch x length", "ms", "times as fast", "MiB on disk"]
    machines = ", and ".join(dict.fromkeys(f"{row['device']} ({row['hardware']})" for row in rows))
    return (
        f"## Speed\n\n{_table(heads, cells)}\n\nMedians; as many times as fast as {compared} is in PyTorch on the "
        f"same input. Measured on {machines}. (`{MEASURED}`)"
    )


def _setting(row: Mapping[str, Any]) -> tuple:
    """What two timings must have in common to be compared."""
    return tuple(row[key] for key in ("head", "device", "batch_size", "sequence_length", "hardware"))


def _limits(results: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    lines = []
    if length := config.get("model_max_length"):
        trained = results["recipe"].get("max_length")
        known = f", and was trained on at most {trained:,}" if trained else ""
        lines.append(f"It reads at most {length:,} tokens at once (`tokenizer_config.json`){known}.")
    if "task" in results:
        lines.append(
            "It was scored on the benchmark's own texts; on those of another kind, time, or source it may be worse. "
            "Its probabilities are not calibrated."
        )
    else:
        lines.append(
            "Held-out figures are of lines like those that it learned from, and of one run: another seed gives "
            "others. What it is worth for a task, only fine-tuning on that task tells."
        )
    lines.append(
        "It may repeat what its texts say, prejudice included"
        + (", and what its teacher learned from others" if is_distilled(results) else "")
        + ". Nobody has examined it for that."
    )
    return "## Limits\n\n" + "\n".join(f"* {line}" for line in lines)


def _making(results: Mapping[str, Any]) -> str:
    recipe = results["recipe"]
    terms = [term for term in TERMS if is_distilled(results) and f"eval_{term}" in results]
    rows = [[_meaning(term), f"{recipe[f'weight_{term}']:g}", f"{results[f'eval_{term}']:.4f}"] for term in terms]
    weighed = ""
    if rows:
        weighed = f"{_table(['term', 'weight', 'on held-out text'], rows)}\n\n"
        weighed += "Means over validation examples masked as in training.\n\n"
    speed = results.get("train_tokens_per_second")
    pace = f" ({speed:,.0f} tokens/s)" if speed else ""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    text = yaml.safe_dump(dict(recipe), allow_unicode=True, sort_keys=False).rstrip()
    return (
        f"## How it was made\n\n{weighed}{results['steps']:,} steps in {results['train_seconds']:,.0f} s{pace} on "
        f"{results['processes']} x {results['device']}, with {versions}. (`{RESULTS}`) The whole recipe (paths "
        f"outside of the working directory are cut to their last name):\n\n```yaml\n{text}\n```"
    )


def _meaning(term: str) -> str:
    """As the help of its weight has it."""
    told = ObjectiveArguments.__dataclass_fields__[f"weight_{term}"].metadata["help"]
    return told.removeprefix("Weight of ").rstrip(".").split(",")[0].replace("|", "\\|")
