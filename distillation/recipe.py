"""A YAML recipe and the command line become argument dataclasses; what a user got wrong becomes one sentence."""

import argparse
import difflib
import functools
import json
import logging
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments


class RecipeError(ValueError):
    """What the user asked for cannot be done. The message is one sentence that names the key and the remedy."""


class LocalError(RecipeError):
    """One that perhaps only this process meets, of several: it tells, whichever it is."""


class Stopped(Exception):
    """A signal has ended the run in good order. The message says how to go on."""

    def __init__(self, message: str, code: int):
        """code: the exit code that shells have for that signal."""
        super().__init__(message)
        self.code = code


def one_line(error: Exception) -> str:
    """What a library has to say, fit for the end of such a sentence."""
    return " ".join(str(error).split())[:500]


def command(main: Callable[[list[str] | None], Any]) -> Callable[[list[str] | None], Any]:
    """Make `main(argv)` end with one sentence on standard error and exit code 2 on a `RecipeError`.

    Of the project's log, the main process shows all and the others only warnings. The process group is left before the
    interpreter ends: gloo's threads may still hold tensors then, and one that frees them too late aborts the process.
    """

    @functools.wraps(main)
    def guarded(argv: list[str] | None = None) -> Any:
        main_process = os.environ.get("RANK", "0") == "0"
        logging.basicConfig(format="%(message)s")
        for stage in ("distillation", "finetuning"):
            logging.getLogger(stage).setLevel(logging.INFO if main_process else logging.WARNING)
        try:
            result = main(argv)
        except RecipeError as error:
            if main_process or isinstance(error, LocalError):  # others meet every rank: one of them tells
                # What a data loader's worker raised has its traceback in front.
                print(f"error: {re.split(r'(?:Recipe|Local)Error: ', str(error))[-1].strip()}", file=sys.stderr)
            raise SystemExit(2) from None
        except Stopped as stopped:
            if main_process:
                print(stopped, file=sys.stderr)
            _leave_group()
            raise SystemExit(stopped.code) from None
        _leave_group()
        return result

    return guarded


def _leave_group() -> None:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def parse_recipe(*argument_types: type, argv: list[str] | None = None, default: Path | None = None) -> tuple:
    """Parse into one instance of each dataclass: command line over `--config` recipe over defaults.

    argv: the arguments without the program's name; None takes those of the process.
    default: the recipe to run where there is no argument at all.

    Raises RecipeError for a key that no dataclass has, a value of the wrong type, or an unreadable recipe.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv and default is not None:
        argv = ["--config", str(default)]
    config_parser = _Parser((), add_help=False, allow_abbrev=False)
    config_parser.add_argument("--config")
    config, rest = config_parser.parse_known_args(argv)
    tokens = _recipe_tokens(Path(config.config)) if config.config else []

    parser = _Parser(argument_types, allow_abbrev=False, description=sys.modules["__main__"].__doc__)
    parser.add_argument("--config", metavar="FILE.yaml", help="Recipe: a YAML file of keys and values.")
    try:
        *arguments, _, unknown = parser.parse_args_into_dataclasses(tokens + rest, return_remaining_strings=True)
    except (ValueError, TypeError, ImportError) as error:  # what the dataclasses check on their own
        raise RecipeError(" ".join(str(error).split())) from None
    if unknown:
        raise RecipeError(_unknown_key(unknown[0], parser))
    for part in arguments:
        if isinstance(part, TrainingArguments):
            check_training(part)
    return tuple(arguments)


def check_training(args: TrainingArguments) -> None:
    """Raise RecipeError for what the Trainer would fail on late, and for what distillation would ignore."""
    if args.n_gpu > 1:
        raise RecipeError("several GPUs and one process: start with `accelerate launch`, or show it one GPU")
    if args.push_to_hub and not args.hub_model_id:
        raise RecipeError("`push_to_hub` needs `hub_model_id`, the repository to push to")
    for name in ("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"):
        if getattr(args, name) < 1:
            raise RecipeError(f"`{name}` must be at least 1, got {getattr(args, name)}")
    if args.seed < 0:
        raise RecipeError(f"`seed` must not be negative, got {args.seed}")
    if Path(args.output_dir).is_file():
        raise RecipeError(f"`output_dir` {args.output_dir!r} is a file: name a folder")
    for name in ("label_smoothing_factor", "neftune_noise_alpha"):
        if getattr(args, name):
            raise RecipeError(f"`{name}` has no effect on the losses here: leave it out")


class _Parser(HfArgumentParser):
    def error(self, message: str) -> None:
        raise RecipeError(message)


def _recipe_tokens(path: Path) -> list[str]:
    """Spell a recipe as command-line tokens, so that both go through the same types and choices."""
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"--config {path} cannot be read ({error.strerror}); give the path of a YAML file") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"--config {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(recipe, dict):
        raise RecipeError(f"--config {path} must be a mapping of keys to values, got {type(recipe).__name__}")
    tokens = []
    for key, value in recipe.items():
        if value is None:
            continue  # `key:` with nothing behind it keeps the default
        values = value if isinstance(value, list) else [value]
        texts = [json.dumps(item) if isinstance(item, dict | bool) else str(item) for item in values]
        # The form with "=" lets a value begin with a dash.
        tokens += [f"--{key}={texts[0]}"] if len(texts) == 1 else [f"--{key}", *texts]
    return tokens


def _unknown_key(token: str, parser: argparse.ArgumentParser) -> str:
    key = token.split("=")[0].lstrip("-")
    if not token.startswith("--"):
        return f"unexpected argument {token!r}: every value follows its key, as in `--train_file corpus.txt.gz`"
    known = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
    near = difflib.get_close_matches(key, known, n=1)
    return f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else "; --help lists the keys")
