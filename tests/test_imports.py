"""Imports go one way, by folder: pure code below, scripts on top; distillation knows neither of the other stages."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STAGES = ("distillation", "finetuning", "benchmarks")
# Folders and door files of distillation, the lowest first. Those of one rank do not import each other.
RANKS = ({"config"}, {"text", "runs"}, {"losses", "hub", "demo"}, {"vocabularies"}, {"corpus", "models"})
RANKS += ({"objective", "evaluation", "teacher_cache", "sentences"}, {"student_trainer"}, {"trainer"}, {"assembly"})
RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}
OF_DISTILLATION_IN_FINETUNING = {"config", "text", "losses", "runs", "hub", "demo", "models"}
# Modules that stand on nothing but torch, the standard library, and each other; files are written by `runs.files`.
PURE = ("mapping", "token_pooling", "candidate_scores", "cross_vocabulary_kl", "sampled_predictions")
PURE = {f"distillation.vocabularies.{name}" for name in PURE}
PURE |= {"distillation.losses", "distillation.models.layer_groups"}
# A launched script has its folder on the path: such a file would replace the library, or its name says nothing.
BAD_NAMES = {"datasets", "evaluate", "tokenizers", "transformers", "torch", "accelerate", "onnx", "onnxruntime"}
BAD_NAMES |= {"onnx_model", "utils", "helpers"}  # ONNX Runtime's tools import one another by the first


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
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_module(name):
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").exists() or path.is_dir()


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_direction(path):
    stage, room, *_ = path.relative_to(ROOT).with_suffix("").parts
    own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for name in filter(is_module, imported(path)):
        its_stage, *inside = name.split(".")
        if its_stage not in STAGES or not inside:
            continue
        assert not inside[-1].startswith("run_") and inside != ["run"], f"{own} imports the script {name}"
        if stage == "distillation":
            assert its_stage == "distillation", f"{own} imports {name}"
            if room in RANK and inside[0] != room:
                assert RANK[inside[0]] < RANK[room], f"{own} imports {name}"
        if stage == "finetuning":
            assert its_stage != "benchmarks", f"{own} imports {name}"
            assert its_stage != "distillation" or inside[0] in OF_DISTILLATION_IN_FINETUNING, f"{own} imports {name}"


@pytest.mark.parametrize("name", sorted(PURE))
def test_the_mathematics_needs_only_torch(name):
    for other in imported(ROOT / (name.replace(".", "/") + ".py")):
        top = other.split(".")[0]
        assert top in {"torch", *STAGES, *sys.stdlib_module_names}, f"{name} imports {other}"
        if top in STAGES and is_module(other) and not (ROOT / other.replace(".", "/")).is_dir():
            assert other in PURE | {"distillation.runs.files"}, f"{name} imports {other}"


def test_no_file_or_folder_shadows_a_library():
    names = {part for path in modules() for part in path.relative_to(ROOT).with_suffix("").parts}
    assert not names & BAD_NAMES


def test_folders_are_small():
    """A reader takes in a dozen files at a glance. Scripts, recipes, and results may be more."""
    for folder in {path.parent for path in modules() if path.parent.parent != ROOT}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(files) <= 12, f"{folder.relative_to(ROOT)} has {len(files)} files"
    for path in modules():
        assert len(path.read_text("utf-8").splitlines()) <= 300, path
