"""What is measured: the published shapes to the last parameter."""

import json

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from benchmarks.timing.systems import HEADS, SYSTEMS, System, shape, systems
from distillation.config.errors import UserError
from tests.benchmarks.tiny_models import SHAPE, lively

PARAMETERS = [177_974_523, 11_814_356, 29_278_220, 135_445_755, 107_094_267, 3_631_568, 10_394_898]
TINY = json.dumps({"model_type": "bert", "vocab_size": 100, **SHAPE})
STUDENT = "teacher_name_or_path: x/rubert-tiny\nstudent_layers: 2\nstudent_vocabulary: some/words"


@pytest.fixture
def system(tmp_path):
    """A function: text -> the system of a YAML file of it."""
    path = tmp_path / "one.yaml"
    return lambda text: path.write_text(text) and System("one", str(path))


@pytest.mark.parametrize(("path", "parameters"), zip(SYSTEMS, PARAMETERS, strict=True), ids=str)
def test_published_parameters(path, parameters):
    model = System("one", path).skeleton("masked-lm")
    assert model.num_parameters() == parameters and model.device.type == "meta" and not model.training


def test_names():
    sources = ["outputs/a/", "x/b", "y/b", "shapes/c.yaml"]
    assert systems(sources) == list(zip(["a", "x/b", "y/b", "c"], sources, strict=True))


@pytest.mark.parametrize("head", HEADS)
def test_weights(system, head, tmp_path):
    """Random ones are the same in each process. Trained ones are in fp32, whatever the file has, with any head."""
    one, two = (system(TINY).load(head) for _ in range(2))
    assert not one.training and one.num_parameters() == system(TINY).skeleton(head).num_parameters()
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    model = lively(BertForMaskedLM, BertConfig(vocab_size=100, **SHAPE))
    model.bfloat16().save_pretrained(tmp_path)
    loaded = System("one", str(tmp_path)).load(head)
    assert torch.equal(loaded.get_input_embeddings().weight, model.get_input_embeddings().weight.float())
    assert isinstance(loaded, BertForMaskedLM) == (head == "masked-lm")


def test_what_a_recipe_says_and_what_it_leaves_to_the_teacher(system):
    config = shape(system(STUDENT + "-700").source)
    assert (config.n_layers, config.dim, config.n_heads, config.hidden_dim) == (2, 312, 12, 600)
    assert (config.vocab_size, config.max_position_embeddings) == (700, 512)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("student_layers: 2", "names no `teacher_name_or_path`"),
        (STUDENT, "'some/words'.*must end in its size"),
        ("model_type: nonsense", "describes no model.*nonsense"),
        ("{model_type: bert, hidden_size: 10}", "has no head for encoder: .*10"),
    ],
)
def test_files_that_describe_no_model(system, text, message):
    with pytest.raises(UserError, match=message):
        system(text).skeleton("encoder")
