"""What a fine-tuning run leaves: figures for programs, a card for people, predictions."""

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import ModelCard, ModelCardData

from distillation.publish import write
from distillation.resumption import RESULTS
from finetuning.task import Task

PARTS = ("validation", "test")
USAGE = """from transformers import pipeline
ask = pipeline("{tag}", model="{name}")"""
# Words are tagged at their first token.
USAGE_FOR_TAGS = USAGE.replace('")', '", aggregation_strategy="first")')
USAGE_FOR_CHOICES = """from transformers import AutoModelForMultipleChoice, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForMultipleChoice.from_pretrained("{name}")
text, choices = "Пошёл дождь. Что случилось в результате?", ["Дорога намокла.", "Дорога высохла."]
inputs = tokenizer([text] * len(choices), choices, padding=True, return_tensors="pt")
print(choices[model(**{{name: values[None] for name, values in inputs.items()}}).logits.argmax()])"""
# transformers 5 has no pipeline for questions.
USAGE_FOR_QUESTIONS = """import torch
from transformers import AutoModelForQuestionAnswering, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained("{name}")
model = AutoModelForQuestionAnswering.from_pretrained("{name}")
question, context = "Где живёт кошка?", "Кошка живёт в доме у реки."
inputs = tokenizer(question, context, truncation="only_second", return_offsets_mapping=True, return_tensors="pt")
places = inputs.pop("offset_mapping")[0]
ends = model(**inputs)
scores = ends.start_logits[0, :, None] + ends.end_logits[0]  # of every first token with every last one
outside = torch.tensor([part != 1 for part in inputs.sequence_ids()])
impossible = outside | outside[:, None] | torch.ones_like(scores).tril(-1).bool()
first, last = divmod(scores.masked_fill(impossible, -1e4).argmax().item(), len(scores))
print(context[places[first, 0] : places[last, 1]])"""


def save_predictions(folder: Path, part: str, predictions: Sequence[Mapping[str, Any]]) -> None:
    """As a JSON line a row, with its id, the score, and what else the task tells."""
    lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in predictions)
    write(folder / f"{part}_predictions.jsonl", lines)


def save_results(folder: Path, results: Mapping[str, Any]) -> None:
    """The figures as JSON."""
    write(folder / RESULTS, json.dumps(results, indent=2, ensure_ascii=False, default=str) + "\n")


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One result of several runs that differ in their seed: of each measured figure the mean, and as `*_std` the
    standard deviation of a sample; the runs themselves under `runs`."""
    merged: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        measured = name.startswith(PARTS) or name in ("steps", "epochs", "train_seconds")
        if measured and isinstance(value, int | float):
            merged[name] = statistics.fmean(values)
            if name.startswith(PARTS):
                merged[f"{name}_std"] = statistics.stdev(values) if len(values) > 1 else 0.0
        elif all(other == value for other in values):
            merged[name] = value
    merged["recipe"] = {key: value for key, value in runs[0]["recipe"].items() if key != "seed"}
    return merged | {"seeds": [run["seed"] for run in runs], "runs": list(runs)}


def table(task: Task, results: Mapping[str, Any]) -> str:
    """The metrics as a table, a row a metric."""
    rows = [f"{task.name:<16}" + "".join(f"{part:>20}" for part in PARTS)]
    for name in metric_names(results):
        rows.append(f"{name:<16}" + "".join(f"{_figure(results, f'{part}_{name}'):>20}" for part in PARTS))
    return "\n".join(rows)


def metric_names(results: Mapping[str, Any]) -> list[str]:
    """Of the figures of the test part."""
    names = [name.removeprefix("test_") for name in results if name.startswith("test_")]
    return [name for name in names if not name.endswith("_std")]


def _figure(results: Mapping[str, Any], name: str) -> str:
    text = f"{results[name]:.4f}"
    return f"{text} ± {results[name + '_std']:.4f}" if f"{name}_std" in results else text


def save_card(folder: Path, task: Task, name: str | None, results: Mapping[str, Any]) -> None:
    """The model card, `README.md`."""
    write(folder / "README.md", model_card(name or folder.name, task, results))


def model_card(name: str, task: Task, results: Mapping[str, Any]) -> str:
    """A Hub card with the measured figures and how they came about."""
    source = results["model"]
    data = ModelCardData(
        base_model=source if not Path(source).exists() else None,
        library_name="transformers",
        pipeline_tag=task.pipeline_tag,
        tags=[task.pipeline_tag],
    )
    usage = {
        "question-answering": USAGE_FOR_QUESTIONS,
        "token-classification": USAGE_FOR_TAGS,
        "multiple-choice": USAGE_FOR_CHOICES,
    }.get(task.pipeline_tag, USAGE)
    figures = "\n".join(
        f"| {metric} | " + " | ".join(_figure(results, f"{part}_{metric}") for part in PARTS) + " |"
        for metric in metric_names(results)
    )
    return str(
        ModelCard(
            f"""---
{data.to_yaml()}
---

# {name}

`{Path(source).name if Path(source).exists() else source}` fine-tuned on {task.name}: {results["parameters"]:,}
parameters, {results["steps"]:,} steps, seed {results["seed"]}.

```python
{usage.format(tag=task.pipeline_tag, name=name)}
```

| metric | validation | test |
|---|---|---|
{figures}

The checkpoint was chosen by {results["chosen_by"]}.

```yaml
{yaml.safe_dump(results["recipe"], allow_unicode=True, sort_keys=False).rstrip()}
```
"""
        )
    )
