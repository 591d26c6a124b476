"""The studies, with a stand-in for Python: every command that they give can be followed, and none is given twice."""

import functools
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import compare
from distillation import run_evaluation, run_teacher, run_vocabulary
from distillation.config import arguments, training
from distillation.config.command_line import KeyParser
from finetuning import run_benchmarks
from finetuning.sets import REGISTRY

STUDIES = Path(compare.__file__).parent / "studies"
TYPES = {
    "distillation/run.py": arguments.ARGUMENTS,
    "distillation/run_teacher.py": run_teacher.ARGUMENTS,
    "distillation/run_vocabulary.py": run_vocabulary.ARGUMENTS,
    "distillation/run_evaluation.py": (run_evaluation.EvaluationArguments, arguments.DataArguments),
    "finetuning/run_benchmarks.py": (run_benchmarks.BenchmarksArguments,),
    "benchmarks/compare.py": (compare.CompareArguments,),
}
# Writes down what it is asked, and leaves what a finished run leaves.
STAND_IN = """#!/bin/bash
[ "$1" != -c ] || exec {python} "$@"
(IFS=$'\\t'; echo "$*" >>"$COMMANDS")
while [ $# -gt 0 ]; do
    if [ "$1" = --output_dir ]; then
        mkdir -p "$2"
        for file in config.json vocabulary.json; do echo '{{}}' >"$2/$file"; done
        echo '{{"train_seconds": 1, "steps": 1}}' >"$2/all_results.json"
        echo '{{"failed": []}}' >"$2/benchmarks.json"
    elif [ "$1" = --output ]; then
        echo '{{}}' >"$2"
    fi
    shift
done
"""


@pytest.fixture
def study(tmp_path):
    """A function: name of a study -> the commands that it gives, each a list of words."""
    (tmp_path / "data" / "corpus").mkdir(parents=True)
    for name in ("conversational", "misc"):
        lines = "".join(f"Строка {name} {number}.\n" for number in range(3000))
        (tmp_path / "data" / "corpus" / f"{name}.txt").write_text(lines, encoding="utf-8")
    stand_in = tmp_path / "bin" / "python"
    stand_in.parent.mkdir()
    stand_in.write_text(STAND_IN.format(python=sys.executable))
    stand_in.chmod(stand_in.stat().st_mode | stat.S_IXUSR)

    def run(name, *options):
        commands = tmp_path / "commands"
        commands.write_text("")
        environment = os.environ | {"PATH": f"{stand_in.parent}:{os.environ['PATH']}", "COMMANDS": str(commands)}
        call = [STUDIES / f"{name}.sh", tmp_path / "data", tmp_path / "study", *options]
        subprocess.run(call, env=environment, check=True, stdout=subprocess.DEVNULL)
        return [line.split("\t") for line in commands.read_text(encoding="utf-8").splitlines()]

    return run


@functools.cache
def parser(script):
    trains = script in ("distillation/run.py", "distillation/run_teacher.py")
    further = training.field_names() if trains else ()
    if script == "finetuning/run_benchmarks.py":
        further = run_benchmarks.keys_of(*REGISTRY)
    return KeyParser(*TYPES[script], further=further)


@pytest.mark.parametrize("name", ["two-cores", "any-cpu", "one-gpu"])
def test_every_command_of_a_study_can_be_followed(study, name):
    """By keys and values that its script takes."""
    commands = study(name)
    assert len(commands) > 60
    for script, *words in commands:
        parser(script).parse(words)
    folders = [words[words.index("--output_dir") + 1] for words in commands if "--output_dir" in words]
    assert len(set(folders)) == len(folders), "two runs would write to one folder"


def test_no_text_is_held_out_and_trained_on(study, tmp_path):
    """A corpus repeats itself."""
    repeated = "Эта строка стоит там часто."
    (tmp_path / "data" / "corpus" / "misc.txt").write_text(f"{repeated}\n" * 500, encoding="utf-8")
    study("two-cores", "--rehearse")
    parts = {}
    for part in ("held-out", "train", "students", "validation"):
        parts[part] = (tmp_path / "study" / "corpus" / f"{part}.txt").read_text(encoding="utf-8").splitlines()
    assert len(parts["held-out"]) == 200 and repeated in parts["held-out"]
    assert not {*parts["held-out"]} & {*parts["train"]}
    assert parts["students"] == parts["train"][:2000] and parts["validation"] == parts["held-out"][:500]


def test_a_run_that_fails_ends_the_study_and_what_is_done_is_not_done_again(study, tmp_path):
    stand_in = tmp_path / "bin" / "python"
    good = stand_in.read_text()
    stand_in.write_text(good.replace("while [", '[[ "$*" != *seed-1* ]] || exit 1\nwhile [', 1))
    with pytest.raises(subprocess.CalledProcessError):
        study("any-cpu", "--rehearse")
    assert not (tmp_path / "study" / "evaluation.json").exists()
    stand_in.write_text(good)
    again = [words for script, *words in study("any-cpu", "--rehearse") if script == "distillation/run.py"]
    students = [words[words.index("--output_dir") + 1] for words in again if "costs" not in " ".join(words)]
    assert students and all(folder.endswith("seed-1") for folder in students)
