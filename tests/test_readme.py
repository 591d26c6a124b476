"""What the README shows must exist: commands, options, files, and figures."""

import re
from pathlib import Path

import pytest
from transformers import TrainingArguments

from benchmarks import export
from distillation import run, run_evaluation, run_publish, run_teacher, run_vocabulary
from distillation.config.arguments import CardArguments, DataArguments
from finetuning import arguments
from finetuning.sets import collection3, paraphraser, rusentiment, russian_superglue

ARGUMENTS = (*arguments.ARGUMENTS, TrainingArguments)
ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
KEYS = {
    "distillation/run.py": (*run.ARGUMENTS, TrainingArguments),
    "distillation/run_teacher.py": (*run_teacher.ARGUMENTS, TrainingArguments),
    "distillation/run_vocabulary.py": (run_vocabulary.VocabularyArguments, DataArguments),
    "distillation/run_evaluation.py": (run_evaluation.EvaluationArguments, DataArguments),
    "distillation/run_publish.py": (run_publish.PublishArguments, CardArguments),
    "benchmarks/export.py": (export.ExportArguments,),
    "finetuning/run_rusentiment.py": (*ARGUMENTS, rusentiment.Options),
    "finetuning/run_paraphraser.py": (*ARGUMENTS, paraphraser.Options),
    "finetuning/run_collection3.py": (*ARGUMENTS, collection3.Options),
    "finetuning/run_sberquad.py": ARGUMENTS,
    "finetuning/run_russian_superglue.py": (*ARGUMENTS, russian_superglue.Options),
}


def commands():
    """Lines of the code blocks and of inline code that begin with a command, continued lines joined."""
    blocks = re.findall(r"```bash\n(.*?)```", README, flags=re.S) + re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", README)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [
        line.split("#")[0].strip()
        for line in lines
        if line.strip().startswith(("./", "tests/run", "python ", "accelerate "))
    ]


def test_the_two_commands_are_on_the_first_screen():
    assert README.index("./run_all.sh") < README.index("tests/run.sh") < 2500


def test_some_commands_are_found():
    assert len(commands()) >= 6


@pytest.mark.parametrize("command", commands())
def test_a_command_names_files_and_keys_that_exist(command):
    words = command.split()
    for word in words:
        if word.startswith(("./", "tests/", "distillation/", "finetuning/", "benchmarks/")):
            assert (ROOT / word).exists(), word
    script = next((word for word in words if word in KEYS), None)
    if script:
        known = {key for arguments in KEYS[script] for key in arguments.__dataclass_fields__} | {"config"}
        launched = words[words.index(script) :]
        assert {word.removeprefix("--") for word in launched if word.startswith("--")} <= known
    if words[0] == "./run_all.sh" and len(words) > 1:
        assert (ROOT / "distillation" / "recipes" / f"{words[1]}.yaml").exists()


def test_links_point_at_files():
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def tree():
    """The paths that the annotated tree names: what stands before the gap of a line, inside the folder above it."""
    folder = ""
    for line in ("distillation/" + README.split("```\ndistillation/")[1].split("```")[0]).splitlines():
        named = re.split(r"\s{2,}", line.strip())[0].split() if line.strip() else []
        if line and not line.startswith(" "):
            folder = named[0] if named[0].endswith("/") else ""
            yield from named
        else:
            yield from (folder + name for name in named)


def test_the_tree_names_what_exists():
    paths = list(tree())
    assert len(paths) > 20
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_module_is_in_the_tree():
    for path in [*(ROOT / "distillation").glob("*.py"), *(ROOT / "finetuning").glob("*.py")]:
        assert path.name in README or path.name == "__init__.py", path.name
