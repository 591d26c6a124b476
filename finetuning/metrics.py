"""The benchmarks' metrics, as `evaluate` has them but without a download."""

import collections
import functools
import re
from collections.abc import Callable, Sequence
from string import punctuation

import datasets
import evaluate
import numpy as np
from seqeval.metrics.sequence_labeling import precision_recall_fscore_support as entity_scores
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef
from sklearn.preprocessing import MultiLabelBinarizer

TEXT, TEXTS = datasets.Value("string"), datasets.Sequence(datasets.Value("string"))
FIGURES = ("precision", "recall", "f1")  # of entities


class Metric(evaluate.Metric):
    """A metric that stores predictions in memory. A subclass has FEATURES of one prediction and reference."""

    FEATURES: dict
    names: tuple[str, ...]  # of the figures, the benchmark's own order

    def __init__(self):
        super().__init__(keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(self.__doc__, citation="", features=datasets.Features(self.FEATURES))


_f1 = functools.partial(f1_score, zero_division=0)
# Figures of labels: a function of all labels, the right ones, and the predicted ones.
LABEL_FIGURES: dict[str, Callable[..., float]] = {
    "accuracy": lambda labels, *answers: accuracy_score(*answers),
    # Of the last label. "binary" would refuse other labels among those predicted; "micro" over one label is the same.
    "f1": lambda labels, *answers: _f1(*answers, labels=labels[-1:], average="micro"),
    "f1_micro": lambda labels, *answers: _f1(*answers, labels=labels, average="micro"),
    # Of labels that are neither right nor predicted nothing is known: 0 for each would keep perfect answers from 1.
    "f1_macro": lambda labels, *answers: np.nan_to_num(
        f1_score(*answers, labels=labels, average="macro", zero_division=np.nan)
    ),
    "f1_weighted": lambda labels, *answers: _f1(*answers, labels=labels, average="weighted"),
    # From -1 to 1; 0 if all predictions, or all labels, are one.
    "matthews_correlation": lambda labels, *answers: matthews_corrcoef(*answers),
}


class LabelScores(Metric):
    """Those of `LABEL_FIGURES` with these names."""

    FEATURES = {"predictions": TEXT, "references": TEXT}

    def __init__(self, labels: Sequence[str], *names: str):
        super().__init__()
        self.labels, self.names = list(labels), names

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        predicted, right = list(predictions), list(references)
        return {name: float(LABEL_FIGURES[name](self.labels, right, predicted)) for name in self.names}


class LabelSetScores(LabelScores):
    """The same of texts with several labels: F1 of their labels; an answer is accurate if all of it is."""

    FEATURES = {"predictions": TEXTS, "references": TEXTS}

    def _compute(self, predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, float]:
        sets = MultiLabelBinarizer(classes=self.labels)
        predicted, right = sets.fit_transform(predictions), sets.fit_transform(references)
        columns = range(len(self.labels))
        return {name: float(LABEL_FIGURES[name](columns, right, predicted)) for name in self.names}


class EntityScores(Metric):
    """Precision, recall, and F1 of entities: right if type and both ends are. Over all, and per type.

    The conventions are those of the CoNLL-2003 script, by seqeval: an `I-` without its `B-` starts an entity.
    """

    FEATURES = {"predictions": TEXTS, "references": TEXTS}

    def __init__(self, types: Sequence[str]):
        super().__init__()
        self.types = types
        self.names = (*FIGURES, *(f"{kind}_{name}" for kind in types for name in FIGURES))

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        present = sorted({tag[2:] for tags in [*references, *predictions] for tag in tags if tag != "O"})
        overall = entity_scores(references, predictions, average="micro", zero_division=0)[:3]
        of_types = np.array(entity_scores(references, predictions, average=None, zero_division=0)[:3]).T
        values = dict(zip(present, of_types, strict=True))
        figures = [overall, *(values.get(kind, (0.0, 0.0, 0.0)) for kind in self.types)]
        return dict(zip(self.names, map(float, np.concatenate(figures)), strict=True))


class AnswerScores(Metric):
    """Exact match and F1 of the words of an answer, in per cent: SQuAD's script evaluate-v1.1.py. See `best_score`."""

    FEATURES = {"predictions": TEXT, "references": TEXTS}
    names = ("exact_match", "f1")

    def _compute(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> dict[str, float]:
        pairs = list(zip(predictions, references, strict=True))
        scores = {"exact_match": exact_match, "f1": word_f1}
        return {
            name: 100 * float(np.mean([best_score(score, *pair) for pair in pairs])) for name, score in scores.items()
        }


def best_score(score: Callable[[str, str], float], answer: str, right: Sequence[str]) -> float:
    """The best score of an answer over the right ones; where there is none the empty text is right (SQuAD 2.0)."""
    return float(max(score(answer, text) for text in right) if right else not normalised(answer))


def normalised(text: str) -> str:
    """An answer as SQuAD's script compares it: lower case, no ASCII punctuation (« and — stay), no English article,
    single spaces."""
    bare = "".join(character for character in text.lower() if character not in punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def exact_match(answer: str, right: str) -> float:
    """1 if the two answers are the same but for what `normalised` takes away, else 0."""
    return float(normalised(answer) == normalised(right))


def word_f1(answer: str, right: str) -> float:
    """F1 of the bags of words of two answers; 0 where they share none, as where both are empty."""
    words, right_words = normalised(answer).split(), normalised(right).split()
    shared = (collections.Counter(words) & collections.Counter(right_words)).total()
    return 2 * shared / max(len(words) + len(right_words), 1)
