"""RuSentiment: posts of a social network in CSV files, each with one of five sentiments."""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from distillation.recipe import RecipeError
from finetuning.readers.source import find, is_on_hub, read_text

LABELS = ("neutral", "positive", "negative", "speech", "skip")
# What each part of the training set is called, and its file.
PARTS = {"random": "rusentiment_random_posts.csv", "preselected": "rusentiment_preselected_posts.csv"}
TEST = "rusentiment_test.csv"
COLUMNS = ("label", "text")


def read(data_dir: str, parts: Sequence[str] = ("random",)) -> dict[str, list[dict]]:
    """The splits "train" and "test", rows of `id`, `text`, and `label`, one of LABELS; there is no validation split.

    parts: the parts that training rows come from, in this order. An id is the part's name and the row's number.

    Raises RecipeError for an unknown part, a missing file, and a file that is damaged, by its line.
    """
    if not parts or len(set(parts)) < len(parts) or not set(parts) <= set(PARTS):
        got = ", ".join(parts) or "none"
        raise RecipeError(f"`parts` must name some of {', '.join(PARTS)}, each once at most; got {got}")
    is_on_hub(data_dir, None, *PARTS.values(), TEST)
    *train, test = find(data_dir, *(PARTS[part] for part in parts), TEST)
    train_rows = [row for part, path in zip(parts, train, strict=True) for row in _rows(path, part)]
    return {"train": train_rows, "test": _rows(test, "test")}


def write(folder: Path, rows: Sequence[dict], predictions: Sequence[str]) -> Path:
    """Write `test_predictions.csv` in the layout of the benchmark's files: predicted label and text of each row."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "test_predictions.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        # By default Python 3.11 would leave a text unquoted whose only line break is a CR, which reads as two rows.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)
        writer.writerow(COLUMNS)
        writer.writerows((label, row["text"]) for row, label in zip(rows, predictions, strict=True))
    return path


def _rows(path: Path, name: str) -> list[dict]:
    records = _records(path)
    line, header = next(records, (1, []))
    missing = [column for column in COLUMNS if column not in header]
    if missing:
        raise RecipeError(f"{path}:{line}: the header has no column `{missing[0]}`; make it {','.join(COLUMNS)}")
    rows = []
    for line, cells in records:
        if len(cells) != len(header):
            raise RecipeError(f"{path}:{line}: {len(cells)} cells and not {len(header)}; quote texts that hold commas")
        cell = dict(zip(header, cells, strict=True))
        if cell["label"] not in LABELS:
            raise RecipeError(f"{path}:{line}: label {cell['label']!r} is none of {', '.join(LABELS)}; mend the row")
        text = cell["text"].strip()
        if not text:
            raise RecipeError(f"{path}:{line}: the text is blank; fill it in or delete the row")
        rows.append({"id": f"{name}-{len(rows)}", "text": text, "label": cell["label"]})
    if not rows:
        raise RecipeError(f"{path}:{line}: no rows below the header; fetch the file again")
    return rows


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The line that each record begins on, and its cells; lines with nothing on them are passed over.

    Raises RecipeError by that line where quotes do not close: a file that was cut would else lose its end unsaid.
    """
    # One text in six holds line breaks: without newline="" they would be translated, and a split by lines would cut.
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            remedy = "mend its quotes or fetch the file again"
            raise RecipeError(f"{path}:{line}: the row that begins here is no CSV ({error}); {remedy}") from None
        if cells is None:
            return
        if cells:
            yield line, cells
