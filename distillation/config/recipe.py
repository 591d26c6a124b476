"""A YAML recipe and the command line become argument dataclasses; what a user got wrong becomes one sentence."""

import argparse
import copy
import dataclasses
import difflib
import errno
import functools
import json
import logging
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from transformers import HfArgumentParser, TrainingArguments

DEEPEST = 4  # lists and mappings in one another: more than any key takes
LARGEST = 2**63  # of a whole number
SEEDS = 2**32  # numpy takes no others
NOT_WRITTEN = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES}
HALF = 290  # characters of a sentence that are always told, at its start and at its end


class UserError(ValueError):
    """What the user asked for cannot be done. The message is one sentence that names the key and the remedy."""


class LocalError(UserError):
    """One that perhaps only this process meets, of several: it tells, whichever it is."""


class Stopped(Exception):
    """A signal has ended the run in good order. The message says how to go on."""

    def __init__(self, message: str, code: int):
        """code: the exit code that shells have for that signal."""
        super().__init__(message)
        self.code = code


def one_line(error: Exception | str) -> str:
    """What a library has to say, fit for the end of such a sentence."""
    return " ".join(str(error).split())[:300] or type(error).__name__


def cli_entry(main: Callable[[list[str] | None], Any]) -> Callable[[list[str] | None], Any]:
    """Make `main(argv)` end with one sentence on standard error and exit code 2 on a `UserError`.

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
        except UserError as error:
            if main_process or isinstance(error, LocalError):  # others meet every rank: one of them tells
                print(f"error: {_told(error)}", file=sys.stderr)
            raise SystemExit(2) from None
        except OSError as error:  # wherever it is met; what of a run is left, `agreement.writing` says
            if error.errno not in NOT_WRITTEN:
                raise
            where = f"{error.filename!r} " if error.filename else ""
            print(f"error: {where}cannot be written ({error.strerror}): make room, or name another", file=sys.stderr)
            raise SystemExit(2) from None
        except KeyboardInterrupt:
            if main_process:
                print("interrupted: what has checkpoints goes on by `--resume_from_checkpoint true`", file=sys.stderr)
            raise SystemExit(130) from None
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


def _told(error: UserError) -> str:
    """Its sentence, of which the middle goes if it quotes a whole file: the remedy stands at the end."""
    # What a data loader's worker raised has its traceback in front.
    text = re.split(r"(?:Recipe|Local)Error: ", str(error))[-1].strip()
    return text if len(text) < 2 * HALF else f"{text[:HALF]} ... {text[-HALF:]}"


def parse_recipe(*argument_types: type, argv: list[str] | None = None, default: Path | None = None) -> tuple:
    """Parse into one instance of each dataclass: command line over `--config` recipe over defaults.

    argv: the arguments without the program's name; None takes those of the process.
    default: the recipe to run where there is no argument at all.

    Raises UserError for a key that no dataclass has, a value of the wrong type, or an unreadable recipe.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv and default is not None:
        argv = ["--config", str(default)]
    config_parser = _Parser((), add_help=False, allow_abbrev=False)
    config_parser.add_argument("--config")
    config, rest = config_parser.parse_known_args(argv)
    tokens = _recipe_tokens(read_recipe(Path(config.config))) if config.config else []

    parser = _Parser(argument_types, allow_abbrev=False, description=sys.modules["__main__"].__doc__)
    parser.add_argument("--config", metavar="FILE.yaml", help="Recipe: a YAML file of keys and values.")
    try:
        *arguments, _, unknown = parser.parse_args_into_dataclasses(tokens + rest, return_remaining_strings=True)
    except UserError:
        raise
    except Exception as error:  # what the dataclasses of libraries check on their own: they raise many types
        raise UserError(one_line(error)) from None
    if unknown:
        raise UserError(_unknown_key(unknown[0], parser))
    for part in arguments:
        _check_values(part)
        if isinstance(part, TrainingArguments):
            if not any(token.split("=")[0] == "--output_dir" for token in tokens + rest):
                raise UserError("`output_dir` is missing: name the folder for what this run makes")
            check_training(part)
            _rehearse(part)
    return tuple(arguments)


