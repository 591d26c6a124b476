"""The official files of the nine tasks, or their data set on the Hub, as rows."""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets

from distillation.config.errors import UserError
from finetuning.formats.jsonl import json_lines
from finetuning.formats.locate import find, has, load_from_hub, local_folder
from finetuning.russian_superglue import muserc, rucos, words
from finetuning.russian_superglue.pairs import KEYS, pair, parus
from finetuning.russian_superglue.tasks import NAMES
from finetuning.russian_superglue.values import Wrong

HUB = "RussianNLP/russian_super_glue"
# Of each part: its official file, its split on the Hub, and whether it is labelled.
PARTS = {
    "train": ("train.jsonl", "train", True),
    "test": ("val.jsonl", "validation", True),
    "submission": ("test.jsonl", "test", False),
}
COLUMNS = {task: ("idx", "label", *keys) for task, keys in KEYS.items()} | {
    "parus": ("idx", "label", "premise", "question", "choice1", "choice2"),
    "muserc": ("idx", "label", "paragraph", "question", "answer"),
    "russe": ("idx", "label", "word", "sentence1", "sentence2", "start1", "end1", "start2", "end2"),
    "rwsd": ("idx", "label", "text", "span1_text", "span1_index", "span2_text", "span2_index"),
    "rucos": ("idx", "passage", "query", "entities", "answers"),
}
ROWS: dict[str, Callable[[Mapping[str, Any], bool], dict]] = {task: functools.partial(pair, task) for task in KEYS} | {
    "parus": parus,
    "muserc": muserc.muserc,
    "russe": words.russe,
    "rwsd": words.rwsd,
    "rucos": rucos.rucos,
}


def read(task: str, data_dir: str) -> dict[str, list[dict]]:
    """The parts "train", "test", the official validation part, and "submission", the official test part.

    The rows of "submission" have no label, or None; LiDiRus has one labelled file, which is both "test" and
    "submission", and no "train".

    task: one of NAMES. Its function in ROWS says which keys its rows have; an `id` is a string.
    data_dir: a folder with the official folders such as `TERRa`, or a Hub id such as HUB. The file of "submission" may
        be absent.

    Raises UserError for an unknown task, a missing file, a file that is damaged or empty, and a row that lacks a
    key, has an unknown label, or repeats an `idx`, by its line.
    """
    if task not in NAMES:
        raise UserError(f"there is no task {task!r} in Russian SuperGLUE: choose one of {', '.join(NAMES)}")
    folder = local_folder(data_dir, "russian_superglue", HUB, *NAMES.values())
    sources = _from_hub(task, data_dir) if folder is None else _from_files(task, folder)
    if task == "lidirus":
        rows = _rows(task, sources["test"], labelled=True)
        return {"test": rows, "submission": rows}
    return {part: _rows(task, source, labelled=PARTS[part][2]) for part, source in sources.items()}


@dataclass(frozen=True)
class Source:
    """Rows of one part as they stand somewhere."""

    name: str
    raws: Iterable[tuple[str, Any]]  # each with its place
    flat: Callable[[Any], list]  # one of them -> rows as the Hub has them


def _from_files(task: str, folder: Path) -> dict[str, Source]:
    name = NAMES[task]
    if task == "lidirus":
        return {"test": _from_file(task, *find(folder, f"{name}/{name}.jsonl"))}
    files = {part: f"{name}/{file}" for part, (file, _, _) in PARTS.items()}
    submission = files.pop("submission")
    paths = dict(zip(files, find(folder, *files.values()), strict=True))
    if has(folder, submission):
        (paths["submission"],) = find(folder, submission)
    return {part: _from_file(task, path) for part, path in paths.items()}


def _from_file(task: str, path: Path) -> Source:
    raws = list(json_lines(path))
    flat: Callable[[Any], list] = {"muserc": muserc.flat, "rwsd": words.flat}.get(task, lambda raw: [raw])
    if task == "rucos":
        flat = functools.partial(rucos.flat, inside=rucos.ends_are_inside(raw for _, raw in raws))
    return Source(str(path), raws, flat)


def _from_hub(task: str, data_dir: str) -> dict[str, Source]:
    splits = {"test": "test"} if task == "lidirus" else {part: split for part, (_, split, _) in PARTS.items()}
    loaded = load_from_hub(data_dir, COLUMNS[task], tuple(splits.values()), config=task)
    names = {part: f"{data_dir} ({task}, {split})" for part, split in splits.items()}
    return {
        part: Source(names[part], _hub_rows(names[part], loaded[split]), lambda raw: [raw])
        for part, split in splits.items()
    }


def _hub_rows(name: str, rows: datasets.Dataset) -> Iterator[tuple[str, dict]]:
    """Rows with the names of their labels, whose numbers may be in any order."""
    names = getattr(rows.features.get("label"), "names", None)
    for number, row in enumerate(rows):
        if names and row["label"] in range(len(names)):
            row = {**row, "label": names[row["label"]]}
        yield f"{name}, row {number}", row


def _rows(task: str, source: Source, labelled: bool) -> list[dict]:
    rows: dict[str, dict] = {}
    for place, raw in source.raws:
        try:
            for row in (ROWS[task](one, labelled) for one in source.flat(raw)):
                if row["id"] in rows:
                    raise Wrong(f"idx {row['id']} stands on an earlier row, too; delete one of them")
                rows[row["id"]] = row
        except Wrong as wrong:
            raise UserError(f"{place}: {wrong}") from None
    if not rows:
        raise UserError(f"{source.name}:1: no rows; a whole file has some, so fetch it again")
    return list(rows.values())
