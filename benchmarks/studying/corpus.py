"""One corpus for all models of a study: shuffled, with texts that none of them sees, and a share for the students."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datasets import concatenate_datasets

from distillation.config.arguments import DataArguments
from distillation.config.recipe import UserError
from distillation.runs.files import write_json, write_text
from distillation.text.reading import load_lines

SEED = 0  # of the shuffle
DESCRIPTION = "corpus.json"  # what it was made of, and the lines of each file
TRAIN, STUDENTS, HELD_OUT, VALIDATION = "train.txt", "students.txt", "held-out.txt", "validation.txt"


def prepare(folder: Path, made_of: Mapping[str, Any]) -> None:
    """`write_corpus`, unless the files are there. Raises UserError as well for files made of something else."""
    description = folder / DESCRIPTION
    if not description.exists():
        write_json(description, {"made_of": made_of, "lines": write_corpus(folder, **made_of)})
    elif json.loads(description.read_text(encoding="utf-8"))["made_of"] != made_of:
        raise UserError(f"{folder} holds another corpus: remove it, or name another output_dir")


def lines(folder: Path) -> dict[str, int]:
    """How many each file has."""
    return json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))["lines"]


def write_corpus(
    folder: Path,
    files: Sequence[str],
    held_out_lines: int,
    validation_lines: int,
    student_lines: int,
    train_lines: int | None = None,
) -> dict[str, int]:
    """Write the files, and give the number of their lines. `STUDENTS` is the beginning of `TRAIN`; `VALIDATION`, which
    is measured after each run, that of `HELD_OUT`, on which models are compared.

    files: paths or globs. train_lines: the most that `TRAIN` gets. Raises UserError for a corpus that cannot be
    read, or with too few lines.
    """
    parts = [load_lines(DataArguments(), pattern, None) for pattern in files]
    shuffled = concatenate_datasets(parts).shuffle(seed=SEED)["text"]
    lines = [" ".join(text.splitlines()) for text in shuffled]  # line breaks would make lines of their own
    held_out = lines[:held_out_lines]
    unseen = set(held_out)
    train = [line for line in lines[held_out_lines:] if line not in unseen][:train_lines]
    if len(train) < student_lines:
        raise UserError(
            f"`corpus` has {len(lines):,} usable lines, of which {len(train):,} are no `held_out_lines`: fewer than "
            f"{student_lines:,} `student_lines`: lower these, or give more text"
        )
    chosen = {HELD_OUT: held_out, VALIDATION: held_out[:validation_lines]}
    chosen |= {TRAIN: train, STUDENTS: train[:student_lines]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, part in chosen.items():
        write_text(folder / name, "".join(f"{line}\n" for line in part))
    return {name: len(part) for name, part in chosen.items()}
