"""One's own texts, or pairs of texts, with any labels, in a table."""

import ast
import functools
import itertools
import logging
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillation.config.command_line import key
from distillation.config.errors import UserError
from finetuning.deployed.model import INVISIBLE
from finetuning.formats import table
from finetuning.formats.locate import OWN_PARTS, OwnFiles, Source, from_hub
from finetuning.formats.values import without_halves

if TYPE_CHECKING:
    from finetuning.tasks.classification import TextClassification

METRICS = ("accuracy", "f1_weighted", "f1_macro", "matthews_correlation")
SET_METRICS = ("accuracy", "f1_weighted", "f1_macro", "f1_micro")  # of several labels a text
COLUMNS = {"text": "text_column", "text_2": "text_pair_column", "label": "label_column"}  # keys, by names in a row
FEW = 10  # examples of a label of which little can be learned, or measured
SEPARATORS = "|;,/"  # of labels that are joined, mostly
MANY = 20  # labels: the column is another if they are more, and more than half of the rows

logger = logging.getLogger(__name__)


@dataclass
class Options:
    """What the columns hold, which labels there are, and the metric."""

    text_column: str = key("text", "Column of the text.")
    text_pair_column: str | None = key(None, "Column of the second text, where a pair is classified.")
    label_column: str = key("label", "Column of the label.")
    labels: list[str] = key([], "All labels, in the order that the model has them; those of train unless given.")
    label_separator: str | None = key(None, "Text between two labels. With it a text may have several, or none.")
    metric: Literal["f1_macro", "f1_weighted", "accuracy", "matthews_correlation", "f1_micro"] = key(
        "f1_macro", "The metric that chooses the checkpoint. `f1_micro` needs `label_separator`."
    )

    def __post_init__(self):
        if self.metric not in self.metrics:
            raise UserError(f"`metric` is {self.metric!r}; choose one of {', '.join(self.metrics)}")
        if self.label_separator == "":
            raise UserError("`label_separator` is empty; give what stands between two labels, such as a comma")
        if len(set(self.labels)) < len(self.labels) or len(self.labels) == 1:
            raise UserError(f"`labels` are two different ones at least, got {', '.join(self.labels)}")
        if len(set(self.columns.values())) < len(self.columns):
            raise UserError(f"texts and labels are in columns of their own, got {', '.join(self.columns.values())}")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of all figures."""
        return METRICS if self.label_separator is None else SET_METRICS

    @property
    def columns(self) -> dict[str, str]:
        """The columns by what a row calls them: the texts, and the label."""
        return {name: column for name, key in COLUMNS.items() if (column := getattr(self, key))}

    @property
    def keys(self) -> dict[str, str]:
        """The columns, each with the key that names it."""
        return {column: COLUMNS[name] for name, column in self.columns.items()}


def task(options: Options) -> "TextClassification":
    """Classification by one's own labels, which `adapted` finds unless they are given."""
    from finetuning.metrics import LabelScores, LabelSetScores
    from finetuning.tasks.classification import TextClassification
    from finetuning.tasks.multi_label import MultiLabel

    labels, several = tuple(options.labels), options.label_separator is not None
    return (MultiLabel if several else TextClassification)(
        name="classification",
        labels=labels,
        read=functools.partial(read, options=options),
        write=functools.partial(write, options=options),
        metric=(LabelSetScores if several else LabelScores)(labels, *options.metrics),
        primary_metric=options.metric,
    )


def check(source: OwnFiles, options: Options) -> None:
    """Read the head and the first row of each file. It takes a second; the libraries of training take longer."""
    for path in filter(None, source):
        next(table.rows(Path(path), options.keys))


def read(source: Source, options: Options) -> dict[str, list[dict]]:
    """The rows of each part: `id`, the number of the row in its file, from 1; `text`, perhaps `text_2`; `label`, a
    tuple of several.

    Rows without a text, or without a label, are left out, and the log says how many.
    Raises UserError for a table that cannot be read or lacks a column, for less than two labels, and for labels that
    train lacks, by their rows.
    """
    if isinstance(source, str):
        raws = from_hub(source, OWN_PARTS, optional=("validation", "test"))
    else:
        paths = {part: Path(path) for part, path in source._asdict().items() if path}
        raws = {part: (str(path), table.rows(path, options.keys)) for part, path in paths.items()}
    known, found = set(options.labels), {}
    for part, (name, cells) in raws.items():
        cells = list(cells)
        if cells and isinstance(source, str):
            table.check_columns(options.keys, cells[0][1], name)
        found[part] = rows(name, cells, options)
        if part == "train":
            counts = counted(found[part], name, options)
            if not any(len(labels_of(row)) > 1 for row in found[part]):
                check_separator(counts, name, options.label_separator)
            known = known or set(counts)
        if unknown := [row for row in found[part] if not known.issuperset(labels_of(row))]:
            first = "; ".join(f"{row['place']}: {row['label']!r}" for row in unknown[:3])
            where = "`labels`" if options.labels else "train"
            remedy = "add them to `labels`, or delete these rows" if options.labels else "mend or delete them"
            raise UserError(f"{len(unknown)} rows have labels that {where} lacks ({first}): {remedy}")
    return found


