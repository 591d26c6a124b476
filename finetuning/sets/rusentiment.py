"""RuSentiment: posts of a social network in CSV files, each with one of five sentiments."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from distillation.config.command_line import key
from finetuning.formats import table
from finetuning.formats.locate import find, local_folder

if TYPE_CHECKING:
    from finetuning.tasks.classification import TextClassification

LABELS = ("neutral", "positive", "negative", "speech", "skip")
# What each part of the training set is called, and its file.
PARTS = {"random": "rusentiment_random_posts.csv", "preselected": "rusentiment_preselected_posts.csv"}
TEST = "rusentiment_test.csv"
COLUMNS = ("label", "text")


@dataclass
class Options:
    """Which posts to train on."""

    train_parts: list[Literal["random", "preselected"]] = key(["random"], "The posts to train on.")


def task(options: Options) -> "TextClassification":
    """RuSentiment. Its own metric is F1 over the five classes, weighted by their size."""
    from finetuning.metrics import LabelScores
    from finetuning.tasks.classification import TextClassification

    return TextClassification(
        name="rusentiment",
        labels=LABELS,
        read=functools.partial(read, parts=tuple(options.train_parts)),
        write=write,
        metric=LabelScores(LABELS, "accuracy", "f1_weighted", "f1_macro"),
        primary_metric="f1_weighted",
    )


def read(data_dir: str, parts: Sequence[str] = ("random",)) -> dict[str, list[dict]]:
    """The splits "train" and "test", rows of `id`, `text`, and `label`, one of LABELS; there is no validation split.

    parts: the parts that training rows come from, in this order. An id is the part's name and the row's number.
    Raises UserError for a missing file, and a file that is damaged, by its line.
    """
    folder = local_folder(data_dir, "rusentiment", None, *PARTS.values(), TEST)
    paths = find(folder, {part: PARTS[part] for part in parts} | {"test": TEST})
    rows = {
        part: [
            {"id": f"{part}-{number}", "text": cells["text"].strip(), "label": cells["label"]}
            for number, cells in enumerate(table.records(path, COLUMNS, label=LABELS))
        ]
        for part, path in paths.items()
    }
    return {"train": [row for part in parts for row in rows[part]], "test": rows["test"]}


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.csv` in the layout of the benchmark's files: predicted label and text of each row."""
    answers = [(label, row["text"]) for row, label in zip(rows, predictions, strict=True)]
    return table.write(folder / "test_predictions.csv", COLUMNS, answers)
