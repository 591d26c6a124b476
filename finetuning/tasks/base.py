"""A benchmark as data, and what each kind of task makes of it: inputs, batches, predictions, and scores."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import evaluate
import numpy as np
import torch
from datasets import Dataset
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from distillation.models.loading import load_config, load_with_head
from finetuning.formats.locate import Source
from finetuning.tasks.losses import IGNORED

Row = Mapping[str, Any]  # an example as a reader gives it
PADDING = {"labels": IGNORED, "teacher_logits": float("nan")}  # of the columns that the model does not read
KEY = "model_name_or_path"
NONE = "(none)"  # in a table of confusions: where a label is missed, or predicted without one


@dataclass(frozen=True)
class Part:
    """One part of a benchmark: its rows, and the inputs that a model reads."""

    rows: Sequence[Row]
    # Columns input_ids, attention_mask, (token_type_ids,) labels, length; `teacher_logits` if there is a task teacher;
    # `size`, how many of the padded logits belong to the input, if their number differs between inputs.
    inputs: Dataset
    truncated: int = 0  # rows of which the model reads only a part
    places: Sequence = ()  # for each row where it is in `inputs`, in a form that its task knows


@dataclass(frozen=True)
class Collator:
    """Pads inputs to the longest of a batch."""

    tokenizer: PreTrainedTokenizerBase

    def __call__(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        batch = self.read(inputs)
        for name in PADDING.keys() & inputs[0].keys():
            values = [torch.tensor(one[name]) for one in inputs]
            is_sequence = values[0].dim() > 0
            batch[name] = pad_sequence(values, True, PADDING[name]) if is_sequence else torch.stack(values)
        return batch

    def read(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The tensors that the model reads: (batch, length)."""
        names = [name for name in self.tokenizer.model_input_names if name in inputs[0]]
        return dict(self.tokenizer.pad([{name: one[name] for name in names} for one in inputs], return_tensors="pt"))


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A benchmark. A subclass is a kind of task: it turns rows into inputs, and logits into predictions."""

    name: str
    set: str = ""  # of one's own data: the module of `sets` that reads them
    labels: tuple[str, ...] = ()  # where a benchmark does not have its own, `adapted` finds them
    # A folder or Hub id, or files of one's own -> rows of train and test, and if they exist of validation and (without
    # labels) submission. One's own data may lack the test.
    read: Callable[[Source], dict[str, list[Row]]]
    write: Callable[[Path, Sequence[Row], Sequence], Path]  # predictions in the benchmark's own format
    metric: evaluate.Metric
    primary_metric: str  # the figure that the benchmark goes by
    selection_metric: str | None = None  # the figure that chooses a checkpoint, if it is another
    per_cent: bool = False  # whether its figures are per cent, and not shares of 1
    split: str = "test"  # what the benchmark calls the part that is reported

    model_class: ClassVar[type]
    pipeline_tag: ClassVar[str]  # the Hub's name for the kind of task
    texts_are_examples: ClassVar[bool] = False  # if so, a repeated text is a repeated example, and in the test a leak
    collator: ClassVar[type[Collator]] = Collator
    needs_one_tokenizer: ClassVar[str] = ""  # why a task teacher with another tokenizer is refused, if it is

    @abstractmethod
    def texts(self, row: Row) -> tuple[str, ...]:
        """The texts that must not be on both sides of a split."""

    def adapted(self, parts: Mapping[str, Sequence[Row]]) -> "Task":
        """The task for these rows."""
        return self

    def fitted(self, part: Part, logits: Sequence[np.ndarray]) -> "Task":
        """The task with what it chooses by the validation part besides a checkpoint."""
        return self

    @property
    def config(self) -> dict[str, Any]:
        """What was chosen so, for `config.json` and the results."""
        return {}

    def configured(self, config: PreTrainedConfig) -> "Task":
        """The task with what a saved model's config has of that."""
        return self

    def confusions(self, reference: Any, prediction: Any) -> list[tuple[str, str]]:
        """Pairs of a right and a predicted label, for a table of what is taken for what."""
        return [(reference, prediction)]

    def load_model(self, name_or_path: str, random_weights: bool = False) -> PreTrainedModel:
        """A checkpoint with a head for the task: its own if it fits, in the order of these labels, else a new one.
        Raises UserError for a checkpoint that is no encoder with trained weights."""
        model = load_with_head(self.model_class, name_or_path, KEY, self.labels, random_weights)
        known = [label for _, label in sorted(load_config(name_or_path, KEY).id2label.items())]
        if known != [*self.labels] and sorted(known) == sorted(self.labels):
            *_, last = (one for one in model.modules() if isinstance(one, nn.Linear) and len(one.weight) == len(known))
            for weight in last.parameters():
                weight.data = weight.data[[known.index(label) for label in self.labels]]
        return model

    @abstractmethod
    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """The rows as inputs with labels."""

    @abstractmethod
    def decode(self, part: Part, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """A prediction for each row: `id`, `prediction` as the metric wants it, `score`, and more by the kind of task.
        logits: for each input, without its padding."""

    @abstractmethod
    def references(self, rows: Sequence[Row]) -> list:
        """The right answers as the metric wants them."""

    def logits(self, outputs: ModelOutput) -> Tensor:
        """The logits of a model: (batch, ...), or (batch, length, ...) if tokens have scores."""
        return outputs.logits

    def scores(self, logits: Tensor, attention_mask: Tensor | None) -> Tensor:
        """Logits as scores of the classes wherever there is a label: (*labels.shape, classes).
        attention_mask: as the model read it; None if nothing is padded."""
        return logits

    def teacher_logits(self, teacher: Part, logits: Sequence[np.ndarray], student: Part) -> list[np.ndarray]:
        """A task teacher's logits for each input of the student; NaN where it has none."""
        return list(logits)

    def score(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The benchmark's metrics, `primary_metric` first."""
        answers = [prediction["prediction"] for prediction in predictions]
        figures = self.metric.compute(predictions=answers, references=self.references(rows))
        return {self.primary_metric: figures[self.primary_metric]} | figures

    def shown(self, row: Row, answer: Any) -> str:
        """An answer about a row for people."""
        return answer if isinstance(answer, str) else ", ".join(answer)


def input_columns(encoding: Mapping[str, Any]) -> dict[str, list]:
    """The columns of a tokenizer's result that a model reads, and the lengths."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    columns = {name: [np.array(one, dtype=np.int32) for one in encoding[name]] for name in names if name in encoding}
    return columns | {"length": [len(ids) for ids in encoding["input_ids"]]}
