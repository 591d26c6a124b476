"""Extractive question answering: the answer is a span of the context."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForQuestionAnswering, PreTrainedTokenizerBase
from transformers.utils import ModelOutput

from finetuning.deployed.model import Window, answer, best_spans, rank
from finetuning.tasks.base import Part, Row, Task
from finetuning.tasks.losses import NEVER
from finetuning.tasks.text_pairs import SPECIAL_TOKENS, shortened
from finetuning.tasks.windows import read_windows

NOWHERE = 0  # the token that stands for "not in this window": [CLS]


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering(Task):
    """Rows have `id`, `question`, `context`, and `answers`: `text` and `start` of each, none if there is no answer.

    Overlapping windows show a long context. The answer of a window that lacks a part of it is the token NOWHERE.
    """

    may_have_no_answer: bool = False  # whether a question may have no answer

    model_class: ClassVar[type] = AutoModelForQuestionAnswering
    pipeline_tag: ClassVar[str] = "question-answering"
    needs_one_tokenizer: ClassVar[str] = "the ends of an answer are tokens, and two tokenizers have different ones"

    def texts(self, row: Row) -> tuple[str]:
        """The context: several questions share one."""
        return (row["context"],)

    def adapted(self, parts: Mapping[str, Sequence[Row]]) -> "QuestionAnswering":
        """A model may give no answer if it was trained on questions without one."""
        return replace(self, may_have_no_answer=any(not row["answers"] for row in parts["train"]))

    @property
    def config(self) -> dict[str, Any]:
        """Whether a question may have no answer, which predictions have to know."""
        return {"may_have_no_answer": self.may_have_no_answer}

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """One input a window; `places` has the `Window`s of each row. A question takes at most half of an input."""
        questions, cut = shortened([row["question"] for row in rows], tokenizer, max_length // 2 - SPECIAL_TOKENS)
        columns, places = read_windows(tokenizer, [row["context"] for row in rows], max_length, questions)
        labels = [
            answer_ends(row, window, window is windows[0], window is windows[-1])
            for row, windows in zip(rows, places, strict=True)
            for window in windows
        ]
        return Part(rows, Dataset.from_dict(columns | {"labels": labels, "size": columns["length"]}), cut, places)

    def logits(self, outputs: ModelOutput) -> Tensor:
        """(batch, length, 2): of each token as the first and as the last of the answer."""
        return torch.stack([outputs.start_logits, outputs.end_logits], -1)

    def scores(self, logits: Tensor, attention_mask: Tensor | None) -> Tensor:
        """(batch, 2, length): the tokens are the classes; padding gets no probability."""
        scores = logits.transpose(1, 2).float()
        return scores if attention_mask is None else scores.masked_fill(attention_mask[:, None] == 0, NEVER)

    def decode(self, part: Part, logits: Sequence[np.ndarray]) -> list[dict[str, Any]]:
        """The best span of all windows of a question; `score` is its share of the N_BEST in `n_best`."""
        predictions = []
        for row, windows in zip(part.rows, part.places, strict=True):
            n_best = rank(row["context"], best_spans(windows, logits, self.may_have_no_answer))
            best = n_best[0] if n_best else answer("", 0, 0, 0.0)
            predictions.append({"id": row["id"], "prediction": best["text"], "score": best["score"], "n_best": n_best})
        return predictions

    def references(self, rows: Sequence[Row]) -> list[list[str]]:
        """The texts of the right answers."""
        return [[answer["text"] for answer in row["answers"]] for row in rows]

    def confusions(self, reference: list[str], prediction: str) -> list:
        """None: there are no labels."""
        return []


def answer_ends(row: Row, window: Window, first: bool, last: bool) -> tuple[int, int]:
    """The first and last token of the first right answer; NOWHERE twice if the window lacks a part of it.
    first, last: whether the window is the first or last of its context."""
    read = np.flatnonzero(window.offsets[:, 0] < window.offsets[:, 1])
    if row["answers"] and len(read):
        start = row["answers"][0]["start"]
        end = start + len(row["answers"][0]["text"])
        starts, ends = window.offsets[read].T
        complete = (first or starts[0] <= start) and (last or end <= ends[-1])
        inside = read[(starts < end) & (ends > start)]
        if complete and len(inside):
            return int(inside[0]), int(inside[-1])
    return NOWHERE, NOWHERE