def rows(name: str, raws: Iterable[tuple[str, Mapping[str, Any]]], options: Options) -> list[dict]:
    """The rows of a part. name: what messages call it; raws: the cells of each row, with their place."""
    found, lacking = [], Counter()
    for number, (place, cells) in enumerate(raws, start=1):
        row = {key: cell_text(place, cells, column) for key, column in list(options.columns.items())[:-1]}
        row["label"] = label_of(place, cells, options)
        if blank := [key for key, cell in row.items() if cell == ""]:
            lacking["label" if blank == ["label"] else "text"] += 1
        else:
            found.append({"id": str(number), "place": place} | row)
    for what, count in lacking.items():
        logger.warning("%s: %d rows without a %s are left out", name, count, what)
    if negatives := sum(not row["label"] for row in found):
        logger.warning("%s: %d rows without a label are examples of none", name, negatives)
    return found


def label_of(place: str, cells: Mapping[str, Any], options: Options) -> str | tuple[str, ...]:
    """The label of a row, or its labels: a list needs no separator, be it a value of JSON or the text of a cell."""
    column, separator = options.label_column, options.label_separator
    if separator is None:
        return composed(cell_text(place, cells, column))
    cell = cells.get(column)
    if not isinstance(cell, list):
        text = cell_text(place, cells, column)
        cell = listed(text) or text.split(separator)
    return tuple(sorted({composed(cell_text(place, {column: part}, column)) for part in cell} - {""}))


def listed(text: str) -> list | None:
    """The list that a cell has as JSON or Python writes it, as in `["joy", "anger"]`; None for any other text."""
    if not (text.startswith("[") and text.endswith("]")):
        return None
    try:
        return [*ast.literal_eval(text)] or [""]
    except (ValueError, SyntaxError):
        return None


def labels_of(row: Mapping[str, Any]) -> Sequence[str]:
    """The label of a row, or its labels."""
    return [row["label"]] if isinstance(row["label"], str) else row["label"]


def cell_text(place: str, cells: Mapping[str, Any], column: str) -> str:
    """What a cell says, without the white space around it. Raises UserError for what is no text, by the place."""
    cell = cells.get(column)
    if (text := table.as_text(cell)) is None:
        raise UserError(
            f"{place}: `{column}` is a {type(cell).__name__} and no text"
            + "; lists of labels need `label_separator`" * isinstance(cell, list)
        )
    return without_halves(text.strip())[0]


def composed(label: str) -> str:
    """A label with composed letters, and without invisible characters at its ends: what looks alike is one label."""
    return re.sub(rf"^[{INVISIBLE}\s]+|[{INVISIBLE}\s]+$", "", unicodedata.normalize("NFC", label))


def counted(rows: Sequence[Mapping[str, Any]], name: str, options: Options) -> Counter:
    """How many rows each label has; the log says so. Raises UserError for less than two labels, and for so many that
    the column is another."""
    counts = Counter(label for row in rows for label in labels_of(row))
    if len(counts) < 2:
        raise UserError(f"{name}: two labels at least are to be told apart, and it has {', '.join(counts) or 'none'}")
    if not options.labels and len(counts) > max(MANY, counts.total() / 2):
        raise UserError(
            f"{name}: {len(rows):,} rows have {len(counts):,} different labels in `{options.label_column}`: name the "
            "column of labels by `label_column`"
        )
    shown = ", ".join(f"{label!r} {count:,}" for label, count in counts.most_common(20)) + ", ..." * (len(counts) > 20)
    share = counts.most_common(1)[0][1] / len(rows)
    logger.info("%s: %d labels: %s; the commonest has %.0f %%", name, len(counts), shown, 100 * share)
    folded = Counter(label.casefold() for label in counts)
    if alike := [label for label in counts if folded[label.casefold()] > 1]:
        logger.warning("%s: labels that differ in case alone are different ones: %s", name, ", ".join(alike[:20]))
    if few := [repr(label) for label, count in counts.items() if count < FEW]:
        logger.warning("%s: little can be learned of less than %d examples: %s", name, FEW, ", ".join(few[:20]))
    return counts


def check_separator(labels: Collection[str], name: str, separator: str | None) -> None:
    """Warn of a label that looks like several labels joined: with one label a row it becomes a class of its own. Raise
    UserError if another `separator` was given; warn of one that parts nothing."""
    for label, other in itertools.product(labels, SEPARATORS):
        parts = [part.strip() for part in label.split(other)]
        if len(parts) > 1 and all(part in labels for part in parts):
            text = f"{name}: {label!r} is a label like others, though it joins some of them: "
            if separator is not None:
                raise UserError(f"{text}`label_separator` {separator!r} parts nothing, set it to {other!r}")
            logger.warning("%sfor several labels a text set `label_separator: %r`", text, other)
            return
    if separator is not None:
        logger.warning("%s: no text has two labels: leave `label_separator` out if each is to have one", name)


def write(folder: Path, rows: Sequence[dict], predictions: Sequence, options: Options) -> Path:
    """Write `test_predictions.csv`: the id of each row, its columns, and the predicted label."""
    joined, columns = (options.label_separator or "").join, options.columns
    lines = [
        [cell if isinstance(cell, str) else joined(cell) for cell in (row["id"], *map(row.get, columns), answer)]
        for row, answer in zip(rows, predictions, strict=True)
    ]
    return table.write(folder / "test_predictions.csv", ("id", *columns.values(), "prediction"), lines)
