"""The ten tasks of encodechka: what its files hold, and the figures that the board computes from vectors.

Nothing trains the encoder. A figure is the best over ways of pooling, each as it is and brought to length 1. A word's
vector is the mean of its tokens'.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import razdel
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, SGDClassifier
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.model_selection import KFold, cross_val_predict, train_test_split
from sklearn.neighbors import KNeighborsClassifier

from distillation.config.errors import UserError, one_line
from finetuning.formats import table
from finetuning.formats.locate import find, read_text

SENTENCE_TASKS, WORD_TASKS = ("sts", "pi", "nli", "sa", "ti", "ia", "ic", "icx"), ("ne1", "ne2")
TASKS = SENTENCE_TASKS + WORD_TASKS
SAMPLE = "sentences_sample.txt"  # texts that are timed
# Files of pairs and of single texts: the columns that are read, the last of them the answers, and what these may be.
PAIRS = {
    "sts": ("stsb_dev", ("sentence1", "sentence2", "similarity_score"), {}),
    "pi": ("para_gold", ("text_1", "text_2", "class"), {"class": ("-1", "0", "1")}),
    "nli": ("xnli_ru", ("sentence1", "sentence2", "gold_label"), {}),
}
TEXTS = {
    "sa": ("SentiRuEval2016_small", ("text", "answer"), {}),
    "ti": ("toxic", ("text", "toxic"), {"toxic": ("0", "1")}),
    "ia": ("inappropriate", ("text", "y"), {"y": ("0", "1")}),
    "ic": ("intents", ("text", "answer", "label"), {}),
}
WORDS = {"ne1": "factru", "ne2": "rudrec"}

Columns = Mapping[str, list[str]]
Data = Mapping[str, Any]  # by file, without its ending: columns, texts with their entities, or the lines to time


class Encoder(Protocol):
    """What makes vectors. parameters, mib: its size."""

    parameters: int
    mib: float

    def sentences(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """By way of pooling (texts, width): a vector for each text."""

    def words(self, texts: Sequence[Sequence[str]]) -> np.ndarray:
        """(words, width): a vector for each word of texts that are split into words."""


class Marked(NamedTuple):
    """Texts, and the entities of each: type, first character, the one after the last."""

    texts: list[str]
    entities: list[list[tuple[str, int, int]]]


def read(folder: Path) -> Data:
    """All files. Raises UserError for one that is missing or damaged."""
    split = {f"{name}_{part}": of for name, *of in TEXTS.values() for part in ("train", "test")}
    tables = {name: of for name, *of in PAIRS.values()} | split
    names = {name: f"{name}.csv" for name in tables} | {name: f"{name}.json" for name in WORDS.values()}
    paths = find(folder, names | {SAMPLE: SAMPLE})
    data = {name: _columns(paths[name], *of) for name, of in tables.items()}
    data |= {name: _marked(paths[name]) for name in WORDS.values()}
    data[SAMPLE] = [line.strip() for line in read_text(paths[SAMPLE]).splitlines() if line.strip()]
    if not data[SAMPLE]:
        raise UserError(f"{paths[SAMPLE]} has no text; fetch the file again")
    return data


def _columns(path: Path, columns: Sequence[str], choices: Mapping[str, Sequence[str]]) -> Columns:
    rows = list(table.records(path, columns, **choices))
    return {column: [row[column] for row in rows] for column in columns}


def _marked(path: Path) -> Marked:
    try:
        found = json.loads(read_text(path))
        entities = [[(str(kind), int(start), int(end)) for kind, start, end in of] for of in found["labels"]]
        found = Marked([str(text) for text in found["texts"]], entities)
        if len(found.texts) != len(entities) or any(
            not 0 <= start <= end <= len(text)
            for text, of in zip(found.texts, entities, strict=True)
            for _, start, end in of
        ):
            raise ValueError("an entity lies outside of its text")
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{path} has no `texts` and `labels` ({one_line(error)}); fetch the file again") from None
    return found


def score(task: str, data: Data, encoder: Encoder) -> dict[str, float]:
    """The figure of a task by way of pooling and classifier; the board takes the best. Raises UserError for data from
    which no figure can be computed."""
    try:
        figures = _figures(task, data, encoder)
        if not all(map(math.isfinite, figures.values())):
            raise ValueError("all answers, or all vectors, are the same")
    except ValueError as error:
        reason = one_line(error)
        raise UserError(f"`data_dir`: {task} cannot be scored ({reason}); fetch its files again") from None
    return figures


def _figures(task: str, data: Data, encoder: Encoder) -> dict[str, float]:
    if task in WORDS:
        return entities(data[WORDS[task]], encoder)
    if task in PAIRS:
        name, (first, second, answers), _ = PAIRS[task]
        rows = data[name]
        products = pair_products(rows[first], rows[second], encoder)
        if task == "nli":
            return {way: relation(own, rows[answers]) for way, own in products.items()}
        scores = [float(one) for one in rows[answers]]
        return {way: float(spearmanr(scores, own).correlation) for way, own in products.items()}
    name, columns, _ = TEXTS["ic" if task == "icx" else task]
    train, test, answers = data[f"{name}_train"], data[f"{name}_test"], columns[-1]
    learned = train["answer" if task == "icx" else "text"]  # `answer` is the text in English
    vectors, tested = (both_lengths(encoder.sentences(texts)) for texts in (learned, test["text"]))
    figure = probability if task in ("ti", "ia") else label
    return {
        f"{way}, {how}" if how else way: value
        for way in vectors
        if way in tested
        for how, value in figure(vectors[way], train[answers], tested[way], test[answers]).items()
    }


def both_lengths(vectors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The vectors as they are, and brought to length 1, which changes what a classifier learns of them."""
    lengths = {way: np.linalg.norm(own, axis=1, keepdims=True) for way, own in vectors.items()}
    found = {f"{way} of length 1": own / lengths[way].clip(1e-12) for way, own in vectors.items()}
    return found | {way: own for way, own in vectors.items() if not np.allclose(lengths[way], 1, atol=1e-3)}


