"""The benchmarks' metrics, as `evaluate` has them but without a download."""

import collections
import re
import string
import unicodedata
from collections.abc import Sequence

import datasets
import evaluate
import numpy as np
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
from sklearn.metrics import accuracy_score, f1_score


class Metric(evaluate.Metric):
    """A metric that keeps what it is given in memory. A subclass has FEATURES of one prediction and reference."""

    FEATURES: dict
    names: tuple[str, ...]  # of the figures, the benchmark's own order

    def __init__(self):
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            inputs_description="",
            features=datasets.Features(self.FEATURES),
        )


class LabelScores(Metric):
    """Accuracy, and F1 averaged as asked: `f1_weighted`, `f1_macro` over all labels, or `f1` of the last label."""

    FEATURES = {"predictions": datasets.Value("string"), "references": datasets.Value("string")}

    def __init__(self, labels: Sequence[str], averages: Sequence[str]):
        """averages: of weighted, macro, binary."""
        super().__init__()
        self.labels, self.averages = list(labels), averages
        self.names = ("accuracy", *("f1" if average == "binary" else f"f1_{average}" for average in averages))

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        scores = {"accuracy": float(accuracy_score(references, predictions))}
        for average in self.averages:
            binary = average == "binary"
            known = self.labels[-1:] if binary else self.labels
            f1 = f1_score(
                references, predictions, labels=known, average="micro" if binary else average, zero_division=0
            )
            scores["f1" if binary else f"f1_{average}"] = float(f1)
        return scores


class EntityScores(Metric):
    """Precision, recall, and F1 of entities: right where type and both ends are. Over all, and per type.

    The conventions are those of the CoNLL-2003 script, by seqeval: an `I-` without its `B-` begins an entity.
    """

    FEATURES = {
        "predictions": datasets.Sequence(datasets.Value("string")),
        "references": datasets.Sequence(datasets.Value("string")),
    }

    def __init__(self, types: Sequence[str]):
        super().__init__()
        self.types = types
        self.names = ("precision", "recall", "f1", *(f"{t}_{n}" for t in types for n in ("precision", "recall", "f1")))

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        overall = entity_scores(references, predictions, average="micro", zero_division=0)
        scores = dict(zip(("precision", "recall", "f1"), overall, strict=False))
        present = sorted({tag[2:] for tags in [*references, *predictions] for tag in tags if tag != "O"})
        per_type = np.array(entity_scores(references, predictions, average=None, zero_division=0)[:3])
        for entity_type in self.types:
            values = per_type[:, present.index(entity_type)] if entity_type in present else (0.0, 0.0, 0.0)
            for name, value in zip(("precision", "recall", "f1"), values, strict=True):
                scores[f"{entity_type}_{name}"] = value
        return {name: float(value) for name, value in scores.items()}


class AnswerScores(Metric):
    """Exact match and F1 of the words of an answer, in per cent, the best over the right answers: SQuAD's script.

    A question without a right answer is answered rightly by the empty text (SQuAD 2.0).
    """

    FEATURES = {
        "predictions": datasets.Value("string"),
        "references": datasets.Sequence(datasets.Value("string")),
    }
    names = ("exact_match", "f1")

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        pairs = [(answer, list(right) or [""]) for answer, right in zip(predictions, references, strict=True)]
        exact = [max(normalised(answer) == normalised(text) for text in right) for answer, right in pairs]
        shared = [max(word_f1(answer, text) for text in right) for answer, right in pairs]
        return {"exact_match": 100 * float(np.mean(exact)), "f1": 100 * float(np.mean(shared))}


PUNCTUATION = frozenset(string.punctuation)


def normalised(text: str) -> str:
    """An answer as SQuAD's script compares it: lower case, no punctuation, no English article, single spaces.

    Punctuation is that of ASCII and all of Unicode's, so that «» and — are too.
    """
    lower = "".join(
        character
        for character in text.lower()
        if character not in PUNCTUATION and not unicodedata.category(character).startswith("P")
    )
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", lower).split())


def word_f1(answer: str, right: str) -> float:
    """F1 of the bags of words of two answers; of two empty ones 1."""
    words, right_words = normalised(answer).split(), normalised(right).split()
    if not words or not right_words:
        return float(words == right_words)
    shared = (collections.Counter(words) & collections.Counter(right_words)).total()
    return 2 * shared / (len(words) + len(right_words))
