"""Classification of a text or a pair of texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase

from finetuning.tasks.base import Encoded, Row, Task, input_columns, softmax
from finetuning.tasks.losses import IGNORED
from finetuning.tasks.text_pairs import tokenize_pairs


@dataclass(frozen=True, kw_only=True)
class TextClassification(Task):
    """Rows have `id`, `text`, perhaps `text_2`, and `label`: one of the task's, or None where it is not known."""

    truncate_second_only: bool = False  # whether `text` is a question about `text_2`

    model_class: ClassVar[type] = AutoModelForSequenceClassification
    pipeline_tag: ClassVar[str] = "text-classification"
    texts_are_examples: ClassVar[bool] = True

    def texts(self, row: Row) -> tuple[str, ...]:
        """The text or both of them."""
        return (row["text"], row["text_2"]) if "text_2" in row else (row["text"],)

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """An input a row."""
        texts = [row["text"] for row in rows]
        if "text_2" in rows[0]:
            others = [row["text_2"] for row in rows]
            encoding, truncated = tokenize_pairs(tokenizer, texts, others, max_length, self.truncate_second_only)
        else:
            encoding = tokenizer(texts, truncation=True, max_length=max_length)
            truncated = sum(bool(one.overflowing) for one in encoding.encodings)
        columns = input_columns(encoding) | {"labels": [self.index(row["label"]) for row in rows]}
        return Encoded(Dataset.from_dict(columns), list(range(len(rows))), truncated)

    def index(self, label: str | None) -> int:
        """The number of a label; where it is not known, one that does not count."""
        return IGNORED if label is None else self.labels.index(label)

    def decode(self, rows: Sequence[Row], encoded: Encoded, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The likeliest label, its probability as `score`, and the probability of each."""
        predictions = []
        for row, probabilities in zip(rows, softmax(np.stack(logits)), strict=True):
            best = int(probabilities.argmax())
            named = dict(zip(self.labels, probabilities.tolist(), strict=True))
            score = float(probabilities[best])
            predictions.append({"id": row["id"], "prediction": self.labels[best], "score": score, "scores": named})
        return predictions

    def references(self, rows: Sequence[Row]) -> list[str]:
        """The labels."""
        return [row["label"] for row in rows]