def pair_products(first: Sequence[str], second: Sequence[str], encoder: Encoder) -> dict[str, np.ndarray]:
    """By way of pooling (pairs,): the scalar product of each pair, of vectors of length 1 their cosine."""
    one, other = (both_lengths(encoder.sentences(texts)) for texts in (first, second))
    return {way: (one[way] * other[way]).sum(1) for way in one if way in other}


def relation(products: np.ndarray, answers: Sequence[str]) -> float:
    """Accuracy of a logistic regression on the product alone, over three folds."""
    folds, answers = KFold(n_splits=3, shuffle=True, random_state=1), np.array(answers)
    regression = LogisticRegression(max_iter=10_000)
    return float(np.mean(cross_val_predict(regression, products[:, None], answers, cv=folds) == answers))


def label(train: np.ndarray, labels: Sequence[str], test: np.ndarray, answers: Sequence[str]) -> dict[str, float]:
    """Accuracy of a logistic regression, and of the three nearest neighbours weighted by nearness."""
    neighbours = KNeighborsClassifier(n_neighbors=3, weights="distance")
    models = {"regression": LogisticRegression(max_iter=10_000), "neighbours": neighbours}
    answers = np.array(answers)
    return {how: float(np.mean(model.fit(train, labels).predict(test) == answers)) for how, model in models.items()}


def probability(
    train: np.ndarray, labels: Sequence[str], test: np.ndarray, answers: Sequence[str]
) -> dict[str, float]:
    """ROC AUC of a logistic regression."""
    model = LogisticRegression(max_iter=10_000).fit(train, labels)
    return {"": float(roc_auc_score(answers, model.predict_proba(test)[:, 1]))}


def entities(data: Marked, encoder: Encoder) -> dict[str, float]:
    """Macro F1 over the tags of words but `O`: learned from one half of the texts, scored on the other."""
    halves = train_test_split(data.texts, data.entities, test_size=0.5, random_state=1)
    parts = (_tagged(texts, marks, encoder) for texts, marks in zip(halves[:2], halves[2:], strict=True))
    (vectors, tags), (tested, answers) = parts
    found = SGDClassifier(loss="log_loss", random_state=1, tol=1e-4).fit(vectors, tags).predict(tested)
    wanted = sorted({*answers} - {"O"})
    return {"words": float(f1_score(answers, found, average="macro", labels=wanted, zero_division=0))}


def _tagged(texts: Sequence[str], marks: Sequence, encoder: Encoder) -> tuple[np.ndarray, list[str]]:
    split = [words_and_tags(*one) for one in zip(texts, marks, strict=True)]
    return encoder.words([words for words, _ in split]), [tag for _, tags in split for tag in tags]


def words_and_tags(text: str, entities: Sequence[tuple[str, int, int]]) -> tuple[list[str], list[str]]:
    """The words of a text, and a tag in BIO for each. As on the board the first word of a text never has one, and the
    earlier of two entities that share a word keeps it."""
    words = list(razdel.tokenize(text))
    tags = ["O"] * len(words)
    for kind, start, end in entities:
        inside = False
        for number, word in enumerate(words):
            if number and max(word.start, start) < min(word.stop, end) and tags[number] == "O":
                tags[number], inside = f"{'I' if inside else 'B'}-{kind}", True
    return [word.text for word in words], tags
