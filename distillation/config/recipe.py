"""A YAML recipe and the command line become argument dataclasses."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from distillation.config import training as training_arguments
from distillation.config.command_line import CONFIG, KeyParser, words_of
from distillation.config.errors import UserError, one_line

if TYPE_CHECKING:
    from transformers import TrainingArguments


def parse_recipe(
    *argument_types: type,
    argv: list[str] | None = None,
    default: Path | None = None,
    base: Path | None = None,
    training: "bool | Callable[[], type[TrainingArguments]]" = False,
    check: Callable[..., None] | None = None,
) -> tuple:
    """Parse into one instance of each dataclass: command line over `--config` recipes (a later one over an earlier)
    over `base` over defaults.

    argv: the arguments without the program's name; None takes those of the process.
    default: the recipe to run where there is no argument.
    base: a recipe that every `--config` overrides.
    training: True makes every field of `TrainingArguments` a key as well, and adds an instance to the result, as the
        last. A function does the same for the subclass that it imports and returns. transformers is imported only
        after all other keys are checked.
    check: called with the other instances before that.

    Raises UserError for an unknown key, a value of the wrong type, a path that does not exist, an unreadable recipe.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    if not argv and default is not None:
        argv = [f"--{CONFIG}={default}"]
    recipe = read_recipe(base) if base else {}
    further = training_arguments.keys() if training else None
    shown = training_arguments.DEFAULTS | training_arguments.OURS | recipe
    parser = KeyParser(*argument_types, further=further, defaults=shown)
    for path in getattr(parser.parse_known_args(argv)[0], CONFIG, []):
        own = read_recipe(Path(path))
        _check_keys(path, own, parser)
        recipe |= own  # `null` stands for the default
    instances, further = parser.parse(words_of(recipe) + argv)  # the later words win
    if check:
        check(*instances)
    if training:
        further.pop(CONFIG, None)
        instances.append(training_arguments.parse(further, None if training is True else training))
    return tuple(instances)


def _check_keys(path: str, recipe: dict[str, Any], parser: KeyParser) -> None:
    """Raise UserError for a key of a recipe that the script does not know."""
    unknown = [str(key) for key in recipe if key not in parser.keys]
    if len(unknown) > 1:
        names = ", ".join(f"`{key}`" for key in unknown[:3]) + " and more" * (len(unknown) > 3)
        raise UserError(f"--config {path} has unknown keys {names}: is it the recipe of another script?")
    if unknown:
        raise UserError(f"--config {path} has an {parser.about(unknown[0])}")


class _Loader(yaml.SafeLoader):
    """Refuses repeated keys, of which YAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        known = set()
        for key, _ in node.value:
            if str(key.value) in known:
                raise yaml.constructor.ConstructorError(None, None, f"`{key.value}` is given twice", key.start_mark)
            known.add(str(key.value))
        return super().construct_mapping(node, deep)


# YAML 1.1 reads the language `no`, and the strategy `no`, as false.
_BOOLEAN = "tag:yaml.org,2002:bool"
_Loader.yaml_implicit_resolvers = {
    first: [known for known in resolvers if known[0] != _BOOLEAN]
    for first, resolvers in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOLEAN, re.compile("(true|false)$", re.IGNORECASE), [*"tTfF"])
# YAML 1.1 reads 1.0e-7 as a number, but 1e-7 as text.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), [*"-+0123456789"])


def read_recipe(path: Path, key: str = "--config") -> dict[str, Any]:
    """The keys and values of a recipe. key: the option that named it. Raises UserError."""
    try:
        with path.open(encoding="utf-8") as file:
            recipe = yaml.load(file, _Loader)
    except OSError as error:
        raise UserError(f"{key} {path} cannot be read ({error.strerror}); give the path of a YAML file") from None
    except UnicodeDecodeError:
        raise UserError(f"{key} {path} is not UTF-8: save it as UTF-8") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: no such date
        raise UserError(f"{key} {path} is not valid YAML: {one_line(error)}") from None
    if not isinstance(recipe, dict):
        raise UserError(f"{key} {path} must be a mapping of keys to values, got {type(recipe).__name__}")
    if CONFIG in recipe:
        raise UserError(f"{key} {path} has a key `{CONFIG}`: a recipe stands alone, copy what it needs")
    return recipe
