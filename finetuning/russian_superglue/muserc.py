"""MuSeRC as a task: whether an answer to a question about a passage is right, each answer by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sklearn.metrics import roc_auc_score
from transformers import PreTrainedTokenizerBase

from finetuning.russian_superglue import metrics
from finetuning.tasks.base import Part, Row
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.text_pairs import asked_limit, shortened

ROC_AUC = "roc_auc"


@dataclass(frozen=True, kw_only=True)
class AnswerToQuestion(TextClassification):
    """A row is an answer, as several may be right.

    ROC AUC of the answers chooses the checkpoint. Both official figures are 0 for the answer "no" to all, since every
    question has a right answer, and F1a is 0.6 for the answer "yes" to all: neither tells of a model that begins to
    learn. ROC AUC is 0.5 for both, and does not depend on where the line between them is.
    """

    texts_are_examples: ClassVar[bool] = False

    def texts(self, row: Row) -> tuple[str]:
        """The passage: many questions share it."""
        return (row["text_2"],)

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """An input a row: question and answer, then the passage. Of a long question the end goes, never the answer."""
        limit = asked_limit(max_length)
        answers, _ = shortened([row["answer"] for row in rows], tokenizer, 4 * limit // 5)
        left = [limit - len(ids) for ids in tokenizer(answers, add_special_tokens=False)["input_ids"]]
        questions, _ = shortened([row["text"] for row in rows], tokenizer, left)
        trios = zip(rows, questions, answers, strict=True)
        asked = [row | {"text": f"{question} {answer}"} for row, question, answer in trios]
        return replace(super().encode(asked, tokenizer, max_length), rows=rows)

    def references(self, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Labels, and whose question they are of."""
        return metrics.references("muserc", rows)

    def score(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The official figures, and ROC AUC, which is 0.5 where all answers have one label."""
        right = [row["label"] == "1" for row in rows]
        chances = [prediction["scores"]["1"] for prediction in predictions]
        told = len(set(right)) > 1
        return super().score(rows, predictions) | {ROC_AUC: float(roc_auc_score(right, chances)) if told else 0.5}
