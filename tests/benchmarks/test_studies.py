"""The studies, with a stand-in for Python."""

import subprocess
from pathlib import Path

import pytest

from distillation.runs.files import write_text
from tests.stand_in import ROOT, StandIn, check

REPEATED = "Эта строка стоит там часто."


@pytest.fixture
def stand_in(tmp_path):
    return StandIn(tmp_path)


@pytest.fixture
def study(tmp_path, stand_in):
    """A function: name of a study -> the commands that it gives."""
    for name in ("conversational", "misc", "books", "held_out_conversational", "held_out_books"):
        lines = [*(f"Строка {name} {number}." for number in range(3000)), *[REPEATED] * 500, ""]
        write_text(tmp_path / "data" / "corpus" / f"{name}.txt", "\n".join(lines))
    for file in ("rusentiment/rusentiment_test", "rucola/in_domain_train", "rucola/in_domain_dev"):
        write_text(tmp_path / "data" / f"{file}.csv", 'label,text\nneutral,"Два\nслова"\n')
    write_text(tmp_path / "data" / "collection3" / "train.txt", "Анна\tB-PER\nидёт\tO\n\nДа\tO\n\n")
    (tmp_path / "data" / "encodechka").mkdir()
    for model in ("teacher", "encoder"):  # that is made of a package that is not installed
        write_text(tmp_path / "study" / model / "config.json", "{}")
    scripts = ROOT / "benchmarks" / "studies"
    return lambda name, *options: stand_in.run(scripts / f"{name}.sh", tmp_path / "data", tmp_path / "study", *options)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("two-cores", 60),
        ("any-cpu", 60),
        ("one-gpu", 60),
        ("which-student", 60),
        ("task-teacher", 20),
        ("sentences", 30),
        ("teacher-cache", 25),
        ("teacher", 2),
    ],
)
def test_every_command_of_a_study_can_be_followed(study, name, least):
    commands = study(name)
    assert len(commands) > least
    for script, *words in commands:
        check(script, words)
    runs = [words for words in commands if "--output_dir" in words and "students.py" not in words[0]]
    folders = [words[words.index("--output_dir") + 1] for words in runs]
    for number, words in enumerate(runs):
        if "run_encodechka" in words[0]:  # makes a folder in it for each model
            folders[number] += f"/{Path(words[words.index('--model_name_or_path') + 1]).name}"
    assert len(set(folders)) == len(folders), "two runs would write to one folder"


def test_the_text_of_a_task_is_its_sentences(study, tmp_path):
    study("which-student")
    assert (tmp_path / "study" / "corpus" / "task-text.txt").read_text("utf-8") == "Анна идёт\nДа\n"


def test_no_text_is_held_out_and_trained_on(study, tmp_path):
    """A corpus repeats itself."""
    study("two-cores", "--rehearse")
    held_out, train, students, validation = (
        (tmp_path / "study" / "corpus" / f"{part}.txt").read_text(encoding="utf-8").splitlines()
        for part in ("held-out", "train", "students", "validation")
    )
    assert len(held_out) == 200 and REPEATED in held_out and not {*held_out} & {*train}
    assert students == train[:2000] and validation == held_out[:500]


def test_a_run_that_fails_ends_the_study_and_what_is_done_is_not_done_again(study, stand_in, tmp_path):
    good = stand_in.text
    stand_in.write(good.replace("while [", '[[ "$*" != *seed-1* ]] || exit 1\nwhile [', 1))
    with pytest.raises(subprocess.CalledProcessError):
        study("any-cpu", "--rehearse")
    assert not (tmp_path / "study" / "evaluation.json").exists()
    stand_in.write(good)
    again = [words for script, *words in study("any-cpu", "--rehearse") if script == "distillation/run.py"]
    students = [words[words.index("--output_dir") + 1] for words in again if "costs" not in " ".join(words)]
    assert students and all(folder.endswith("seed-1") for folder in students)
