"""Which checkpoint of a run is resumed, and whether the run is still the same."""

import contextlib
import dataclasses
import glob
import itertools
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillation.config.errors import LocalError, UserError
from distillation.config.paths import MODEL, check_no_model, check_output
from distillation.runs import files
from distillation.runs.checkpoint import checkpoints, explain_write_errors, is_complete
from distillation.runs.files import DECIDING, EXPORTED, MEASURED, RECIPE, RESULTS, STATE, digest, read_json, write_json

if TYPE_CHECKING:
    from transformers import TrainingArguments

logger = logging.getLogger(__name__)

INPUTS = "inputs.json"  # of a run: hashes of the files that it reads, by key
MIB = 2**20
_claimed: list[int] = []  # the descriptor of the folder that this process writes to
OF_MODEL = ("*.safetensors", "*.bin", "*.model", "config.json", "tokenizer.json", "vocab.txt", "modules.json")
OF_MODEL += ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "sentence_bert_config.json")
OF_MODEL += ("[0-9]_*/*",)  # the modules of a sentence encoder
# A file of data that is not hidden.
DATA = re.compile(r"^(?!\.)(?!.*/\.).*\.(txt|ann|conll|jsonl?|csv|tsv|parquet)(\.\w+)?$", re.IGNORECASE)


def is_resumed(training: "TrainingArguments") -> bool:
    """Whether an earlier run is to be resumed."""
    return str(training.resume_from_checkpoint).lower() not in ("none", "false")


def _names_one(training: "TrainingArguments") -> bool:
    """Whether one checkpoint is to be resumed, and not, by `true`, the newest."""
    return is_resumed(training) and str(training.resume_from_checkpoint).lower() != "true"


def refuse_one_checkpoint(training: "TrainingArguments", runs: str) -> None:
    """Raise UserError where `resume_from_checkpoint` names one checkpoint, and not, by `true`, the newest of each run.
    runs: what has several, for the message."""
    if _names_one(training):
        raise UserError(f"`resume_from_checkpoint` names one checkpoint, and {runs} have one each: `true` takes those")


def find_checkpoint(training: "TrainingArguments", recipe: Mapping[str, Any], inputs: Mapping[str, str]) -> str | None:
    """The checkpoint to resume, None to start afresh. Nothing is written. recipe: of `recipe_of`; inputs: of
    `inputs_of`.

    Raises UserError if checkpoints exist and none is resumed, for a path without a complete one, and for a folder
    that holds a model, or a run with another recipe or other files, or cannot be written.
    """
    folder, wanted = Path(training.output_dir), training.resume_from_checkpoint
    check_folder(training)
    if not is_resumed(training):
        return None
    run = Path(wanted).absolute().parent if _names_one(training) else folder  # a checkpoint may be of another folder's
    _check_recipe(run, recipe, training)
    _check_inputs(run, recipe, inputs)
    if _names_one(training):
        if not is_complete(Path(wanted)):
            raise UserError(f"`resume_from_checkpoint` {wanted!r} is no complete checkpoint; `true` takes the newest")
        _check_length(Path(wanted), training)
        return str(wanted)
    for checkpoint in checkpoints(folder):
        if is_complete(checkpoint):
            _check_length(checkpoint, training)
            logger.info("resuming from %s", checkpoint)
            return str(checkpoint)
        logger.warning("%s is not complete and is skipped: its writing was cut short, or it was changed", checkpoint)
    if folder.exists() and not finished(training):
        logger.info("no checkpoint to resume from: starting afresh")
    return None


