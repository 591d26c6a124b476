"""What a model takes for what on the test part: a table, a picture, and its most confident mistakes."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from distillation.runs.files import markdown_table, write_text
from finetuning.formats import table
from finetuning.tasks.base import NONE, Row, Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 20  # mistakes
MOST = 30  # labels in a picture: those with most mistakes
LONGEST = 30  # characters of a label in it

logger = logging.getLogger(__name__)


def save(folder: Path, task: Task, rows: Sequence[Row], predictions: Sequence[Mapping[str, Any]]) -> None:
    """Write `test_confusion.md`, its picture, and `test_mistakes.csv`. predictions: with their `reference`.
    Nothing for a task without labels, or where no label is right or predicted. Warns of a model that tells no labels
    apart."""
    pairs = Counter(pair for one in predictions for pair in task.confusions(one["reference"], one["prediction"]))
    if not pairs:
        return
    right, predicted = ({pair[of] for pair in pairs} for of in (0, 1))
    if len(predicted) == 1 < len(right):
        logger.warning(
            "the only answer on the test part is %r: train longer, or try other `learning_rates`", *predicted
        )
    present = {label: None for pair in sorted(pairs) for label in pair}
    labels = list(dict.fromkeys([*(label for label in task.labels if label in present), *present]))
    counts = np.array([[pairs[right, guess] for guess in labels] for right in labels])
    write_text(folder / "test_confusion.md", confusion_table(labels, counts) + "\n")
    picture(labels, counts).savefig(folder / "test_confusion.png")
    wrong = [(row, one) for row, one in zip(rows, predictions, strict=True) if one["prediction"] != one["reference"]]
    wrong.sort(key=lambda pair: -pair[1]["score"])
    lines = [
        (
            one["id"],
            *task.texts(row),
            *(task.shown(row, one[key]) for key in ("reference", "prediction")),
            f"{one['score']:.4f}",
        )
        for row, one in wrong[:SHOWN]
    ]
    texts = ["text", "text_2"][: len(task.texts(rows[0]))]
    table.write(folder / "test_mistakes.csv", ("id", *texts, "label", "prediction", "score"), lines)


def confusion_table(labels: Sequence[str], counts: np.ndarray) -> str:
    """Markdown: a row a right label, a column a predicted one, and precision, recall, and F1 of each label.

    counts: (labels, labels), the examples of each right label (row) by the predicted one.
    """
    hits, had, predicted = counts.diagonal(), counts.sum(1), counts.sum(0)
    figures = np.stack([hits / predicted.clip(1), hits / had.clip(1), 2 * hits / (predicted + had).clip(1)], 1)
    lines = [
        [right, *row, *("" if right == NONE else f"{figure:.3f}" for figure in of_label)]
        for right, row, of_label in zip(labels, counts, figures, strict=True)
    ]
    return markdown_table(["right \\ predicted", *labels, "precision", "recall", "F1"], lines)


def picture(labels: Sequence[str], counts: np.ndarray) -> "Figure":
    """The same, coloured by the share of a right label's examples; of many labels those with most mistakes."""
    from matplotlib.figure import Figure  # it takes a second

    errors = counts.sum(0) + counts.sum(1) - 2 * counts.diagonal()
    chosen = np.sort(np.argsort(-errors, kind="stable")[:MOST])
    labels, counts = [labels[one] for one in chosen], counts[np.ix_(chosen, chosen)]
    size = 2.5 + 0.5 * len(labels)
    figure = Figure((size, size), dpi=120, layout="constrained")
    axes = figure.add_subplot(xlabel="predicted", ylabel="right")
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [label if len(label) <= LONGEST else f"{label[:LONGEST]}…" for label in labels]
    axes.set_xticks(range(len(labels)), names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(labels)), names, parse_math=False)
    for (right, predicted), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[right, predicted] > 0.5 else "black"
            axes.text(predicted, right, count, ha="center", va="center", color=colour, fontsize=8)
    return figure
