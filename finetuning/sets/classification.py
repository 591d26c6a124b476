"""One's own texts, or pairs of texts, with any labels, in a table."""

import functools
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from distillation.config.command_line import key
from distillation.config.errors import UserError
from finetuning.formats import table
from finetuning.formats.locate import Source, from_hub

if TYPE_CHECKING:
    from finetuning.tasks.classification import TextClassification

PARTS = ("train", "validation", "test")
METRICS = ("accuracy", "f1_weighted", "f1_macro", "matthews_correlation")
FEW = 10  # examples of a label of which little can be learned, or measured

logger = logging.getLogger(__name__)


@dataclass
class Options:
    """What the columns hold, and what counts."""

    text_column: str = key("text", "Column of the text.")
    text_pair_column: str | None = key(None, "Column of the second text, where a pair is classified.")
    label_column: str = key("label", "Column of the label.")
    labels: list[str] = key([], "All labels, in the order that the model has them; those of train unless given.")
    metric: Literal["f1_macro", "f1_weighted", "accuracy", "matthews_correlation"] = key("f1_macro", "What counts.")

    def __post_init__(self):
        if len(set(self.labels)) < len(self.labels) or len(self.labels) == 1:
            raise UserError(f"`labels` are two different ones at least, got {', '.join(self.labels)}")

    @property
    def columns(self) -> dict[str, str]:
        """The columns by what a row calls them: the texts, and the label."""
        named = {"text": self.text_column, "text_2": self.text_pair_column, "label": self.label_column}
        return {name: column for name, column in named.items() if column}


def task(options: Options) -> "TextClassification":
    """Classification by one's own labels, which `adapted` finds unless they are given."""
    from finetuning.metrics import LabelScores
    from finetuning.tasks.classification import TextClassification

    labels = tuple(options.labels)
    return TextClassification(
        name="classification",
        labels=labels,
        read=functools.partial(read, options=options),
        write=functools.partial(write, columns=options.columns),
        metric=LabelScores(labels, *METRICS),
        primary_metric=options.metric,
    )


def read(source: Source, options: Options) -> dict[str, list[dict]]:
    """The rows of each part: `id`, the number of the row in its file, from 1; `text`, perhaps `text_2`, and `label`.

    Rows without a text, or without a label, are left out, and the log says how many.
    Raises UserError for a table that cannot be read or lacks a column, for less than two labels, and for labels that
    train lacks, by their rows.
    """
    if isinstance(source, str):
        raws = from_hub(source, {part: part for part in PARTS}, optional=PARTS[1:])
    else:
        paths = {part: Path(path) for part, path in zip(PARTS, source, strict=True) if path}
        raws = {part: (str(path), table.rows(path, tuple(options.columns.values()))) for part, path in paths.items()}
    known, found = set(options.labels), {}
    for part, (name, cells) in raws.items():
        found[part] = rows(name, cells, options)
        known = known or set(counted(found[part], name))
        if unknown := [row for row in found[part] if row["label"] not in known]:
            first = "; ".join(f"{row['place']}: {row['label']!r}" for row in unknown[:3])
            where = "`labels`" if options.labels else "train"
            raise UserError(f"{len(unknown)} rows have labels that {where} lacks ({first}): mend or delete them")
    return found


def rows(name: str, raws: Iterable[tuple[str, Mapping[str, Any]]], options: Options) -> list[dict]:
    """The rows of a part. name: what messages call it; raws: the cells of each row, with their place."""
    found, lacking = [], Counter()
    for number, (place, cells) in enumerate(raws, start=1):
        row = {key: cell_text(place, cells, column) for key, column in options.columns.items()}
        if blank := [key for key, cell in row.items() if not cell]:
            lacking["label" if blank == ["label"] else "text"] += 1
        else:
            found.append({"id": str(number), "place": place} | row)
    for what, count in lacking.items():
        logger.warning("%s: %d rows without a %s are left out", name, count, what)
    return found


def cell_text(place: str, cells: Mapping[str, Any], column: str) -> str:
    """What a cell says, without the white space around it; nothing for none, and for NaN. 1.0 is 1, as the numbers of
    a column with gaps are written so. Raises UserError for lists and objects, by the place."""
    cell = cells.get(column)
    if isinstance(cell, list | dict):
        raise UserError(f"{place}: `{column}` is a {type(cell).__name__} and no text")
    if cell is None or cell != cell:
        return ""
    return str(int(cell) if isinstance(cell, float) and cell.is_integer() else cell).strip()


def counted(rows: Sequence[Mapping[str, Any]], name: str) -> Counter:
    """How many rows each label has; the log says so. Raises UserError for less than two labels."""
    counts = Counter(row["label"] for row in rows)
    if len(counts) < 2:
        raise UserError(f"{name}: two labels at least are to be told apart, and it has {', '.join(counts) or 'none'}")
    shown = ", ".join(f"{label} {count:,}" for label, count in counts.most_common(20)) + ", ..." * (len(counts) > 20)
    share = counts.most_common(1)[0][1] / counts.total()
    logger.info("%s: %d labels: %s; the commonest has %.0f %%", name, len(counts), shown, 100 * share)
    if few := [label for label, count in counts.items() if count < FEW]:
        logger.warning("%s: little can be learned of less than %d examples: %s", name, FEW, ", ".join(few[:20]))
    return counts


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str], columns: Mapping[str, str]) -> Path:
    """Write `test_predictions.csv`: the id of each row, its columns, and the predicted label."""
    answers = [(row["id"], *(row[name] for name in columns), one) for row, one in zip(rows, predictions, strict=True)]
    return table.write(folder / "test_predictions.csv", ("id", *columns.values(), "prediction"), answers)