def check_folder(training: "TrainingArguments") -> None:
    """Raise UserError for a folder that cannot be written, or that holds checkpoints or a model, unless a training
    run made them, and that run is resumed."""
    folder = Path(training.output_dir)
    check_output(folder)
    resumed, begun = is_resumed(training), (folder / RECIPE).exists()
    if not resumed and checkpoints(folder):
        raise UserError(
            f"`output_dir` {str(folder)!r} holds checkpoints of an earlier run: continue it with "
            "`--resume_from_checkpoint true`, or name another folder"
        )
    if not resumed and "recipe" in (_read(folder / RESULTS) or {}):
        raise UserError(
            f"`output_dir` {str(folder)!r} holds a finished run: name another folder; `--resume_from_checkpoint true` "
            "leaves it as it is"
        )
    if not resumed or not begun:
        check_no_model(folder)
    others = (MEASURED, EXPORTED.parent, *((files.CARD, RESULTS) if not resumed else ()))
    if found := [str(name) for name in others if not begun and (folder / name).exists()]:
        raise UserError(f"`output_dir` {str(folder)!r} has {found[0]}, which is no run's: name another folder")


def _check_recipe(folder: Path, recipe: Mapping[str, Any], training: "TrainingArguments") -> None:
    """Raise UserError where a folder's run differs in a key of the script or a `DECIDING` one; log other changes."""
    recipe, earlier = json.loads(json.dumps(recipe, default=str)), _read(folder / RECIPE)
    defaults = {field.name: field.default for field in dataclasses.fields(training)}  # an earlier recipe may lack some
    free = {*defaults} - {*DECIDING} | {"preprocessing_num_workers"}
    for key in sorted((recipe.keys() | earlier.keys()) - {"output_dir"}) if earlier is not None else ():
        before, now = (repr(one.get(key, defaults.get(key, "its default"))) for one in (earlier, recipe))
        if before == now:
            continue
        if key not in free:
            raise UserError(
                f"`output_dir` {str(folder)!r} holds a run with `{key}` {before}, and this one has {now}: resume with "
                "the same recipe, or name another folder"
            )
        logger.warning("the run goes on with `%s` %s, and started with %s", key, now, before)


def _check_length(checkpoint: Path, training: "TrainingArguments") -> None:
    """Raise UserError for a checkpoint beyond the end of the run: its results would be those of a longer one."""
    state, key = _read(checkpoint / STATE) or {}, "max_steps" if training.max_steps > 0 else "num_train_epochs"
    wanted, done = getattr(training, key), state.get("global_step" if key == "max_steps" else "epoch", 0)
    if done > wanted + 1e-6:
        raise UserError(
            f"`{key}` is {wanted}, and {checkpoint} is at {done} already: give more, or name another `output_dir`"
        )


