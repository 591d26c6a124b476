"""Where the rows of a benchmark come from: files in a folder, the demo's files, or a data set on the Hub."""

import gzip
import os.path
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from distillation.config.command_line import DEMO
from distillation.config.errors import UserError, one_line

DEMO_FOLDER = Path(__file__).resolve().parents[1] / "demo"  # a folder a benchmark, small, in its native format
# Where the Hub keeps a converted copy of data sets that used to need a loading script.
CONVERTED = "refs/convert/parquet"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def local_folder(data_dir: str, benchmark: str, hub: str | None, *names: str) -> Path | None:
    """The folder that `data_dir` means, or None if it is a Hub id.

    benchmark: its name in the demo; hub: its own Hub id, None if it has none; names: what a folder should hold.
    Raises UserError if `data_dir` is neither.
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


def is_demo(data_dir: str) -> bool:
    """Whether these are the demo's data: scores on them are none of the benchmark."""
    return data_dir == DEMO or Path(data_dir).resolve().is_relative_to(DEMO_FOLDER)


def load_from_hub(name: str, columns: Sequence[str], splits: Sequence[str], config: str | None = None) -> Mapping:
    """A data set on the Hub: `datasets.Dataset` by split.

    columns: those that the named splits must have; config: which of several sets under one name.
    Raises UserError if it cannot be had, or lacks one of the splits or one of their columns.
    """
    import datasets

    which = (name, config) if config else (name,)
    try:
        try:
            loaded = datasets.load_dataset(*which)
        except RuntimeError:  # a loading script, which `datasets` does not run
            loaded = datasets.load_dataset(*which, revision=CONVERTED)
    except Exception as error:  # the libraries below raise errors of many kinds
        reason = one_line(error)
        raise UserError(f"`data_dir` {name!r} is no folder and cannot be loaded from the Hub: {reason}") from None
    for split in splits:
        present = loaded[split].column_names if split in loaded else []
        if missing := [column for column in columns if column not in present]:
            raise UserError(f"`data_dir` {name!r}: split {split} has no column {missing[0]!r}; it has {present}")
    return loaded


def has(folder: Path, name: str) -> bool:
    """Whether a folder holds a file, plain or as `.gz`."""
    return any((folder / f"{name}{ending}").is_file() for ending in ("", ".gz"))


def find(folder: Path, *names: str) -> list[Path]:
    """The files of a folder by name, plain or as `.gz`. Raises UserError that lists them if one is missing."""
    for name in names:
        if not has(folder, name):
            raise UserError(f"`data_dir` {str(folder)!r} lacks {name}; looked for {', '.join(names)}, also as .gz")
    return [folder / name if (folder / name).is_file() else folder / f"{name}.gz" for name in names]


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
