"""An exported model in the place of the one that it was made of, and how much that changes."""

import copy
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from datasets import Dataset
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.modeling_outputs import ModelOutput

from benchmarks.backends.graph import OUTPUTS
from benchmarks.backends.runtimes import Run, arrays
from distillation.evaluation import fill_in, held_out_examples
from finetuning.arguments import Settings, parse
from finetuning.experiment import prepare
from finetuning.sets import REGISTRY, make_task, set_of
from finetuning.tasks.base import Task
from finetuning.trainer import TaskTrainer

BATCH_SIZE = 16


class Deployed(nn.Module):
    """Calls an exported model as if it were the original, on the CPU."""

    def __init__(self, run: Run, model: PreTrainedModel, inputs: Sequence[str]):
        """inputs: the names of those that the exported model takes."""
        super().__init__()
        self.run, self.config, self.inputs = run, model.config, inputs
        questions = model.config.architectures[0].endswith("ForQuestionAnswering")
        self.names = OUTPUTS[2:] if questions else OUTPUTS[1:2]

    def forward(self, **inputs: Tensor) -> ModelOutput:
        found = arrays(self.run({name: inputs[name].numpy().astype(np.int64) for name in self.inputs}))
        return ModelOutput({name: torch.from_numpy(one) for name, one in zip(self.names, found, strict=True)})


def compare_masked_lm(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int
) -> dict[str, Any]:
    """Held-out figures of both by the same hidden words, the largest difference of their logits, and how many of the
    hidden tokens both fill in alike."""
    examples = held_out_examples(lines, [tokenizer], max_length)[0]
    difference, alike = [], []

    @torch.inference_mode()
    def original(batch: Mapping[str, np.ndarray], positions: np.ndarray) -> Tensor:
        inputs = {name: torch.from_numpy(array) for name, array in batch.items()}
        return model(**inputs).logits.flatten(0, 1)[torch.from_numpy(positions)]

    def exported(batch: Mapping[str, np.ndarray], positions: np.ndarray) -> Tensor:
        inputs = {name: torch.from_numpy(array) for name, array in batch.items()}
        inputs |= {name: torch.zeros_like(inputs["input_ids"]) for name in deployed.inputs if name not in inputs}
        ours, theirs = deployed(**inputs).logits.flatten(0, 1)[positions], original(batch, positions)
        difference.extend((ours - theirs).abs().amax(-1).tolist())  # of short lines perhaps none is hidden in a batch
        alike.append((ours.argmax(-1) == theirs.argmax(-1)).numpy())
        return ours

    figures = {
        "exported": fill_in(exported, tokenizer, examples, BATCH_SIZE),
        "pytorch": fill_in(original, tokenizer, examples, BATCH_SIZE),
    }
    return _comparison(difference, np.concatenate(alike), figures, "hidden tokens of held-out text")


def compare_on_lines(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int
) -> dict[str, Any]:
    """The largest difference of logits, and how many predictions agree, on lines of text."""
    difference, alike = [], []
    for start in tqdm(range(0, len(lines), BATCH_SIZE), desc="Comparing", leave=False):
        texts = lines[start : start + BATCH_SIZE]["text"]
        inputs = tokenizer(texts, padding=True, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.inference_mode():
            pairs = zip(deployed(**inputs).values(), model(**inputs).to_tuple(), strict=True)
        for ours, theirs in pairs:
            if len(deployed.names) == 2:  # scores of tokens to be an end of the answer: padding is none
                ours, theirs = (one.masked_fill(inputs["attention_mask"] == 0, -1e4) for one in (ours, theirs))
            elif ours.dim() == 3:  # labels of tokens
                ours, theirs = (one[inputs["attention_mask"].bool()] for one in (ours, theirs))
            difference.append((ours - theirs).abs().max().item())
            alike.append((ours.argmax(-1) == theirs.argmax(-1)).numpy())
    return _comparison(difference, np.concatenate(alike), {}, "predictions on lines of text")


def compare_on_task(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, task: Task, settings: Settings
) -> dict[str, Any]:
    """The benchmark's metrics of both on its test part, the largest difference of logits, and how many predictions
    agree."""
    part = prepare(task, settings, settings.training).parts["test"]
    figures, predictions, logits = {}, {}, {}
    for name, one in (("exported", deployed), ("pytorch", model)):
        trainer = TaskTrainer(
            one, copy.copy(settings.training), task=task, train=None, validation=part, tokenizer=tokenizer
        )
        logits[name] = trainer.logits(part.encoded.inputs)
        predictions[name] = task.decode(part.rows, part.encoded, logits[name])
        figures[name] = task.score(part.rows, predictions[name])
    pairs = zip(logits["exported"], logits["pytorch"], strict=True)
    answers = [[one["prediction"] for one in predictions[name]] for name in ("exported", "pytorch")]
    alike = np.array([ours == theirs for ours, theirs in zip(*answers, strict=True)])
    difference = [float(np.abs(ours - theirs).max()) for ours, theirs in pairs]
    return _comparison(difference, alike, figures, f"predictions on the test part of {task.name}")


def task_of(results: Mapping[str, Any], folder: str, data_dir: str | None) -> tuple[Task, Settings]:
    """The benchmark that a run of `finetuning/run_*.py` was about, from what it left in `all_results.json`.

    folder: where its model is; data_dir: where the data are now, if not where they were.
    """
    recipe = {
        key: value for key, value in results["recipe"].items() if key != "task_teacher" and value not in (None, [])
    }
    recipe |= {"model_name_or_path": folder, "use_cpu": True, "disable_tqdm": True}
    recipe |= {"data_dir": data_dir} if data_dir else {}
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch, "recipe.yaml")
        path.write_text(yaml.safe_dump(recipe | {"output_dir": scratch}), encoding="utf-8")
        settings = parse(REGISTRY[results["task"]], set_of(results["task"]).Options, ["--config", str(path)])
    return make_task(results["task"], recipe), settings


def _comparison(
    difference: Sequence[float], alike: np.ndarray, figures: Mapping[str, Mapping[str, float]], of: str
) -> dict[str, Any]:
    return {
        "largest_difference": max(difference),
        "agreement": float(alike.mean()),
        "compared": f"{alike.size:,} {of}",
        **figures,
    }