def _check_inputs(folder: Path, recipe: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Raise UserError where a file is not what a folder's run has read: parts and order of its rows would differ."""
    if changed := changed_inputs(folder, inputs):
        raise UserError(
            f"`{changed[0]}` {recipe[changed[0]]!r} has changed since the run in {str(folder)!r} began: resume with "
            "what it was, or name another `output_dir`"
        )


def changed_inputs(folder: Path, inputs: Mapping[str, str]) -> list[str]:
    """The keys whose files are not what a folder's run has read; none where it did not note them."""
    earlier = _read(folder / INPUTS) or {}
    return [key for key, found in inputs.items() if earlier.get(key, found) != found]


def inputs_of(arguments: Sequence[Any]) -> dict[str, str]:
    """For each key of these dataclasses that names files, a hash of what they hold: names, sizes, and the first and
    the last MiB, since a corpus may be large. In a model's folder only the files that decide its outputs count, in a
    folder of data only files in a format of data."""
    found = {}
    for part in arguments:
        for field in dataclasses.fields(part):
            kind, value = field.metadata.get("path"), getattr(part, field.name)
            if kind and isinstance(value, str) and (read := sorted(filter(Path.is_file, _files(value, kind)))):
                found[field.name] = digest(piece for file in read for piece in pieces(file, kind != "corpus"))
    return found


def _files(name: str, kind: str) -> Iterator[Path]:
    for path in map(Path, [name] if os.path.exists(name) else glob.glob(name, recursive=True)):
        if not path.is_dir():
            yield path
        elif kind in ("source", "model") and any((path / one).exists() for one in MODEL):
            yield from itertools.chain(*map(path.glob, OF_MODEL))
        else:
            found = path.rglob("*")
            if kind == "source":  # data for the parts, or a task, in a folder each; beside them may be runs
                folders = (one for one in path.glob("*/") if not (one / RECIPE).exists())
                found = itertools.chain(*(folder.glob("*") for folder in (path, *folders)))
            yield from (file for file in found if DATA.search(str(file.relative_to(path))))


def pieces(file: Path, whole: bool) -> Iterator[bytes]:
    """A file's name, its size, and its content: the first and the last MiB, and of `whole` data what lies between."""
    size = file.stat().st_size
    yield f"{file.name} {size}".encode()
    with open(file, "rb") as content:
        yield content.read(MIB)
        while whole and DATA.search(file.name) and content.tell() < size - MIB:
            yield content.read(MIB)
        content.seek(max(size - MIB, 0))
        yield content.read(MIB)


def start_run(training: "TrainingArguments", recipe: Mapping[str, Any], inputs: Mapping[str, str]) -> None:
    """Write the recipe and the inputs of a run, and remove the results of an earlier one. The folder is this process's
    until it starts another run, or ends.

    Raises LocalError for an `output_dir` that cannot be written, or to which another run writes.
    """
    if training.process_index:
        return
    folder = Path(training.output_dir)
    with explain_write_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        claim(folder)
        if (found := finished(training)) is None or _has_other_length(found, recipe):  # else its weights stay
            (folder / MEASURED).unlink(missing_ok=True)
            shutil.rmtree(folder / EXPORTED.parent, ignore_errors=True)
        (folder / RESULTS).unlink(missing_ok=True)
        write_json(folder / INPUTS, inputs)
        write_json(folder / RECIPE, recipe)


def claim(folder: Path) -> None:
    """Lock a folder until this process locks another, or ends: two runs that write to one would mix their checkpoints.
    Raises LocalError if another process has locked it."""
    if os.name == "nt":
        return
    import fcntl

    _release()
    _claimed.append(os.open(folder, os.O_RDONLY))
    try:
        fcntl.flock(_claimed[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = f"another run writes to `output_dir` {str(folder)!r}: wait until it ends, or name another folder"
        raise LocalError(text) from None
    except OSError:  # a file system that locks no folders
        pass


def _release() -> None:
    while _claimed:
        os.close(_claimed.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release)  # a data loader's worker would keep the lock of a killed run


def is_over(training: "TrainingArguments", recipe: Mapping[str, Any], checkpoint: str | None) -> bool:
    """Whether the run is finished, so that nothing is left to do; the log says so. With a checkpoint it can go on to
    more steps, or be pushed; without one UserError is raised for these."""
    found = finished(training)
    if found is None:
        return False
    if checkpoint is None:
        check_length(training, recipe)
    elif training.push_to_hub or _has_other_length(found, recipe):
        return False
    if training.push_to_hub:
        raise UserError(f"the run is finished: push it by run_publish.py --checkpoint {training.output_dir}")
    logger.info("%s holds the model of this run: nothing is trained", training.output_dir)
    return True


def check_length(training: "TrainingArguments", recipe: Mapping[str, Any]) -> None:
    """Raise UserError for another number of steps than a finished run has, which has no checkpoint to go on from."""
    if (found := finished(training)) and _has_other_length(found, recipe):
        raise UserError(
            f"`output_dir` {training.output_dir!r} holds a finished run without a checkpoint to go on from: name "
            "another folder, or leave `max_steps` and `num_train_epochs` as they were"
        )


def _has_other_length(found: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    return any(found["recipe"].get(key) != recipe.get(key) for key in ("max_steps", "num_train_epochs"))


def finished(training: "TrainingArguments") -> dict[str, Any] | None:
    """The results of a run that is to be resumed and is finished; None if it is not."""
    found = _read(Path(training.output_dir, RESULTS)) if is_resumed(training) else None
    return found if found and "recipe" in found else None


def _read(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None where there is none."""
    with contextlib.suppress(UserError):
        found = read_json(path)
        return found if isinstance(found, dict) else None
