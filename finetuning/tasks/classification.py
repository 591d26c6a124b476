"""Classification of a text or a pair of texts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from finetuning.deployed.model import softmax
from finetuning.tasks.base import Part, Row, Task, input_columns
from finetuning.tasks.losses import IGNORED
from finetuning.tasks.text_pairs import tokenize_pairs


@dataclass(frozen=True, kw_only=True)
class TextClassification(Task):
    """Rows have `id`, `text`, perhaps `text_2`, and `label`: one of the task's, or None if it is not known."""

    truncate_second_only: bool = False  # whether `text` is a question about `text_2`
    texts_at_once: int | None = None  # one or two

    model_class: ClassVar[type] = AutoModelForSequenceClassification
    pipeline_tag: ClassVar[str] = "text-classification"
    texts_are_examples: ClassVar[bool] = True

    def texts(self, row: Row) -> tuple[str, ...]:
        """The text or both of them."""
        return tuple(row[name] for name in ("text", "text_2") if name in row)

    def adapted(self, parts: Mapping[str, Sequence[Row]]) -> "TextClassification":
        """With the labels that the rows have, numbers by size, where it has none of its own."""
        task = replace(self, texts_at_once=2 if "text_2" in parts["train"][0] else 1)
        if self.labels:
            return task
        found = {label for part in parts.values() for label in self.labels_of(part)}
        labels = tuple(sorted(found, key=lambda label: (label.isdecimal() and len(label), label)))
        return replace(task, labels=labels, metric=type(self.metric)(labels, *self.metric.names))

    @property
    def config(self) -> dict[str, Any]:
        """How many texts it reads, so that a pair without its second is refused; None hides an earlier task's."""
        return {"texts_at_once": self.texts_at_once, "thresholds": None}

    def labels_of(self, rows: Sequence[Row]) -> list[str]:
        """The labels of the rows that have one."""
        return [row["label"] for row in rows if row["label"] is not None]

    def targets(self, rows: Sequence[Row]) -> list:
        """The number of each row's label."""
        index = {label: number for number, label in enumerate(self.labels)} | {None: IGNORED}
        return [index[row["label"]] for row in rows]

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """One input a row."""
        texts = [row["text"] for row in rows]
        if "text_2" in rows[0]:
            others = [row["text_2"] for row in rows]
            encoding, truncated = tokenize_pairs(tokenizer, texts, others, max_length, self.truncate_second_only)
        else:
            encoding = tokenizer(texts, truncation=True, max_length=max_length)
            truncated = sum(bool(one.overflowing) for one in encoding.encodings)
        columns = input_columns(encoding) | {"labels": self.targets(rows)}
        return Part(rows, Dataset.from_dict(columns), truncated)

    def decode(self, part: Part, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The likeliest label, its probability as `score`, and the probability of each label in `scores`."""
        predictions = []
        for row, probabilities in zip(part.rows, softmax(np.stack(logits)).tolist(), strict=True):
            scores = dict(zip(self.labels, probabilities, strict=True))
            best = max(scores, key=scores.get)
            predictions.append({"id": row["id"], "prediction": best, "score": scores[best], "scores": scores})
        return predictions

    def references(self, rows: Sequence[Row]) -> list[str]:
        """The labels."""
        return [row["label"] for row in rows]
