"""Multiple choice: which of several texts goes with another."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForMultipleChoice, PreTrainedTokenizerBase

from finetuning.tasks.base import Encoded, Row, Task, input_columns, softmax
from finetuning.tasks.collator import ChoiceCollator, Collator
from finetuning.tasks.losses import IGNORED, NEVER
from finetuning.tasks.text_pairs import tokenize_pairs


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task):
    """Rows have `id`, `text`, `choices`, and `label`, the number of the right one, None where it is not known.

    A model reads each choice together with the text and gives it one score; the scores of a row compete, so that rows
    may have different numbers of choices.
    """

    pairs: Callable[[Row], list[tuple[str, str]]]  # for each choice the two texts that the model reads
    answer: Callable[[Row, int], Any]  # a choice by its number as the metric wants it
    right: Callable[[Row], Any]  # the right answer as the metric wants it

    truncate_second_only: bool = False  # whether the first text of a pair is a question about the second

    model_class: ClassVar[type] = AutoModelForMultipleChoice
    pipeline_tag: ClassVar[str] = "multiple-choice"
    collator: ClassVar[type[Collator]] = ChoiceCollator
    padded: ClassVar[tuple[str, ...]] = ("teacher_logits",)

    def texts(self, row: Row) -> tuple[str]:
        """The text: several queries share one."""
        return (row["text"],)

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """An input a row, a list of its choices."""
        columns: dict[str, list] = {}
        cut = 0
        for row in rows:
            first, second = zip(*self.pairs(row), strict=True)
            encoding, shown_in_part = tokenize_pairs(tokenizer, first, second, max_length, self.truncate_second_only)
            for name, choices in input_columns(encoding).items():
                columns.setdefault(name, []).append(max(choices) if name == "length" else choices)
            cut += shown_in_part > 0
        columns["labels"] = [IGNORED if row["label"] is None else row["label"] for row in rows]
        columns["size"] = [len(row["choices"]) for row in rows]
        return Encoded(Dataset.from_dict(columns), list(range(len(rows))), cut)

    def scores(self, logits: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(batch, choices); a choice that a row does not have is none of them."""
        # The collator fills up with choices of one token; a real one has its special tokens at least.
        return logits if attention_mask is None else logits.masked_fill(attention_mask.sum(-1) < 2, NEVER)

    def decode(self, rows: Sequence[Row], encoded: Encoded, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The best choice, its probability as `score`, and that of each."""
        predictions = []
        for row, one in zip(rows, logits, strict=True):
            shares = softmax(one)
            best = int(shares.argmax())
            chosen = {"prediction": self.answer(row, best), "score": float(shares[best])}
            predictions.append({"id": row["id"]} | chosen | {"scores": shares.tolist()})
        return predictions

    def references(self, rows: Sequence[Row]) -> list:
        """The right answers."""
        return [self.right(row) for row in rows]
