"""Where rows come from: files in a folder, or a data set on the Hub."""

import gzip
import os.path
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import datasets

from distillation.config.recipe import UserError, one_line

# Where the Hub keeps a converted copy of data sets that used to need a loading script.
CONVERTED = "refs/convert/parquet"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def is_on_hub(data_dir: str, example: str | None, *names: str) -> bool:
    """Whether `data_dir` is a Hub id and no folder.

    example: the benchmark's own Hub id, None if it has none; names: what a folder should hold.

    Raises UserError if it is neither.
    """
    if os.path.isdir(data_dir):
        return False
    # `data/collection` may be either: where there is a folder `data`, it was meant.
    if example and HUB_ID.fullmatch(data_dir) and not os.path.isdir(os.path.dirname(data_dir)):
        return True
    hub = f", nor a data set on the Hub such as {example}" if example else ""
    raise UserError(f"`data_dir` {data_dir!r} is no folder (of {', '.join(names)}){hub}")


def load_from_hub(
    name: str, columns: Sequence[str], splits: Sequence[str] = (), config: str | None = None
) -> dict[str, datasets.Dataset]:
    """The named splits of a data set on the Hub, or every split if none is named.

    config: which of several sets under one name.

    Raises UserError if it cannot be had, or lacks one of the splits or one of their columns.
    """
    which = (name, config) if config else (name,)
    try:
        try:
            loaded = datasets.load_dataset(*which)
        except RuntimeError:  # a loading script, which `datasets` does not run
            loaded = datasets.load_dataset(*which, revision=CONVERTED)
    except Exception as error:  # the libraries below raise errors of many kinds
        raise UserError(
            f"`data_dir` {name!r} is no folder and cannot be loaded from the Hub: {one_line(error)}"
        ) from None
    absent = [split for split in splits if split not in loaded]
    if absent:
        raise UserError(f"`data_dir` {name!r} has no split {absent[0]!r}: {sorted(loaded)}")
    wanted = {split: loaded[split] for split in splits or loaded}
    for split, rows in wanted.items():
        missing = sorted(set(columns) - set(rows.column_names))
        if missing:
            raise UserError(f"`data_dir` {name!r}: split {split} has no column {missing[0]!r}: {rows.column_names}")
    return wanted


def find(folder: str | Path, *names: str) -> list[Path]:
    """The files of a folder by name; a name may stand with `.gz`.

    Raises UserError that lists the files looked for if one is missing.
    """
    found = []
    for name in names:
        candidates = [Path(folder, name), Path(folder, f"{name}.gz")]
        path = next((path for path in candidates if path.is_file()), None)
        if path is None:
            raise UserError(f"`data_dir` {str(folder)!r} lacks {name}; looked for {', '.join(names)}, also as .gz")
        found.append(path)
    return found


def find_either(folder: str | Path, *sets: Sequence[str]) -> list[Path]:
    """The files of the first set of names of which a folder holds a part.

    Raises UserError that lists the files looked for if that set is not whole, or no set is there.
    """
    for names in sets:
        if any(Path(folder, name + ending).is_file() for name in names for ending in ("", ".gz")):
            return find(folder, *names)
    looked_for = ", or ".join(" and ".join(names) for names in sets)
    raise UserError(f"`data_dir` {str(folder)!r} lacks the benchmark's files; looked for {looked_for}")


def read_text(path: Path) -> str:
    """A UTF-8 file as it is: line ends are not translated, since offsets may count them.

    Raises UserError with the line of the first byte that is not UTF-8.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:  # the last two: an archive cut short, or torn
        raise UserError(f"{path} cannot be read ({error}); fetch the file again") from None
    try:
        return content.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: not valid UTF-8; convert the file to UTF-8") from None


def line_of(text: str, place: int) -> int:
    """The number of the line, from 1, that holds a character."""
    return text.count("\n", 0, max(place, 0)) + 1
