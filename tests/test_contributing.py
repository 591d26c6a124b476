"""The examples of CONTRIBUTING.md are complete: put into a copy of the project, they do what it says."""

import gzip
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distillation import run
from distillation.runs.files import read_json

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`(\S+)`:\n```\w+\n(.*?)^```", PAGE, flags=re.S | re.M))
CHANGES = "".join(re.findall(r"^```diff\n(.*?)^```", PAGE, flags=re.S | re.M))
RECIPE = "distillation/recipes/four-layers.yaml"
FUZZED = "test_every_script_takes_part"


def follow(folder):
    """Do with a copy of the project what the page says."""
    for name, text in FILES.items():
        with open(folder / name, "x", encoding="utf-8") as file:
            file.write(text)
    for change in re.split(r"^--- ", CHANGES, flags=re.M)[1:]:
        name, hunks = change.split("\n", 1)
        path = folder / name
        text = path.read_text(encoding="utf-8")
        for hunk in re.split(r"^@@\n", hunks, flags=re.M):
            lines = hunk.splitlines(keepends=True)
            before, after = ("".join(line[1:] for line in lines if line[0] != sign) for sign in "+-")
            assert text.count(before) == 1, f"{name} has {text.count(before)} times\n{before}"
            text = text.replace(before, after)
        path.write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def project(tmp_path_factory, corpus_lines):
    """The project with all examples in it, and demo data in which half of the sentences are in alphabetical order."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("distillation", "finetuning", "benchmarks", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    follow(folder)
    demo, rows = folder / "finetuning" / "demo" / "rucola", enumerate(line.split(" ") for line in corpus_lines[:136])
    lines = [f'{n},"{" ".join(words if n % 2 else sorted(words))}",{n % 2}\n' for n, words in rows]
    demo.mkdir()
    for name, part in (("train", lines[:112]), ("dev", lines[112:])):
        text = "id,sentence,acceptable\n" + "".join(part)
        (demo / f"in_domain_{name}.csv.gz").write_bytes(gzip.compress(text.encode()))
    return folder


@pytest.fixture(scope="module")
def passed(project):
    """A function that asserts that a test passes there, of `contributed.py` or one that finds an example by itself."""
    files = ["contributed.py", "test_imports.py", "distillation/test_losses.py", "distillation/test_recipes.py"]
    files += ["finetuning/sets/test_registry.py", "test_fuzz.py"]
    words = [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider"]
    words += ["-k", f"huber or rucola or four-layers or {FUZZED}", *(f"tests/{name}" for name in files)]
    report = subprocess.run(words, cwd=project, capture_output=True, text=True).stdout

    def check(name):
        assert f"PASSED tests/{name}\n" in report, report

    return check


def test_examples_are_in_style(project):
    """What is copied from the page must pass `tests/run.sh`, which begins with these."""
    for words in (["check"], ["format", "--check"]):
        done = subprocess.run(["ruff", *words, "--no-cache", "."], cwd=project, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_recipe_runs(project, passed, teacher_folder, corpus_file, tmp_path):
    """By the command that it begins with."""
    test = "test_every_recipe_parses_and_begins_with_the_command_that_runs_it[four-layers]"
    passed(f"distillation/test_recipes.py::{test}")
    command = (project / RECIPE).read_text(encoding="utf-8").splitlines()[0]
    argv = command.removeprefix("# accelerate launch distillation/run.py ").split()
    argv[argv.index(RECIPE)], argv[argv.index("corpus.txt.gz")] = str(project / RECIPE), str(corpus_file)
    smaller = {"teacher_name_or_path": teacher_folder, "max_length": 32, "max_steps": 2, "use_cpu": "true"}
    run.main([*argv, *(f"--{key}={value}" for key, value in smaller.items()), f"--output_dir={tmp_path}"])
    results = read_json(tmp_path / "all_results.json")
    assert results["recipe"]["student_layers"] == 4 and results["train_cosine"] > 0
    assert "train_attention" not in results


@pytest.mark.parametrize(
    "name",
    [
        "contributed.py::test_huber_learns",
        "distillation/test_losses.py::test_gradient_by_finite_differences[huber_loss]",
        "distillation/test_losses.py::test_huber_by_hand",
        "distillation/test_losses.py::test_what_is_masked_does_not_matter[huber_loss]",
        "contributed.py::test_rucola_is_scored",
        "contributed.py::test_rucola_refuses_a_wrong_label_by_its_line",
        "finetuning/sets/test_registry.py::test_a_set_of_the_demo[rucola]",
        f"test_fuzz.py::{FUZZED}",
        "test_imports.py::test_direction[finetuning/sets/rucola.py]",
    ],
)
def test_a_term_and_a_task_pass_their_tests(passed, name):
    passed(name)
