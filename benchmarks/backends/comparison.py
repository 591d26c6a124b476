"""How far an exported model is from the one that it was made of."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments
from transformers.modeling_outputs import ModelOutput

from benchmarks.backends.graph import OUTPUTS, arrays
from benchmarks.backends.registry import Run
from distillation.evaluation import fill_in, held_out_examples
from finetuning.splits import Part, read_parts
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


@dataclass
class Comparison:
    """differences: the largest of some logits each; alike: whether predictions agree."""

    differences: list[float] = field(default_factory=list)
    alike: list[np.ndarray] = field(default_factory=list)

    def add(self, exported: Tensor, original: Tensor) -> None:
        """Logits (..., classes) of both."""
        if len(exported):  # of short lines perhaps none is hidden in a batch
            self.differences.append((exported - original).abs().max().item())
        self.alike.append((exported.argmax(-1) == original.argmax(-1)).flatten().numpy())

    def found(self, what: str, figures: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
        """For `export.json`. what: was predicted; figures: of both models."""
        alike = np.concatenate(self.alike)
        agreement = {"largest_difference": max(self.differences), "agreement": float(alike.mean())}
        return agreement | {"compared": f"{alike.size:,} {what}", **figures}


def compare_masked_lm(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int
) -> dict[str, Any]:
    """By the same hidden words of held-out text: both fill them in."""
    examples = held_out_examples(lines, [tokenizer], max_length)[0]
    comparison = Comparison()

    def logits(one: nn.Module, batch: Mapping[str, np.ndarray], positions: np.ndarray) -> Tensor:
        inputs = {name: torch.from_numpy(array) for name, array in batch.items()}
        inputs |= {name: torch.zeros_like(inputs["input_ids"]) for name in deployed.inputs if name not in inputs}
        with torch.inference_mode():
            return one(**inputs).logits.flatten(0, 1)[torch.from_numpy(positions)]

    def exported(batch: Mapping[str, np.ndarray], positions: np.ndarray) -> Tensor:
        found = logits(deployed, batch, positions)
        comparison.add(found, logits(model, batch, positions))
        return found

    figures = {
        "exported": fill_in(exported, tokenizer, examples, BATCH_SIZE),
        "pytorch": fill_in(lambda *at: logits(model, *at), tokenizer, examples, BATCH_SIZE),
    }
    return comparison.found("hidden tokens of held-out text", figures)


def compare_on_lines(
    model: PreTrainedModel, deployed: Deployed, tokenizer: PreTrainedTokenizerBase, lines: Dataset, max_length: int
) -> dict[str, Any]:
    """By what both predict of lines of text. Lines of a batch are one another's choices, where a model chooses."""
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
    return comparison.found("predictions on lines of text", {})


def compare_on_task(
    model: PreTrainedModel,
    deployed: Deployed,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    data_dir: str,
    max_length: int,
) -> dict[str, Any]:
    """By the metrics of a benchmark on the part that it reports.

    Raises UserError for data that cannot be read.
    """
    parts, _ = read_parts(task, data_dir)
    task, rows = task.adapted(parts["train"]), parts["test"]
    part = Part(rows, task.encode(rows, tokenizer, max_length))
    settings = TrainingArguments("unused", per_device_eval_batch_size=BATCH_SIZE, use_cpu=True, report_to="none")
    settings.disable_tqdm = True
    figures, answers, logits = {}, {}, {}
    for name, one in (("exported", deployed), ("pytorch", model)):
        trainer = TaskTrainer(one, copy.copy(settings), task=task, train=None, validation=part, tokenizer=tokenizer)
        logits[name] = trainer.logits(part.encoded.inputs)
        predictions = task.decode(rows, part.encoded, logits[name])
        figures[name] = task.score(rows, predictions)
        answers[name] = [prediction["prediction"] for prediction in predictions]
    differences = [float(np.abs(ours - theirs).max()) for ours, theirs in zip(*logits.values(), strict=True)]
    alike = np.array([ours == theirs for ours, theirs in zip(*answers.values(), strict=True)])
    return Comparison(differences, [alike]).found(f"predictions on the {task.split} part of {task.name}", figures)
