"""What the leaderboard takes: a zip of one file a task, each with one line for each example."""

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from finetuning.russian_superglue.tasks import NAMES

FOLDER = "submission"  # inside of the zip


def submission_row(task: str, row: Mapping[str, Any], prediction: Any) -> dict[str, Any]:
    """The line of one row; of MuSeRC with the one answer that is the row.

    prediction: a label; of PARus the number of the choice, of RuCoS the text of an entity.
    """
    if task == "muserc":
        passage, question, answer = row["idx"]
        answers = [{"idx": answer, "label": int(prediction)}]
        return {"idx": passage, "passage": {"questions": [{"idx": question, "answers": answers}]}}
    if task == "rwsd":
        prediction = prediction.capitalize()  # the sample spells its labels so, and only here
    return {"idx": row["idx"], "label": int(prediction) if task == "parus" else prediction}


def write_task(folder: Path, task: str, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> Path:
    """Write `<Task>.jsonl` into a folder, sorted by `idx`, whole or not at all; predictions as in `submission_row`."""
    order = sorted(range(len(rows)), key=lambda place: rows[place]["idx"])
    if len(predictions) != len(rows):
        raise ValueError(f"{len(predictions)} predictions for {len(rows)} rows of {task}")
    lines = [submission_row(task, rows[place], predictions[place]) for place in order]
    if task == "muserc":
        lines = _nested(lines)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{NAMES[task]}.jsonl"
    draft = path.with_suffix(".part")
    draft.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8", newline="\n")
    draft.replace(path)
    return path


def _nested(lines: Sequence[dict]) -> list[dict]:
    """Lines of one answer each, in order, as lines of passages with questions with answers."""
    passages: list[dict] = []
    for line in lines:
        if not passages or passages[-1]["idx"] != line["idx"]:
            passages.append(line)
            continue
        questions, (question,) = passages[-1]["passage"]["questions"], line["passage"]["questions"]
        if questions[-1]["idx"] == question["idx"]:
            questions[-1]["answers"] += question["answers"]
        else:
            questions.append(question)
    return passages


def zip_submission(path: Path, files: Mapping[str, Path]) -> Path:
    """Write the zip, whole or not at all. Equal files give equal bytes.

    files: what `write_task` wrote, by task.

    Raises UserError for a task without a file: the leaderboard takes all nine or nothing.
    """
    missing = [NAMES[task] for task in NAMES if task not in files or not Path(files[task]).is_file()]
    if missing:
        raise UserError(f"{path}: a submission needs all nine tasks; write the files of {', '.join(missing)} first")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(draft, "w") as archive:
            archive.writestr(_entry(f"{FOLDER}/", 0o40755), "")
            for task, name in NAMES.items():
                content = Path(files[task]).read_bytes()
                archive.writestr(_entry(f"{FOLDER}/{name}.jsonl", 0o100644), content, zipfile.ZIP_DEFLATED)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    """A name in the zip, dated 1980, since a date of today would make equal files differ."""
    entry = zipfile.ZipInfo(name)
    entry.external_attr = mode << 16  # else `unzip` makes files that nobody may read
    return entry
