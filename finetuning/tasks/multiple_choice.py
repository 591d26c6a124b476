"""Multiple choice: which of several texts goes with another."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForMultipleChoice, PreTrainedTokenizerBase

from finetuning.deployed.model import softmax
from finetuning.tasks.base import Collator, Part, Row, Task, input_columns
from finetuning.tasks.losses import IGNORED, NEVER
from finetuning.tasks.text_pairs import tokenize_pairs


class ChoiceCollator(Collator):
    """Each input is a list of texts, the choices.

    A choice that an input lacks is one padding token with attention: attention to nothing is NaN.
    """

    def read(self, inputs: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        """The tensors that the model reads: (batch, choices, length)."""
        absent = {"input_ids": [self.tokenizer.pad_token_id], "attention_mask": [1], "token_type_ids": [0]}
        most = max(len(one["input_ids"]) for one in inputs)
        choices = []
        for one in inputs:
            own = [{name: one[name][n] for name in absent.keys() & one.keys()} for n in range(len(one["input_ids"]))]
            choices += own + [absent] * (most - len(own))
        return {name: tensor.view(len(inputs), most, -1) for name, tensor in super().read(choices).items()}


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task):
    """Rows have `id`, `text`, `choices`, and `label`, the number of the right one, None if it is not known.

    A model reads each choice together with the text and gives it one score. The softmax is over the choices of a row,
    so that rows may have different numbers of choices.
    """

    pairs: Callable[[Row], list[tuple[str, str]]]  # for each choice the two texts that the model reads
    answer: Callable[[Row, int], Any]  # a choice by its number as the metric wants it
    right: Callable[[Row], Any]  # the right answer as the metric wants it

    truncate_second_only: bool = False  # whether the first text of a pair is a question about the second

    model_class: ClassVar[type] = AutoModelForMultipleChoice
    pipeline_tag: ClassVar[str] = "multiple-choice"
    collator: ClassVar[type[Collator]] = ChoiceCollator

    def texts(self, row: Row) -> tuple[str]:
        """The text: several queries share one."""
        return (row["text"],)

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """One input a row, a list of its choices."""
        columns: dict[str, list] = defaultdict(list)
        truncated = 0
        for row in rows:
            first, second = zip(*self.pairs(row), strict=True)
            encoding, cut = tokenize_pairs(tokenizer, first, second, max_length, self.truncate_second_only)
            for name, choices in input_columns(encoding).items():
                columns[name].append(max(choices) if name == "length" else choices)
            truncated += cut > 0
        columns["labels"] = [IGNORED if row["label"] is None else row["label"] for row in rows]
        columns["size"] = [len(row["choices"]) for row in rows]
        return Part(rows, Dataset.from_dict(columns), truncated)

    def scores(self, logits: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(batch, choices); a choice that a row lacks gets no probability."""
        # The collator adds choices of one token; a real one has its special tokens at least.
        return logits if attention_mask is None else logits.masked_fill(attention_mask.sum(-1) < 2, NEVER)

    def decode(self, part: Part, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The best choice, its probability as `score`, and the probability of each choice in `scores`."""
        predictions = []
        for row, one in zip(part.rows, logits, strict=True):
            shares = softmax(one).tolist()
            best = int(np.argmax(shares))
            answer = {"id": row["id"], "prediction": self.answer(row, best)}
            predictions.append(answer | {"score": shares[best], "scores": shares})
        return predictions

    def references(self, rows: Sequence[Row]) -> list:
        """The right answers."""
        return [self.right(row) for row in rows]
