"""Checks the paths that keys name, before anything heavy is imported."""

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from distillation.config.errors import UserError

DEMO = "demo"  # the value that stands for the embedded demo
MODEL = ("config.json", "tokenizer_config.json", "modules.json")  # a folder with one has a model, or a tokenizer

EXPORT = "export.json"  # in an exported folder: what is known of it


def check(key: str, value: str | Path, kind: str) -> None:
    """Raise UserError for a value that does not exist, cannot be read or written, or has no model. kind: see `key`."""
    if kind in WRITTEN:
        WRITTEN[kind](value)
    elif value == DEMO:
        return
    elif os.path.exists(value):
        if not os.access(value, os.R_OK):
            raise UserError(f"`{key}` {str(value)!r} cannot be read: make it readable, or name another")
        if kind == "model" and (why := why_no_model(str(value))):
            raise UserError(f"`{key}` {value!r} cannot be loaded: {why}")
    elif kind == "corpus" and not glob.glob(value, recursive=True):
        raise UserError(f"`{key}` {value!r} does not exist: name a file, a folder, or a glob")
    elif kind == "local":
        raise UserError(f"`{key}` {str(value)!r} does not exist: name a file or a folder")
    elif kind in ("source", "model") and is_path(str(value)):
        raise UserError(f"`{key}` {str(value)!r} does not exist: name a folder, or an id on the Hub")


def why_no_model(name: str) -> str:
    """What to name instead of a folder that has no model, such as that of several seeds; else nothing."""
    folder = Path(name)
    if os.path.isfile(name) and not name.endswith(".yaml"):  # a shape
        return f"it is a file: name its folder, {os.path.dirname(os.path.abspath(name))}"
    if os.path.exists(folder / EXPORT):
        return "it is an exported folder: name the checkpoint that it was made from"
    if not os.path.isdir(name) or any(os.path.exists(folder / file) for file in MODEL):
        return ""
    inside = [path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/config.json")]
    models = sorted(str(one) for one in inside if not (one / EXPORT).exists())
    return f"it has no config.json: name {' or '.join(models[:3]) or 'a folder that has one'}"


def is_path(name: str) -> bool:
    """Whether a name is clearly a path, and no Hub id such as `owner/name`."""
    first, *others = name.split("/")
    return first in ("", ".", "..", "~") or len(others) > 1 or bool(others) and os.path.isdir(first)


def check_output(folder: str | Path) -> None:
    """Raise UserError for an `output_dir` that cannot be a folder, or cannot be written."""
    paths = (Path(folder), *Path(folder).parents)
    if file := next(filter(os.path.isfile, paths), None):  # a method of `Path` would raise where it may not look
        raise UserError(f"`output_dir` {str(folder)!r}: {str(file)!r} is a file: name a folder")
    if not os.access(next(filter(os.path.exists, paths)), os.W_OK | os.X_OK):
        raise UserError(f"`output_dir` {str(folder)!r} cannot be written: make it writable, or name another folder")


def check_no_model(folder: str | Path, others: Iterable[str] = ()) -> None:
    """Raise UserError as `check_output`, and for an `output_dir` that holds a model or a tokenizer, or a file of these
    names, which would be written over."""
    check_output(folder)
    if any(Path(folder, name).exists() for name in MODEL):
        raise UserError(f"`output_dir` {str(folder)!r} holds a model or a tokenizer: name another folder")
    if found := [name for name in others if Path(folder, name).exists()]:
        raise UserError(f"`output_dir` {str(folder)!r} has {found[0]}: name another folder")


def check_output_file(file: str | Path) -> None:
    """Raise UserError for an `output` that is a folder, or whose folder does not exist or cannot be written."""
    if not Path(file).absolute().parent.exists():
        raise UserError(f"`output` {str(file)!r}: make its folder first, or name a file in another")
    if os.path.isdir(file) or not os.access(Path(file).absolute().parent, os.W_OK | os.X_OK):
        raise UserError(f"`output` {str(file)!r} cannot be written: name a file in a folder that you can write to")


WRITTEN = {"output_dir": check_output, "output": check_output_file}  # by the kind of path
