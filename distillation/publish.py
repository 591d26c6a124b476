"""What a finished run leaves: results for programs, a model card for people, and both with the model on the Hub."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import transformers
import yaml
from huggingface_hub import HfApi, ModelCard, ModelCardData

from distillation.evaluation import METRICS
from distillation.trainer import DistillationTrainer

# All that may go to the Hub: never the teacher, an optimiser, or pickled arguments.
PUBLISHED = ("config.json", "*.safetensors", "tokenizer*", "vocab.txt", "README.md", "all_results.json")
# Training arguments that the trainer sets itself, and one that is no part of a recipe.
SET_BY_US = (
    "remove_unused_columns",
    "dataloader_pin_memory",
    "ddp_find_unused_parameters",
    "hub_token",
    "disable_tqdm",
    "ignore_data_skip",
    "logging_nan_inf_filter",
)
HEADINGS = ("loss", "loss per character", "token accuracy", "word accuracy")


def publish(
    trainer: DistillationTrainer,
    results: Mapping[str, Any],
    held_out: Mapping[str, Mapping[str, float]],
    arguments: Sequence[Any],
) -> None:
    """Write `all_results.json`, `README.md`, and `trainer_state.json`; print the figures; push where asked.

    Only the main process calls it, after the model is saved. results: of `DistillationTrainer.measured` with
    `parameters`; held_out: for each model the figures of `evaluate_masked_lm`; arguments: the recipe's dataclasses.
    """
    folder = Path(trainer.args.output_dir)
    flat = {f"{model}_heldout_{name}": value for model, figures in held_out.items() for name, value in figures.items()}
    everything = {
        **results,
        **flat,
        "recipe": recipe_of(arguments, trainer.args),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }
    trainer.save_state()
    write(folder / "all_results.json", json.dumps(everything, indent=2, ensure_ascii=False, default=str) + "\n")
    name = trainer.args.hub_model_id or folder.name
    write(folder / "README.md", model_card(name, everything, held_out))
    print(held_out_table(held_out))
    print(f"saved to {folder}")
    if trainer.push_wanted:
        push(folder, trainer.args)


def recipe_of(arguments: Sequence[Any], training: transformers.TrainingArguments) -> dict[str, Any]:
    """Every key of the recipe, but of `TrainingArguments` those that differ from their defaults."""
    keys = {key: value for part in arguments for key, value in dataclasses.asdict(part).items()}
    values = training.to_dict()  # enumerations as text, tokens hidden
    for known in dataclasses.fields(training):
        value = values.get(known.name)
        unset = value == known.default or (value is False and known.default is None)
        if known.name not in SET_BY_US and isinstance(value, str | int | float) and not unset:
            keys[known.name] = value
    return keys


def held_out_table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """A table of the held-out figures, a row a model."""
    width = max(len("held-out text"), *(len(name) for name in figures))
    rows = [f"{'held-out text':{width}}" + "".join(f"{heading:>20}" for heading in HEADINGS)]
    for name, values in figures.items():
        cells = [f"{values[metric]:.1%}" if "accuracy" in metric else f"{values[metric]:.4f}" for metric in METRICS]
        rows.append(f"{name.replace('_', ' '):{width}}" + "".join(f"{cell:>20}" for cell in cells))
    return "\n".join(rows)


def model_card(name: str, results: Mapping[str, Any], held_out: Mapping[str, Mapping[str, float]]) -> str:
    """A Hub card with the measured figures and the whole recipe."""
    recipe = results["recipe"]
    teacher = recipe.get("teacher_name_or_path")
    on_hub = teacher is not None and not Path(teacher).exists()
    data = ModelCardData(
        base_model=teacher if on_hub else None,
        library_name="transformers",
        pipeline_tag="fill-mask",
        tags=["fill-mask", "knowledge-distillation"] if teacher else ["fill-mask"],
    )
    made = f"distilled from `{Path(teacher).name if not on_hub else teacher}`" if teacher else "trained from scratch"
    figures = "\n".join(
        f"| {model.replace('_', ' ')} | " + " | ".join(f"{values[metric]:.4f}" for metric in METRICS) + " |"
        for model, values in held_out.items()
    )
    return str(
        ModelCard(
            f"""---
{data.to_yaml()}
---

# {name}

A masked language model of {results["parameters"]:,} parameters, {made}.

```python
from transformers import pipeline
fill_mask = pipeline("fill-mask", model="{name}")
```

## Held-out text

| model | {" | ".join(HEADINGS)} |
|---|---|---|---|---|
{figures}

Whole words hidden, 15 % of them, always behind the mask token; losses in nats. Trained for {results["steps"]:,} steps
in {results["train_seconds"]:,.0f} s ({results["train_tokens_per_second"]:,.0f} tokens/s) on {results["processes"]} x
{results["device"]}.

## Recipe

```yaml
{yaml.safe_dump(recipe, allow_unicode=True, sort_keys=False).rstrip()}
```

Method: [Knowledge Distillation of Russian Language Models with Reduction of
Vocabulary](https://arxiv.org/abs/2205.02340).
"""
        )
    )


def push(folder: Path, arguments: transformers.TrainingArguments) -> None:
    """Upload what is `PUBLISHED` of a finished folder to the Hub repository `hub_model_id`."""
    api = HfApi(token=arguments.hub_token)
    repository = api.create_repo(arguments.hub_model_id, private=arguments.hub_private_repo, exist_ok=True)
    api.upload_folder(
        repo_id=repository.repo_id,
        folder_path=folder,
        allow_patterns=list(PUBLISHED),
        ignore_patterns="checkpoint-*",
        commit_message="Model, tokenizer, card, and results",
    )
    print(f"pushed to {repository}")


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(path.name + ".part")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
