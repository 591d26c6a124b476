"""MuSeRC as a task: whether an answer to a question about a passage is right, each answer by itself."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from sklearn.metrics import f1_score, roc_auc_score
from transformers import PreTrainedTokenizerBase

from finetuning.metrics import TEXT, Metric
from finetuning.tasks.base import Part, Row
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.text_pairs import question_limit, shortened

ROC_AUC = "roc_auc"


class JudgementScores(Metric):
    """F1 of the right answers over all of them, and the share of questions of which every answer is judged rightly.

    Predictions and labels are "0" and "1"; `question` says which question an answer belongs to.
    """

    FEATURES = {"predictions": TEXT, "references": {"question": TEXT, "label": TEXT}}
    names = ("f1a", "exact_match")

    def _compute(self, predictions: Sequence[str], references: Iterable[Mapping[str, str]]) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        labels, predicted = [reference["label"] for _, reference in pairs], [prediction for prediction, _ in pairs]
        wrong = {reference["question"] for prediction, reference in pairs if prediction != reference["label"]}
        questions = {reference["question"] for _, reference in pairs}
        f1 = f1_score(labels, predicted, labels=["1"], average="micro", zero_division=0)
        return {"f1a": float(f1), "exact_match": (len(questions) - len(wrong)) / len(questions)}


@dataclass(frozen=True, kw_only=True)
class AnswerToQuestion(TextClassification):
    """A row is an answer, as several may be right.

    ROC AUC of the answers chooses the checkpoint. Both official figures are 0 for the answer "no" to all, since every
    question has a right answer, and F1a is 0.6 for the answer "yes" to all: neither shows that a model begins to
    learn. ROC AUC is 0.5 for both, and does not depend on where the line between them is.
    """

    texts_are_examples: ClassVar[bool] = False

    def texts(self, row: Row) -> tuple[str]:
        """The passage: many questions share it."""
        return (row["text_2"],)

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Part:
        """An input a row: question and answer, then the passage. Of a long question the end goes, never the answer."""
        limit = question_limit(max_length)
        answers, _ = shortened([row["answer"] for row in rows], tokenizer, 4 * limit // 5)
        left = [limit - len(ids) for ids in tokenizer(answers, add_special_tokens=False)["input_ids"]]
        questions, _ = shortened([row["text"] for row in rows], tokenizer, left)
        trios = zip(rows, questions, answers, strict=True)
        joined = [row | {"text": f"{question} {answer}"} for row, question, answer in trios]
        return replace(super().encode(joined, tokenizer, max_length), rows=rows)

    def references(self, rows: Sequence[Row]) -> list[dict[str, str]]:
        """The label of each answer, and its question."""
        return [{"question": "-".join(map(str, row["idx"][:2])), "label": row["label"]} for row in rows]

    def score(self, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        """The official figures, and ROC AUC, which is 0.5 where all answers have one label."""
        right = [row["label"] == "1" for row in rows]
        chances = [prediction["scores"]["1"] for prediction in predictions]
        auc = float(roc_auc_score(right, chances)) if len(set(right)) > 1 else 0.5
        return super().score(rows, predictions) | {ROC_AUC: auc}
