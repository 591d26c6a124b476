"""Imports go one way: pure tensor code below, scripts on top, and distillation knows neither of the other stages."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("distillation", "finetuning", "benchmarks")
# Modules that stand on nothing but torch, the standard library, and each other.
PURE = ("losses", "layers", "alignment", "positions", "candidates", "vocabulary_kl")
# Each may import those before it.
ORDER = [
    "losses",
    "layers",
    "alignment",
    "positions",
    "candidates",
    "vocabulary_kl",
    "student",
    "teacher",
    "objective",
]
ORDER += ["sealing", "agreement", "watch", "resumable"]
ORDER += ["student_trainer", "trainer", "assembly", "publish", "resumption"]
OF_DISTILLATION_IN_FINETUNING = {"recipe", "demo", "checkpoint", "sampler", "arguments", "agreement", "resumable"}
OF_DISTILLATION_IN_FINETUNING |= {"resumption", "results", "publish", "hub", "card"}


def modules():
    return [path for stage in STAGES for path in sorted((ROOT / stage).rglob("*.py"))]


def imported(path):
    """Absolute names of the modules that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the direction"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module in STAGES)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_direction(path):
    stage, own = path.relative_to(ROOT).parts[0], path.stem
    for name in imported(path):
        parts = name.split(".")
        if parts[0] not in STAGES or len(parts) < 2:
            assert parts[0] in {"torch", *sys.stdlib_module_names} or own not in PURE, f"{own} imports {name}"
            continue
        assert not parts[1].startswith("run"), f"{path.name} imports the script {name}"
        if stage == "distillation":
            assert parts[0] == "distillation", f"{path.name} imports {name}"
        if stage == "finetuning" and parts[0] == "distillation":
            assert parts[1] in OF_DISTILLATION_IN_FINETUNING, f"{path.name} imports {name}"
        if own in PURE:
            assert parts[1] in PURE, f"{own} imports {name}"
        if stage == "distillation" and own in ORDER and parts[1] in ORDER:
            assert ORDER.index(parts[1]) < ORDER.index(own), f"{own} imports {name}"


def test_no_module_shadows_a_library():
    """A launched script has its own folder on the path: `datasets.py` beside it would replace the library."""
    names = {path.stem for path in modules()}
    assert not names & {
        "datasets",
        "evaluate",
        "tokenizers",
        "transformers",
        "torch",
        "accelerate",
        "onnx_model",  # ONNX Runtime's tools import one another so
        "utils",
        "helpers",
    }
