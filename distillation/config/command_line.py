"""Declares the keys of recipes and of the command line, and parses them. Imports nothing heavy."""

import argparse
import dataclasses
import difflib
import json
import operator
import re
import sys
import textwrap
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from distillation.config import paths
from distillation.config.errors import UserError, one_line

REQUIRED = dataclasses.MISSING
CONFIG = "config"
ROOT = Path(__file__).resolve().parents[2]  # the repository
# Keys that are often called otherwise.
MEANT = {"batch_size": "per_device_train_batch_size", "epochs": "num_train_epochs", "lr": "learning_rate"}
VALUE = "VALUE"  # of a further key, in the help
BOUNDS = {
    "least": (operator.ge, "at least"),
    "above": (operator.gt, "above"),
    "most": (operator.le, "at most"),
    "below": (operator.lt, "below"),
}


def key(
    default: Any,
    help: str,
    *,
    path: Literal["corpus", "local", "source", "model", "output_dir", "output"] | None = None,
    positional: bool = False,
    **bounds: float,
) -> Any:
    """Declare a key of a recipe and of the command line as a field of a dataclass.

    The annotation is the type: str, int, float, bool, Path, `Literal` of one of these for choices, `list` of one of
    these for several values, and each of them `| None`.

    default: `REQUIRED` for a key without one; a list is copied.
    path: the value names a `corpus` (a file, folder, or glob), a `local` file or folder, a `source` (a folder or Hub
        id), or a `model` (a source that has a checkpoint): it must exist. Or an `output_dir`, or `output` file, that
        this run can write.
    positional: the values stand without the key's name, as in `report.py RUNS...`.
    bounds: of the numbers that are allowed, as in `least=0, below=1`; names of `BOUNDS`.
    """
    metadata = {"help": help, "path": path, "positional": positional, "bounds": bounds}
    if isinstance(default, list):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def check_values(arguments: Any) -> None:
    """Raise UserError for a value that its `Literal` lacks, and for a number out of its bounds.

    The parser calls it for every dataclass. A dataclass that Python code also makes calls it in `__post_init__`.
    """
    hints = get_type_hints(type(arguments))
    for field, value in _values(arguments):
        inner, _ = _parts(hints[field.name])
        if get_origin(inner) is Literal and value not in get_args(inner):
            raise UserError(f"`{field.name}` is {value!r}; choose one of {', '.join(map(str, get_args(inner)))}")
        for name, bound in field.metadata.get("bounds", {}).items():
            holds, words = BOUNDS[name]
            if not holds(value, bound):
                raise UserError(f"`{field.name}` must be {words} {bound}, got {value}")
        if isinstance(value, int) and value >= 2**63:  # no library takes it
            raise UserError(f"`{field.name}` must be less than 2 ** 63, got {value}")


def check_paths(arguments: Any) -> None:
    """Raise UserError for a value that is clearly a path, and does not exist or cannot be read, or written."""
    for field, value in _values(arguments):
        if kind := field.metadata.get("path"):
            paths.check(field.name, value, kind)


def _values(arguments: Any) -> Iterator[tuple[dataclasses.Field, Any]]:
    """Each value but None, with its field; the values of a list one by one."""
    for field in dataclasses.fields(arguments):
        value = getattr(arguments, field.name)
        yield from ((field, one) for one in (value if isinstance(value, list) else [value]) if one is not None)


