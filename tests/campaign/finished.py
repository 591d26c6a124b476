"""Finished folders to publish whose files are torn, or hold what no run leaves."""

import json
import random
import shutil
from pathlib import Path

from tests.campaign.case import Case, Cases, Entry, Make
from tests.campaign.damage import DAMAGES, STAND_INS, Change, damaged, mutated, replaced
from tests.campaign.result_files import WRONG

FINISHED, OUTPUT = "finished", "output"  # among the good inputs, and as the case's own, which it may change
FILES = ("all_results.json", "measured.json", "onnx/export.json", "config.json", "tokenizer_config.json", "README.md")


def copied(good: Path, here: Path) -> None:
    """A folder of the case's own: publishing writes into it."""
    shutil.copytree(good / FINISHED, here / OUTPUT)


def finished(entry: Entry) -> Cases:
    """Each file damaged, or another thing in its place, and each value of JSON exchanged, or left out."""
    for file in FILES:
        for name, damage in DAMAGES.items():
            yield Case(entry, f"{file}-{name}", make=_of_its_own(damaged(file, damage)))
        for name, stand_in in STAND_INS.items():
            yield Case(entry, f"{file}-{name}", make=_of_its_own(replaced(file, stand_in)))
    for file, content in CONTENTS.items():
        for key in content:
            for wrong in WRONG:
                name = f"{file}-{key}={json.dumps(wrong)}"
                yield Case(entry, name, make=_of_its_own(damaged(file, lambda _, c=content | {key: wrong}: _json(c))))
            less = {name: value for name, value in content.items() if name != key}
            yield Case(entry, f"{file}-no-{key}", make=_of_its_own(damaged(file, lambda _, less=less: _json(less))))


def drawn(entry: Entry, draw: random.Random) -> Case:
    """A file with bytes cut, flipped, or inserted."""
    file, seed = draw.choice(FILES), draw.random()
    make = _of_its_own(damaged(file, lambda content: mutated(content, random.Random(seed))))
    return Case(entry, f"finished-{file.replace('/', '-')}", make=make)


def _json(content: object) -> bytes:
    return json.dumps(content).encode()


def _of_its_own(change: Change) -> Make:
    return lambda good, here: change(here / OUTPUT)


_HELD_OUT = ("loss", "loss_per_character", "masked_token_accuracy", "masked_word_accuracy", "masked_words")
_RECIPE = {"teacher_name_or_path": "x/teacher", "weight_kl": 2.0, "weight_mlm": 1.0}
_RESULTS = {f"{role}_heldout_{name}": 1 for role in ("teacher", "student_before", "student") for name in _HELD_OUT}
_RESULTS |= {"parameters": 1000, "teacher_parameters": 9000, "model_bytes": 4000, "steps": 1, "train_seconds": 1.5}
_RESULTS |= {"train_tokens_per_second": 10.0, "processes": 1, "device": "CPU", "versions": {"torch": "2"}}
_RESULTS |= {"eval_kl": 0.5, "eval_mlm": 0.5, "pipeline_tag": "fill-mask", "dataset": None, "language": "ru"}
_RESULTS |= {"license": "mit", "base_model": None, "recipe": _RECIPE}
_SCORE = {"model": "this model", "task": "terra", "metric": "f1", "seeds": [1], "test": {"f1": 0.5}}
_SPEED = {"model": "this model", "head": "masked-lm", "backend": "torch", "device": "cpu", "hardware": "cpu"}
_SPEED |= {"batch_size": 1, "sequence_length": 8, "parameters": 1000, "mib": 0.5, "milliseconds": 0.5}
_EXPORT = {"model": "student", "backend": "onnx", "weights": "0", "bytes": {"model.onnx": 5}, "file": "model.onnx"}
_EXPORT |= {"agreement": 1.0, "compared": "8 tokens", "largest_difference": 0.0}
CONTENTS = {
    "all_results.json": _RESULTS,
    "measured.json": {"scores": [_SCORE], "speed": [_SPEED]},
    "onnx/export.json": _EXPORT,
}


def make_finished(teacher: Path, folder: Path) -> None:
    """What a run leaves, with all that can be measured of it."""
    shutil.copytree(teacher, folder)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model.onnx").write_bytes(b"graph")
    (folder / "README.md").write_text("# student\n")
    for file, content in CONTENTS.items():
        (folder / file).write_bytes(_json(content))
