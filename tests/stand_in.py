"""A stand-in for Python, to test shell scripts: it writes down each command, and leaves what a finished run leaves."""

import functools
import os
import subprocess
import sys
from pathlib import Path

from benchmarks import compare, export, inference, quality, report, scores
from benchmarks.timing.measure import TimingArguments
from distillation import run_evaluation, run_publish, run_teacher, run_vocabulary
from distillation.config import arguments, training
from distillation.config.command_line import KeyParser
from finetuning import run_benchmarks
from finetuning.sets import REGISTRY

ROOT = Path(__file__).resolve().parents[1]
TYPES = {
    "distillation/run.py": arguments.ARGUMENTS,
    "distillation/run_teacher.py": run_teacher.ARGUMENTS,
    "distillation/run_vocabulary.py": run_vocabulary.ARGUMENTS,
    "distillation/run_evaluation.py": (run_evaluation.EvaluationArguments, arguments.DataArguments),
    "distillation/run_publish.py": (run_publish.PublishArguments, arguments.CardArguments),
    "finetuning/run_benchmarks.py": (run_benchmarks.BenchmarksArguments,),
    "benchmarks/quality.py": (quality.QualityArguments,),
    "benchmarks/compare.py": (compare.CompareArguments,),
    "benchmarks/scores.py": (scores.ScoresArguments,),
    "benchmarks/report.py": (report.ReportArguments,),
    "benchmarks/export.py": (export.ExportArguments,),
    "benchmarks/inference.py": (inference.InferenceArguments, TimingArguments),
}
TEXT = """#!/bin/bash
[ "$1" != -c ] || exec {python} "$@"
(IFS=$'\\t'; echo "$*" >>{commands})
echo "| a table |"
while [ $# -gt 0 ]; do
    if [ "$1" = --output_dir ]; then
        mkdir -p "$2"
        for file in config.json vocabulary.json export.json; do echo '{{}}' >"$2/$file"; done
        echo '{{"train_seconds": 1, "steps": 1}}' >"$2/all_results.json"
        echo '{{"failed": []}}' >"$2/benchmarks.json"
        echo "| a table |" >"$2/quality.md"
    elif [ "$1" = --config ]; then
        for folder in $(sed -n 's/^output_dir: //p' "$2"); do mkdir -p "$folder"; done
    elif [ "$1" = --output ]; then
        echo '{{}}' >"$2"
    fi
    shift
done
"""


class StandIn:
    """`python` and `accelerate` in a folder of programs, and what they were asked."""

    def __init__(self, folder: Path):
        self.commands, self.programs = folder / "commands", folder / "programs"
        self.programs.mkdir()
        self.write(TEXT.format(python=sys.executable, commands=self.commands))

    def write(self, text: str) -> None:
        """Give the programs another text."""
        self.text = text
        for name in ("python", "accelerate"):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def run(self, *call: str | Path) -> list[list[str]]:
        """Run a shell script to its end: of each command that it gave the script of ours, and its words.

        Raises CalledProcessError if the script fails.
        """
        self.commands.write_text("")
        environment = os.environ | {"PATH": f"{self.programs}:{os.environ['PATH']}"}
        subprocess.run(call, env=environment, check=True, capture_output=True, text=True)
        lines = [line.split("\t") for line in self.commands.read_text(encoding="utf-8").splitlines()]
        return [words[words.index(next(word for word in words if word.endswith(".py"))) :] for words in lines]


def check(script: str, words: list[str]) -> None:
    """Raise UserError for a command that its script would refuse: a key, a choice, a type, or a path."""
    _parser(script).parse(words)


@functools.cache
def _parser(script: str) -> KeyParser:
    further: set[str] = set()
    if script in ("distillation/run.py", "distillation/run_teacher.py", "benchmarks/quality.py"):
        further = {*training.field_names()}
    if script == "benchmarks/quality.py":
        further |= {name for one in arguments.ARGUMENTS for name in one.__dataclass_fields__}
    if script == "finetuning/run_benchmarks.py":
        further = run_benchmarks.keys_of(*REGISTRY)
    return KeyParser(*TYPES[script], further=further)