def check_training(args: TrainingArguments) -> None:
    """Raise UserError for what the Trainer would fail on late, and for what distillation would ignore."""
    if args.n_gpu > 1:
        raise UserError("several GPUs and one process: start with `accelerate launch`, or show it one GPU")
    if args.push_to_hub and not args.hub_model_id:
        raise UserError("`push_to_hub` needs `hub_model_id`, the repository to push to")
    batches = ("per_device_train_batch_size", "per_device_eval_batch_size")
    for name in (*batches, "gradient_accumulation_steps", "eval_accumulation_steps"):
        value = getattr(args, name)
        if value is not None and value < 1:
            raise UserError(f"`{name}` must be at least 1, got {value}")
    for name in ("seed", "data_seed"):
        if not 0 <= (getattr(args, name) or 0) < SEEDS:
            raise UserError(f"`{name}` must lie between 0 and 2 ** 32 - 1, got {getattr(args, name)}")
    check_output(args.output_dir)
    for name in ("label_smoothing_factor", "neftune_noise_alpha", "use_liger_kernel"):
        if getattr(args, name) != TrainingArguments.__dataclass_fields__[name].default:
            raise UserError(f"`{name}` has no effect on the losses here: leave it out")
    if args.save_only_model:
        raise UserError("`save_only_model` makes checkpoints that no run can go on from: leave it out")


def check_output(folder: str) -> None:
    """Raise UserError for an `output_dir` where no folder can be."""
    for path in (Path(folder), *Path(folder).parents):
        if os.path.isfile(path):
            raise UserError(f"`output_dir` {folder!r}: {str(path)!r} is a file: name a folder")


def _rehearse(args: TrainingArguments) -> None:
    """Raise UserError unless a Trainer, its optimiser, schedule, loggers, and data loader can be made of them.

    On a model of one number, in a folder that is gone afterwards: on the real ones it would fail after minutes.
    """
    from transformers import Trainer  # takes seconds, and not every script with a recipe trains

    with tempfile.TemporaryDirectory() as folder:
        tried = copy.copy(args)
        tried.output_dir, tried.push_to_hub = folder, False
        try:
            row = {"input_ids": [0]}
            trainer = Trainer(torch.nn.Linear(1, 1), tried, train_dataset=[row] * 2, eval_dataset=[row])
            trainer.create_optimizer_and_scheduler(num_training_steps=2)
            trainer.get_train_dataloader()
            if args.torch_compile:
                torch.compile(trainer.model, backend=args.torch_compile_backend, mode=args.torch_compile_mode)
        except Exception as error:  # of many types, from packages that are not there to options that no one knows
            raise UserError(f"the training arguments cannot be met: {one_line(error)}") from None


def _check_values(arguments: Any) -> None:
    """Refuse what is a number or a text for Python, and for nothing that is computed or named here."""
    for name in (field.name for field in dataclasses.fields(arguments)):
        value = getattr(arguments, name)
        if isinstance(value, int | float) and not abs(value) < LARGEST:  # nor is that of what is no number
            raise UserError(f"`{name}` must be a number below {LARGEST:.1g}, got {str(value)[:20]}")
        if "\0" in str(value):
            raise UserError(f"`{name}` holds a NUL character: leave it out")


class CommandLine(argparse.ArgumentParser):
    """Of a script without a recipe: what is wrong with its options is a UserError as well."""

    def error(self, message: str) -> None:
        raise UserError(one_line(message))


class _Parser(CommandLine, HfArgumentParser):
    pass


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML itself takes the last."""

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
    for name, value in recipe.items():
        if not _is_shallow(value):
            raise UserError(f"{key} {path}: `{name}` is deeper than {DEEPEST} lists or mappings in one another")
    return recipe


def _recipe_tokens(recipe: dict[str, Any]) -> list[str]:
    """Spell a recipe as command-line tokens, so that both go through the same types and choices."""
    tokens = []
    for key, value in recipe.items():
        if value is None:
            continue  # `key:` with nothing behind it keeps the default
        values = value if isinstance(value, list) else [value]
        texts = [json.dumps(item) if isinstance(item, dict | bool) else str(item) for item in values]
        # The form with "=" lets a value begin with a dash.
        tokens += [f"--{key}={texts[0]}"] if len(texts) == 1 else [f"--{key}", *texts]
    return tokens


def _is_shallow(value: Any, room: int = DEEPEST) -> bool:
    """Whether a value can be spelled: one that holds itself, or all others ten times, cannot."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return room >= 0 and all(_is_shallow(member, room - 1) for member in members)


def _unknown_key(token: str, parser: argparse.ArgumentParser) -> str:
    key = token.split("=")[0].lstrip("-")
    if not token.startswith("--"):
        return f"unexpected argument {token!r}: every value follows its key, as in `--train_file corpus.txt.gz`"
    known = [option.lstrip("-") for action in parser._actions for option in action.option_strings]
    near = difflib.get_close_matches(key, known, n=1)
    return f"unknown key `{key}`" + (f"; did you mean `{near[0]}`?" if near else "; --help lists the keys")
