"""A benchmark as data, and what each kind of task makes of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import evaluate
import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from distillation.models.loading import load_with_head
from finetuning.tasks.collator import Collator

Row = Mapping[str, Any]  # an example as a reader gives it


@dataclass(frozen=True)
class Encoded:
    """The rows of one split as inputs of a model."""

    # Columns input_ids, attention_mask, (token_type_ids,) labels, length; size where logits are padded in a batch: how
    # many belong to the input; and perhaps teacher_logits.
    inputs: Dataset
    places: list  # for each row, where in `inputs` it is; what exactly, its task knows
    truncated: int = 0  # rows of which the model sees only a part


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A benchmark. A subclass knows a kind of task: rows to inputs, scores to predictions."""

    name: str
    labels: tuple[str, ...] = ()
    # A folder or Hub id -> rows of train, test, and where there are such, validation and, without labels, submission.
    read: Callable[[str], dict[str, list[Row]]]
    write: Callable[[Path, Sequence[Row], Sequence], Path]  # predictions in the benchmark's own format
    metric: evaluate.Metric
    primary_metric: str  # the figure that the benchmark goes by
    selection_metric: str | None = None  # the figure that chooses a checkpoint, where another does
    per_cent: bool = False  # whether its figures are per cent, and not shares of 1
    split: str = "test"  # what the benchmark calls the part that is reported

    model_class: ClassVar[type]
    pipeline_tag: ClassVar[str]  # the Hub's name for the kind of task
    texts_are_examples: ClassVar[bool] = False  # so that a text twice is a repeat, and in the test a leak
    collator: ClassVar[type[Collator]] = Collator
    padded: ClassVar[tuple[str, ...]] = ()  # as the collator has it
    needs_one_tokenizer: ClassVar[str] = ""  # why a task teacher with another tokenizer is refused, if it is

    @abstractmethod
    def texts(self, row: Row) -> tuple[str, ...]:
        """The texts that must not be on both sides of a split."""

    def labels_of(self, row: Row) -> Iterable[str]:
        """The labels that occur in a row."""
        return (row["label"],) if self.labels else ()

    def adapted(self, train: Sequence[Row]) -> "Task":
        """The task for these rows to train on."""
        return self

    def load_model(self, name_or_path: str, random_weights: bool = False) -> PreTrainedModel:
        """A checkpoint with a head for the task: its own if it has one that fits, else a new one.

        Raises UserError for what is no encoder with trained weights.
        """
        return load_with_head(self.model_class, name_or_path, "model_name_or_path", self.labels, random_weights)

    @abstractmethod
    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """The rows as inputs with labels."""

    @abstractmethod
    def decode(self, rows: Sequence[Row], encoded: Encoded, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """A prediction for each row: `id`, `prediction` as the metric wants it, `score`, and what else is of use.

        logits: for each input, without its padding.
        """

    @abstractmethod
    def references(self, rows: Sequence[Row]) -> list:
        """The right answers as the metric wants them."""

    def logits(self, outputs: ModelOutput) -> Tensor:
        """What a model says: (batch, ...), or (batch, length, ...) where tokens have scores."""
        return outputs.logits

    def scores(self, logits: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Logits as scores of the classes wherever there is a label: (*labels.shape, classes).

        attention_mask: as the model read it; None where nothing is padded.
        """
        return logits

    def teacher_logits(self, teacher: Encoded, logits: Sequence[np.ndarray], student: Encoded) -> list[np.ndarray]:
        """A task teacher's logits for each input of the student; NaN where it has nothing to say."""
        return list(logits)

    def score(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The benchmark's metrics, the one it goes by first."""
        answers = [prediction["prediction"] for prediction in predictions]
        figures = self.metric.compute(predictions=answers, references=self.references(rows))
        return {self.primary_metric: figures[self.primary_metric]} | figures


def input_columns(encoding: Mapping[str, Any]) -> dict[str, list]:
    """Of a tokenizer's result what a model reads, and the lengths."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    columns = {name: [np.array(one, dtype=np.int32) for one in encoding[name]] for name in names if name in encoding}
    return columns | {"length": [len(ids) for ids in encoding["input_ids"]]}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis, in double precision."""
    return torch.from_numpy(np.asarray(logits, dtype=np.float64)).softmax(-1).numpy()
