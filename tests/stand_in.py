"""A stand-in for Python, to test shell scripts: it writes down each command, and leaves what a finished run leaves."""

import functools
import importlib
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import pytest

from distillation.config.command_line import KeyParser

ROOT = Path(__file__).resolve().parents[1]
TEXT = """#!/bin/bash
[ "$1" != -c ] || exec {python} "$@"
IFS=$'\\t'
echo "$*" >>{commands}
unset IFS
[[ "$*" != *export.py* ]] || exported=export.json
echo "| a table |"
while [ $# -gt 0 ]; do
    if [ "$1" = --output_dir ]; then
        [ -d "$2" ] || mkdir -p "$2"
        for file in config.json vocabulary.json $exported; do echo '{{}}' >"$2/$file"; done
        echo '{{"train_seconds": 1, "steps": 1}}' >"$2/all_results.json"
        echo '{{"failed": []}}' >"$2/benchmarks.json"
        echo "| a table |" >"$2/quality.md"
    elif [ "$1" = --config ]; then
        for folder in $(sed -n 's/^output_dir: //p' "$2"); do
            mkdir -p "$folder"
            echo '{{}}' >"$folder/config.json"
        done
    elif [ "$1" = --output ]; then
        echo '{{}}' >"$2"
    fi
    shift
done
"""


class StandIn:
    """`python` and `accelerate` in a folder of programs, and the commands that they were given."""

    def __init__(self, folder: Path):
        self.commands, self.programs = folder / "commands", folder / "programs"
        self.programs.mkdir()
        self.write(TEXT.format(python=sys.executable, commands=self.commands))

    def write(self, text: str) -> None:
        self.text = text
        for name in ("python", "accelerate"):
            (self.programs / name).write_text(text)
            (self.programs / name).chmod(0o755)

    def run(self, *call: str | Path) -> list[list[str]]:
        """Of each command that a shell script gives, the script of this project and its words; raises
        CalledProcessError if the script fails."""
        self.commands.write_text("")
        environment = os.environ | {"PATH": f"{self.programs}:{os.environ['PATH']}"}
        subprocess.run(call, env=environment, check=True, capture_output=True, text=True)
        lines = [line.split("\t") for line in self.commands.read_text(encoding="utf-8").splitlines()]
        return [words[words.index(next(word for word in words if word.endswith(".py"))) :] for words in lines]


def check(script: str, words: list[str]) -> None:
    """Raise UserError for a command that its script would refuse: a key, a choice, a type, or a path."""
    parser_of(script.removesuffix(".py").replace("/", ".")).parse(words)


class Made(Exception):
    """Carries a parser out of the script that made it."""


@functools.cache
def parser_of(name: str) -> KeyParser:
    """The parser of the keys of a script such as `distillation.run`."""

    def parse(parser: KeyParser, words: list[str]) -> None:
        raise Made(parser)

    main = importlib.import_module(name).main
    with mock.patch.object(KeyParser, "parse", parse), pytest.raises(Made) as made:
        main.__wrapped__([])
    return made.value.args[0]
