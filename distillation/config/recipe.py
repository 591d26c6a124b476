"""A YAML recipe and the command line become argument dataclasses."""

import json
import re
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from distillation.config import training as training_arguments
from distillation.config.command_line import CommandLine, KeyParser, words_of
from distillation.config.errors import UserError, one_line

if TYPE_CHECKING:
    from transformers import TrainingArguments


def parse_recipe(
    *argument_types: type,
    argv: list[str] | None = None,
    default: Path | None = None,
    training: "bool | Callable[[], type[TrainingArguments]]" = False,
) -> tuple:
    """Parse into one instance of each dataclass: command line over `--config` recipe over defaults.

    argv: the arguments without the program's name; None takes those of the process.
    default: the recipe to run where there is no argument at all.
    training: every field of `TrainingArguments` is a key as well, and an instance of it stands last in the result. A
        function imports and returns a subclass with other defaults. transformers is imported only when all other keys
        are right.

    Raises UserError for a key that no dataclass has, a value of the wrong type, a path where nothing is, or an
    unreadable recipe.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv and default is not None:
        argv = ["--config", str(default)]
    parser = KeyParser(*argument_types, further=training_arguments.field_names() if training else ())
    config = CommandLine(add_help=False)
    config.add_argument("--config", type=Path)
    recipe, words = config.parse_known_args(argv)
    if recipe.config:  # its words stand first, so that those of the command line win
        words = [*_words(read_recipe(recipe.config)), *words]
    instances, further = parser.parse(words)
    if training:
        instances.append(training_arguments.parse(further, None if training is True else training))
    return tuple(instances)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML itself takes the last, and aliases, which can stand for millions
    of values or hold themselves."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "write the value out", self.peek_event().start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        for key, count in Counter(str(key.value) for key, _ in node.value).items():
            if count > 1:
                raise yaml.constructor.ConstructorError(None, None, f"`{key}` stands there twice", node.start_mark)
        return super().construct_mapping(node, deep)


# 1e-7 is a number for everybody but YAML 1.1, which wants 1.0e-7.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), [*"-+0123456789"])


def read_recipe(path: Path, key: str = "--config") -> dict[str, Any]:
    """The keys and values of a recipe. key: what named it, for the message. Raises UserError."""
    try:
        recipe = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{key} {path} cannot be read ({error.strerror}); give the path of a YAML file") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the latter two: no UTF-8, no such date, too deep
        raise UserError(f"{key} {path} is not valid YAML: {one_line(error)}") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{key} {path} must be a mapping of keys to values, got {type(recipe).__name__}")
    return recipe


def _words(recipe: dict[str, Any]) -> list[str]:
    """Spell a recipe as a command line, so that both go through the same types and choices."""
    given = {}
    for name, value in recipe.items():
        values = value if isinstance(value, list) else [value]
        given[name] = [json.dumps(item) if isinstance(item, dict | bool) else str(item) for item in values]
    return words_of({name: words for name, words in given.items() if recipe[name] is not None})  # else the default