def _parts(hint: Any) -> tuple[Any, bool]:
    """(the type of one value, whether there are several values)."""
    if get_origin(hint) in (Union, types.UnionType):
        (hint,) = (part for part in get_args(hint) if part is not type(None))
    return (get_args(hint)[0], True) if get_origin(hint) is list else (hint, False)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Shows further keys as keys of one value, as most are."""

    def _format_args(self, action: argparse.Action, default_metavar: str) -> str:
        return VALUE if action.metavar == VALUE else super()._format_args(action, default_metavar)


class KeyParser(argparse.ArgumentParser):
    """Parses the keys of dataclasses. It knows further keys, and returns their words unparsed."""

    def __init__(
        self,
        *argument_types: type,
        further: Mapping[str, str] | None = None,
        defaults: Mapping[str, Any] | None = None,
    ):
        """further: keys with any number of values of any type, and what --help says of them, if anything.
        defaults: values that --help shows in place of those of the dataclasses."""
        super().__init__(
            usage="%(prog)s [--KEY VALUE ...]",
            description=sys.modules["__main__"].__doc__,
            formatter_class=_Help,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        text = "Recipe: a YAML file of keys and values. Of several, a later one overrides keys of an earlier one."
        self.add_argument(f"--{CONFIG}", action="extend", nargs=1, metavar="FILE.yaml", help=text)
        self._of_help = defaults or {}
        for argument_type in argument_types:
            hints, title = get_type_hints(argument_type), " ".join(argument_type.__doc__.split()).partition(". ")[0]
            group = self.add_argument_group(title.rstrip("."))
            for field in dataclasses.fields(argument_type):
                self._add(group, field, *_parts(hints[field.name]))
        own = {action.dest for action in self._actions}
        further = {name: text for name, text in (further or {}).items() if name not in own}
        self._argument_types, self._further = argument_types, [*further]
        group = self.add_argument_group("The training")
        for name, text in further.items():
            shown = f"{text}{_shown(self._of_help.get(name))}" if text else argparse.SUPPRESS
            group.add_argument(f"--{name}", nargs="*", help=shown, metavar=VALUE)
        if hidden := sorted(name for name, text in further.items() if not text):
            text = "further keys; those of training are fields of transformers.TrainingArguments: "
            self.epilog = textwrap.fill(text + " ".join(hidden), 100)

    @property
    def keys(self) -> list[str]:
        """The names of all keys."""
        return [action.dest for action in self._actions if action.option_strings and action.dest != "help"]

    def error(self, message: str) -> None:
        """Raises UserError."""
        raise UserError(one_line(re.sub(r"^argument (?:--)?(\w+)[^:]*:", r"`\1`:", message)))

    def _add(self, group: Any, field: dataclasses.Field, kind: Any, is_list: bool) -> None:
        default = field.default if field.default_factory is REQUIRED else field.default_factory()
        shown = _shown(self._of_help.get(field.name, default))
        options: dict[str, Any] = {"help": field.metadata["help"].replace("%", "%%") + shown}
        if get_origin(kind) is Literal:
            options |= {"choices": get_args(kind), "type": type(get_args(kind)[0])}
        elif kind is bool:
            options |= {"type": _boolean, "nargs": "?", "const": True, "metavar": "true|false"}
        else:
            options |= {"type": kind, "metavar": kind.__name__.upper()}
        if is_list:
            options["nargs"] = "*"
        group.add_argument(field.name if field.metadata["positional"] else f"--{field.name}", **options)

    def parse(self, words: list[str] | None) -> tuple[list[Any], dict[str, list[str]]]:
        """(an instance of each dataclass, the words of `config` and of the further keys that were given).

        words: None for those of the process.
        Raises UserError for an unknown key, a missing one, a value of another type, and a path that does not exist.
        """
        words = sys.argv[1:] if words is None else words
        parsed, unknown = self.parse_known_args(words)
        if unknown and not unknown[0].startswith("-"):
            raise UserError(self._without_key(unknown[0], words))
        if unknown:
            raise UserError(self.about(unknown[0].split("=")[0].lstrip("-")))
        given, instances = vars(parsed), []
        for argument_type in self._argument_types:
            fields = dataclasses.fields(argument_type)
            for field in fields:
                if field.default is field.default_factory is REQUIRED and not given.get(field.name):
                    raise UserError(f"`{field.name}` is missing: {field.metadata['help']}")
            instance = argument_type(**{field.name: given[field.name] for field in fields if field.name in given})
            check_values(instance)
            check_paths(instance)
            instances.append(instance)
        return instances, {name: given[name] for name in (CONFIG, *self._further) if name in given}

    def _without_key(self, word: str, words: list[str]) -> str:
        """The sentence on a word that is the value of no key."""
        place = len(words) - 1 - words[::-1].index(word)
        keys = [one.lstrip("-").split("=")[0] for one in words[:place][-2:] if one.startswith("--")]
        if word.endswith((".yaml", ".yml")) or not keys:
            return f"{word!r} stands without a key: a recipe is named by `--{CONFIG}`, all else by a key of its own"
        fields = {field.name: field for one in self._argument_types for field in dataclasses.fields(one)}
        is_corpus = keys[-1] in fields and fields[keys[-1]].metadata["path"] == "corpus"
        remedy = ": put a glob in quotes, or name a folder" if is_corpus else ""
        return f"`{keys[-1]}` takes one value, and {word!r} is a second{remedy}"

    def about(self, unknown: str) -> str:
        """The sentence on a key that is not known."""
        near = [key for key in self.keys if key == MEANT.get(unknown)]
        near = near or [key for key in self.keys if key.startswith(unknown)]
        near = near or difflib.get_close_matches(unknown, self.keys, n=1)
        return f"unknown key `{unknown}`; " + (f"did you mean `{near[0]}`?" if near else "--help lists the keys")


def _shown(default: Any) -> str:
    """A default in the help."""
    text = " ".join(map(str, default)) if isinstance(default, list) else default
    return "" if text in (REQUIRED, None, "") else f" [{text}]".replace(f"{ROOT}/", "")


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false", "yes", "no", "1", "0"):
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return text.lower() in ("true", "yes", "1")


def words_of(given: Mapping[str, Any]) -> list[str]:
    """Keys and values as command-line words, so that recipe and command line are parsed alike. None: the default."""
    words = []
    for name, value in given.items():
        values = value if isinstance(value, list) else [value]
        texts = [json.dumps(one) if isinstance(one, dict | bool) else str(one) for one in values]
        if value is not None:  # the form with "=" lets a value begin with a dash
            several = [f"--{name}", *texts] if name != CONFIG else [f"--{name}={text}" for text in texts]
            words += [f"--{name}={texts[0]}"] if len(texts) == 1 else several
    return words
