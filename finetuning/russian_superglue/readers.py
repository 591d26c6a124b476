"""The official files of the nine tasks, or their data set on the Hub, as rows."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

from finetuning.formats.locate import find, from_hub, local_folder
from finetuning.formats.values import collect, json_lines
from finetuning.russian_superglue import rows, rucos
from finetuning.russian_superglue.tasks import NAMES

HUB = "RussianNLP/russian_super_glue"
# The official validation part is the one to report, since the labels of the official test part are kept secret.
SPLITS = {"train": "train", "test": "validation", "submission": "test"}
FILES = SPLITS | {"test": "val"}
NESTED = {"muserc": rows.muserc_answers, "rucos": rucos.queries}  # several rows, as the Hub has them, of one line


def read(task: str, data_dir: str) -> dict[str, list[dict]]:
    """The parts "train", "test", the official validation part, and "submission", the official test part.

    The rows of "submission" have no label, or None. LiDiRus has one labelled file, which is both "test" and
    "submission", and nothing to train on: as the benchmark has it, a model of TERRa's "train" answers it.

    task: one of NAMES. Its function in `rows` or `rucos` says which keys its rows have; an `id` is a string.
    data_dir: a folder with the official folders such as `TERRa`, or a Hub id such as HUB. "submission" may be absent.
    Raises UserError for a missing file, a file that is damaged or empty, and a row that lacks a key, has an unknown
    label, or repeats an `idx`, by its line.
    """
    folder, name = local_folder(data_dir, "russian_superglue", HUB, *NAMES.values()), NAMES[task]
    if folder is None:
        splits = {"test": "test"} if task == "lidirus" else SPLITS
        parts = {part: _rows(task, part, *source) for part, source in from_hub(data_dir, splits, task).items()}
    else:
        files = {"test": name} if task == "lidirus" else FILES
        paths = find(folder, {part: f"{name}/{file}.jsonl" for part, file in files.items()})
        nested = NESTED.get(task)
        parts = {part: _rows(task, part, str(path), json_lines(path), nested) for part, path in paths.items()}
    if task == "lidirus":
        parts = {"train": read("terra", data_dir)["train"], **parts, "submission": parts["test"]}
    return parts


def _rows(
    task: str, part: str, name: str, raws: Iterable[tuple[str, Any]], nested: Callable[[Any], list] | None = None
) -> list[dict]:
    """Rows of one part."""
    make = rucos.make if task == "rucos" else functools.partial(rows.make, task)
    make = functools.partial(make, labelled=part != "submission")
    return collect(name, raws, lambda raw: map(make, nested(raw) if nested else [raw]))
