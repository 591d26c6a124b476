"""Every recipe parses, names keys that exist, and describes the model that was published."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from transformers import BertConfig, BertForMaskedLM

from distillation import run, run_sentences, run_teacher
from distillation.config.recipe import parse_recipe
from distillation.models.shapes import build_student, check_shape

RECIPES = sorted(Path(run.__file__).parent.glob("recipes/**/*.yaml"))
STUDENTS = [path for path in RECIPES if path.stem not in ("demo-teacher", "tiny-5k-sentences")]
LAUNCHES = sorted(Path(run.__file__).parent.glob("launch/*.yaml"))
PUBLISHED = {
    "distilrubert-base-cased-conversational": 135_445_755,
    "distilrubert-small-cased-conversational": 107_094_267,
    "distilrubert-tiny-cased-conversational-v1": 10_394_898,
    "distilrubert-tiny-cased-conversational-5k": 3_631_568,  # the published 5,031 tokens would make 3,639,783
    "tiny-5k": 3_631_568,
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Beside a folder `outputs`, which ./run_all.sh leaves, a recipe's `outputs/vocabulary-5000` has to be there."""
    monkeypatch.chdir(tmp_path)


def arguments_of(path):
    keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    types = run_teacher.ARGUMENTS if "vocab_size" in keys else run.ARGUMENTS
    types = run_sentences.ARGUMENTS if path.stem.endswith("sentences") else types
    return parse_recipe(*types, argv=["--config", str(path), "--use_cpu", "true"], training=True)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_parses_and_begins_with_the_command_that_runs_it(path):
    assert arguments_of(path)
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# ") and f"--config distillation/recipes/{path.name}" in first


@pytest.mark.parametrize("path", STUDENTS, ids=lambda path: path.stem)
def test_every_student_fits_its_teacher(path):
    """A recipe that parses may still ask for heads that do not divide the width, or layers that form no groups."""
    model_args, *_, objective = arguments_of(path)[:4]
    shape = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512)
    teacher = BertConfig(**shape) if model_args.teacher_name_or_path == "demo" else BertConfig()
    check_shape(model_args, objective, teacher)


@pytest.mark.parametrize("path", LAUNCHES, ids=lambda path: path.stem)
def test_accelerate_reads_every_launch_file(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    assert load_config_from_file(str(path)) and f"--config_file distillation/launch/{path.name}" in first


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_parameter_counts(name):
    """To the last parameter. The folder of a smaller vocabulary has its size in its name."""
    model_args, _, _, objective, *_ = arguments_of(next(path for path in RECIPES if path.stem == name))
    model_args.student_initialisation = "random"
    smaller = model_args.student_vocabulary
    vocabulary = smaller and SimpleNamespace(student_size=int(smaller.split("-")[-1]))
    with torch.device("meta"):
        teacher = BertForMaskedLM(BertConfig(vocab_size=119_547))
        student = build_student(model_args, objective, teacher, SimpleNamespace(pad_token_id=0), vocabulary=vocabulary)
    assert teacher.num_parameters() == 177_974_523
    assert student.num_parameters() == PUBLISHED[name]
