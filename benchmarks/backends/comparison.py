"""How far an exported model is from the one that it was made of."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.modeling_outputs import ModelOutput

from benchmarks.backends.graph_export import OUTPUTS, arrays, tensors
from benchmarks.backends.registry import Run
from distillation.evaluation import fill_in, held_out_examples
from finetuning.tasks.base import Task
from finetuning.trainer import TaskTrainer

BATCH_SIZE = 16
NO_ANSWER = -1e4  # the score of padding to be an end of an answer


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


class Comparison:
    """differences: the largest of some logits each; alike: whether predictions agree."""

    def __init__(self):
        self.differences: list[float] = []
        self.alike: list[np.ndarray] = []

    def add(self, exported: Tensor, original: Tensor) -> None:
        """Logits (..., classes) of both."""
        if len(exported):  # in a batch of short lines perhaps no token is hidden
            self.differences.append((exported - original).abs().max().item())
        self.alike.append((exported.argmax(-1) == original.argmax(-1)).flatten().numpy())

    def found(self, what: str, **figures: Mapping[str, float]) -> dict[str, Any]:
        """For `export.json`. what: was predicted; figures: of both models."""
        alike = np.concatenate(self.alike)
        agreement = {"largest_difference": max(self.differences), "agreement": float(alike.mean())}
        return agreement | {"compared": f"{alike.size:,} {what}", **figures}


def compare_masked_lm(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int
) -> dict[str, Any]:
    """Both fill in the same hidden words of held-out text."""
    examples = held_out_examples(lines, [tokenizer], max_length)[0]
    comparison = Comparison()

    def original(batch: Mapping[str, np.ndarray], positions: np.ndarray, one: nn.Module = model) -> Tensor:
        inputs = tensors(batch)
        inputs |= {name: torch.zeros_like(inputs["input_ids"]) for name in deployed.inputs if name not in inputs}
        with torch.inference_mode():
            return one(**inputs).logits.flatten(0, 1)[torch.from_numpy(positions)]

    def exported(batch: Mapping[str, np.ndarray], positions: np.ndarray) -> Tensor:
        found = original(batch, positions, deployed)
        comparison.add(found, original(batch, positions))
        return found

    both = {"exported": exported, "pytorch": original}
    figures = {name: fill_in(logits, tokenizer, examples, BATCH_SIZE) for name, logits in both.items()}
    return comparison.found("hidden tokens of held-out text", **figures)


def compare_on_lines(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int
) -> dict[str, Any]:
    """Both predict lines of text. For a model that chooses, the lines of a batch are the choices."""
    comparison = Comparison()
    chooses = model.config.architectures[0].endswith("ForMultipleChoice")
    for start in tqdm(range(0, len(lines), BATCH_SIZE), desc="Comparing", leave=False):
        texts = lines[start : start + BATCH_SIZE]["text"]
        inputs = dict(tokenizer(texts, padding=True, truncation=True, max_length=max_length, return_tensors="pt"))
        inputs = {name: one[None] if chooses else one for name, one in inputs.items()}
        real = inputs["attention_mask"].bool()
        with torch.inference_mode():
            both = deployed(**inputs), model(**inputs)
        for name in deployed.names:
            logits = [outputs[name] for outputs in both]
            if len(deployed.names) == 2:  # the ends of an answer
                logits = [one.masked_fill(~real, NO_ANSWER) for one in logits]
            elif logits[0].dim() == 3:  # labels of tokens
                logits = [one[real] for one in logits]
            comparison.add(*logits)
    return comparison.found("predictions on lines of text")


def compare_on_task(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, task: Task, rows: list, length: int
) -> dict[str, Any]:
    """By the metrics of a benchmark. rows: of the part that it reports; length: in tokens."""
    part = task.encode(rows, tokenizer, length)
    settings = TrainingArguments("unused", per_device_eval_batch_size=BATCH_SIZE, use_cpu=True, report_to="none")
    settings.disable_tqdm = True
    comparison, figures, answers, logits = Comparison(), {}, {}, {}
    for name, one in (("exported", deployed), ("pytorch", model)):
        trainer = TaskTrainer(one, copy.copy(settings), task=task, train=None, validation=part, tokenizer=tokenizer)
        logits[name] = trainer.logits(part.inputs)
        predictions = task.decode(part, logits[name])
        figures[name] = task.score(rows, predictions)
        answers[name] = [prediction["prediction"] for prediction in predictions]
    comparison.differences = [float(np.abs(one - other).max()) for one, other in zip(*logits.values(), strict=True)]
    comparison.alike = [np.array([one == other for one, other in zip(*answers.values(), strict=True)])]
    return comparison.found(f"predictions on the {task.split} part of {task.name}", **figures)
