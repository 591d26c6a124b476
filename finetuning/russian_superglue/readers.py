"""The official files of the nine tasks, or their data set on the Hub, as rows."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from finetuning.formats.jsonl import json_lines
from finetuning.formats.locate import find, has, load_from_hub, local_folder
from finetuning.formats.values import collect, numbered
from finetuning.russian_superglue import rows, rucos
from finetuning.russian_superglue.tasks import NAMES

if TYPE_CHECKING:
    import datasets

HUB = "RussianNLP/russian_super_glue"
# Of each part: its official file, and its split on the Hub. The official validation part is the one to report, since
# the labels of the official test part are kept secret.
PARTS = {"train": ("train", "train"), "test": ("val", "validation"), "submission": ("test", "test")}
COLUMNS = {task: ("idx", "label", *keys) for task, keys in rows.PAIRS.items()} | {
    "parus": ("idx", "label", "premise", "question", "choice1", "choice2"),
    "muserc": ("idx", "label", "paragraph", "question", "answer"),
    "russe": ("idx", "label", "word", "sentence1", "sentence2", "start1", "end1", "start2", "end2"),
    "rwsd": ("idx", "label", "text", "span1_text", "span1_index", "span2_text", "span2_index"),
    "rucos": ("idx", "passage", "query", "entities", "answers"),
}
ROWS = {task: functools.partial(rows.pair, task) for task in rows.PAIRS}
ROWS |= {"parus": rows.parus, "muserc": rows.muserc, "russe": rows.russe, "rwsd": rows.rwsd, "rucos": rucos.rucos}
NESTED = {"muserc": rows.muserc_answers, "rucos": rucos.queries}  # several rows, as the Hub has them, of one line


def read(task: str, data_dir: str) -> dict[str, list[dict]]:
    """The parts "train", "test", the official validation part, and "submission", the official test part.

    The rows of "submission" have no label, or None. LiDiRus has one labelled file, which is both "test" and
    "submission", and nothing to train on: as the benchmark has it, it is answered by a model of TERRa's "train".

    task: one of NAMES. Its function in ROWS says which keys its rows have; an `id` is a string.
    data_dir: a folder with the official folders such as `TERRa`, or a Hub id such as HUB. The file of "submission" may
        be absent.
    Raises UserError for a missing file, a file that is damaged or empty, and a row that lacks a key, has an unknown
    label, or repeats an `idx`, by its line.
    """
    folder = local_folder(data_dir, "russian_superglue", HUB, *NAMES.values())
    name, parts = NAMES[task], {}
    if folder is None:
        splits = {"test": "test"} if task == "lidirus" else {part: split for part, (_, split) in PARTS.items()}
        loaded = load_from_hub(data_dir, COLUMNS[task], tuple(splits.values()), config=task)
        for part, split in splits.items():
            place = f"{data_dir} ({task}, {split})"
            parts[part] = _rows(task, part, place, numbered(place, _with_names(loaded[split])))
    else:
        files = {part: f"{name}/{file}.jsonl" for part, (file, _) in PARTS.items()}
        if task == "lidirus":
            files = {"test": f"{name}/{name}.jsonl"}
        elif not has(folder, files["submission"]):
            del files["submission"]
        for part, path in zip(files, find(folder, *files.values()), strict=True):
            parts[part] = _rows(task, part, str(path), json_lines(path), NESTED.get(task))
    if task == "lidirus":
        parts = {"train": read("terra", data_dir)["train"], **parts, "submission": parts["test"]}
    return parts


def _with_names(table: "datasets.Dataset") -> Iterator[dict]:
    """Rows with the names of their labels, whose numbers may be in any order."""
    names = getattr(table.features.get("label"), "names", None)
    for row in table:
        yield {**row, "label": names[row["label"]]} if names and row["label"] in range(len(names)) else row


def _rows(
    task: str, part: str, name: str, raws: Iterable[tuple[str, Any]], nested: Callable[[Any], list] | None = None
) -> list[dict]:
    """Rows of one part."""
    make = functools.partial(ROWS[task], labelled=part != "submission")
    return collect(name, raws, lambda raw: map(make, nested(raw) if nested else [raw]))
