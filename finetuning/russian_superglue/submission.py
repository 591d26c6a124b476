"""What the leaderboard takes: a zip of one file a task, each with one line for each example."""

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from distillation.runs.files import replacing, write_text
from finetuning.russian_superglue.tasks import NAMES

SPELLING = {"rwsd": str.capitalize, "parus": int, "muserc": int}  # as the sample has it; of the others as it is


def write_task(task: str, folder: Path, rows: Sequence[Mapping[str, Any]], predictions: Sequence[Any]) -> Path:
    """Write `<Task>.jsonl` into a folder, sorted by `idx`. predictions: labels; of PARus the number of the choice, of
    RuCoS the text of an entity."""
    answers = zip((row["idx"] for row in rows), map(SPELLING.get(task, str), predictions), strict=True)
    lines = [{"idx": idx, "label": label} for idx, label in sorted(answers, key=lambda answer: answer[0])]
    if task == "muserc":
        lines = _nested(lines)
    path = folder / f"{NAMES[task]}.jsonl"
    write_text(path, "".join(json.dumps(line) + "\n" for line in lines))
    return path


def _nested(answers: Sequence[dict]) -> list[dict]:
    """Answers of MuSeRC, in order, in their questions, and these in their passages."""
    lines = []
    for passage, of_passage in groupby(answers, key=lambda answer: answer["idx"][0]):
        questions = [
            {"idx": question, "answers": [answer | {"idx": answer["idx"][2]} for answer in of_question]}
            for question, of_question in groupby(of_passage, key=lambda answer: answer["idx"][1])
        ]
        lines.append({"idx": passage, "passage": {"questions": questions}})
    return lines


def zip_submission(path: Path, files: Iterable[Path]) -> None:
    """Write the zip of what `write_task` wrote for each task."""
    with replacing(path) as draft, zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("submission", 0o755)
        for file in files:
            archive.write(file, f"submission/{file.name}")
