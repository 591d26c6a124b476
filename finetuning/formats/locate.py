"""Where the rows of a benchmark come from: files in a folder, the demo's files, or a data set on the Hub."""

import logging
import os.path
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from distillation.config.errors import UserError, one_line
from distillation.config.paths import DEMO

logger = logging.getLogger(__name__)

DEMO_FOLDER = Path(__file__).resolve().parents[1] / "demo"  # a folder a benchmark, small, in its native format
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
OPTIONAL = ("validation", "submission")  # the parts that a benchmark may lack


class OwnFiles(NamedTuple):
    """Files of one's own in place of a benchmark's folder, by part."""

    train: str
    validation: str | None = None
    test: str | None = None


Source = str | OwnFiles  # a folder, a Hub id, or the demo; or files of one's own
OWN_PARTS = {part: part for part in OwnFiles._fields}  # on the Hub they have the same names


def local_folder(data_dir: str, benchmark: str, hub: str | None, *names: str) -> Path | None:
    """The folder that `data_dir` means, or None if it is a Hub id. Raises UserError if it is neither.

    benchmark: its name in the demo; hub: its own Hub id, None if it has none; names: what a folder should hold.
    """
    if data_dir == DEMO:
        return DEMO_FOLDER / benchmark
    if os.path.isdir(data_dir):
        return Path(data_dir)
    # `data/collection` may be either: where there is a folder `data`, it was meant.
    if hub and HUB_ID.fullmatch(data_dir) and not os.path.isdir(os.path.dirname(data_dir)):
        return None
    also = f", nor a data set on the Hub such as {hub}" if hub else ""
    raise UserError(f"`data_dir` {data_dir!r} is no folder (of {', '.join(names)}){also}")


def is_demo(source: Source) -> bool:
    """Whether these are the demo's data: scores on them are none of the benchmark."""
    path = source if isinstance(source, str) else source.train
    return path == DEMO or Path(path).resolve().is_relative_to(DEMO_FOLDER)


def from_hub(
    name: str, splits: Mapping[str, str], config: str | None = None, optional: Iterable[str] = OPTIONAL
) -> dict[str, tuple[str, Iterable]]:
    """By part of a data set on the Hub: what messages call it, and the place and the values of each row.
    Raises UserError if the set cannot be loaded or lacks a split.

    splits: by part the split on the Hub; config: which of several sets under one name; optional: parts it may lack.
    """
    import datasets

    which = (name, config) if config else (name,)
    kinds = {path.suffix.lower() for path in Path(name).glob("*")} & {".csv", ".tsv", ".jsonl", ".json", ".parquet"}
    as_text = {"keep_default_na": False} if kinds and kinds <= {".csv", ".tsv"} else {}  # None may be a label
    try:
        try:
            loaded = datasets.load_dataset(*which, **as_text)
        except RuntimeError:  # a loading script, which `datasets` does not run: the Hub keeps a converted copy
            loaded = datasets.load_dataset(*which, revision="refs/convert/parquet")
    except Exception as error:  # the libraries below raise errors of many kinds
        message = f"`data_dir` {name!r} can be read neither as a folder nor from the Hub"
        raise UserError(f"{message}: {one_line(error)}") from None
    parts = {}
    for part, split in splits.items():
        if split in loaded:
            place = f"{name} ({', '.join([*which[1:], split])})"
            parts[part] = place, _numbered(place, loaded[split])
        elif part not in optional:
            raise UserError(f"`data_dir` {name!r} has no split {split}; it has {', '.join(loaded)}")
    return parts


def _numbered(place: str, table: Any) -> Iterable[tuple[str, dict]]:
    """The rows of a `datasets.Dataset` with their places, numbered from 0; labels by their names."""
    kinds = {column: getattr(feature, "feature", feature) for column, feature in table.features.items()}
    names = {column: dict(enumerate(kind.names)) for column, kind in kinds.items() if hasattr(kind, "names")}
    for number, row in enumerate(table):
        for column, known in names.items():
            cell = row[column]
            row[column] = [known.get(one, one) for one in cell] if isinstance(cell, list) else known.get(cell, cell)
        yield f"{place}, row {number}", row


def find(folder: Path, files: Mapping[str, str]) -> dict[str, Path]:
    """The files of a folder by part, plain or as `.gz`. Raises UserError that lists them if one is missing."""
    paths = {}
    for part, name in files.items():
        present = [path for path in (folder / name, folder / f"{name}.gz") if path.is_file()]
        if present:
            paths[part] = present[0]
        elif part == "validation":
            logger.warning("`data_dir` %r has no %s: a tenth of train takes its place", str(folder), name)
        elif part not in OPTIONAL:
            wanted = ", ".join(files.values())
            raise UserError(f"`data_dir` {str(folder)!r} lacks {name}; looked for {wanted}, also as .gz")
    return paths


def read_text(path: Path) -> str:
    """A text file as it is: line ends are not translated, since offsets may count them. It may be packed.
    Raises UserError with the line of the first byte that is not UTF-8.
    """
    from distillation.text.files import unpacked  # the libraries of archives take a while

    try:
        with unpacked(str(path)) as file:
            content = file.read()
    except OSError as error:  # of an archive that is cut short, or torn, too
        raise UserError(f"{path} cannot be read ({one_line(error)}); fetch the file again") from None
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not valid UTF-8; convert the file to UTF-8") from None
