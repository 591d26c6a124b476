"""What the leaderboard takes: a zip of one file a task, each with one line for each example."""

import json
import zipfile
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.runs.files import replacing, write_text
from finetuning.russian_superglue.tasks import NAMES

FOLDER = "submission"  # inside of the zip
SPELLING = {"rwsd": str.capitalize, "parus": int, "muserc": int}  # as the sample has it; of the others as it is


def write_task(task: str, folder: Path, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> Path:
    """Write `<Task>.jsonl` into a folder, sorted by `idx`.

    predictions: labels; of PARus the number of the choice, of RuCoS the text of an entity.
    """
    answers = zip((row["idx"] for row in rows), map(SPELLING.get(task, str), predictions), strict=True)
    ordered = sorted(answers, key=lambda answer: answer[0])
    lines = _nested(ordered) if task == "muserc" else [{"idx": idx, "label": label} for idx, label in ordered]
    path = folder / f"{NAMES[task]}.jsonl"
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path


def _nested(answers: Sequence[tuple[Sequence[int], int]]) -> list[dict]:
    """Answers of MuSeRC, in order, in their questions, and these in their passages."""
    lines = []
    for passage, of_passage in groupby(answers, key=lambda answer: answer[0][0]):
        questions = [
            {"idx": question, "answers": [{"idx": idx[2], "label": label} for idx, label in of_question]}
            for question, of_question in groupby(of_passage, key=lambda answer: answer[0][1])
        ]
        lines.append({"idx": passage, "passage": {"questions": questions}})
    return lines


def zip_submission(path: Path, files: Mapping[str, Path]) -> Path:
    """Write the zip. Equal files give equal bytes.

    files: what `write_task` wrote, by task.
    Raises UserError for a task without a file: the leaderboard takes all nine or nothing.
    """
    missing = [NAMES[task] for task in NAMES if task not in files or not Path(files[task]).is_file()]
    if missing:
        raise UserError(f"{path}: a submission needs all nine tasks; write the files of {', '.join(missing)} first")
    with replacing(path) as draft, zipfile.ZipFile(draft, "w") as archive:
        archive.writestr(_entry(f"{FOLDER}/", 0o40755), "")
        for task, name in NAMES.items():
            content = Path(files[task]).read_bytes()
            archive.writestr(_entry(f"{FOLDER}/{name}.jsonl", 0o100644), content, zipfile.ZIP_DEFLATED)
    return path


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    """A name in the zip, dated 1980, since a date of today would make equal files differ."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16  # else `unzip` makes files that nobody may read
    return entry
