"""A tiny masked LM, each backend's file of it, and a machine that is measured in a moment."""

import functools

import pytest
from transformers import BertConfig, BertForMaskedLM

from benchmarks.backends.quantization import quantize_onnx
from benchmarks.backends.registry import BACKENDS
from benchmarks.timing import roofline
from tests.benchmarks.tiny_models import LAYER, POSITIONS, SHAPE, VOCABULARY, batch, lively


@pytest.fixture
def small_machine(monkeypatch):
    monkeypatch.setattr(roofline, "SIDE", 64)
    monkeypatch.setattr(roofline, "COPIED", 2**16)


@pytest.fixture(scope="session")
def masked_lm():
    """A BERT whose projection shares its table of tokens."""
    sizes = dict(vocab_size=VOCABULARY, max_position_embeddings=POSITIONS, **SHAPE | LAYER)
    return lively(BertForMaskedLM, BertConfig(**sizes))


@pytest.fixture(scope="session")
def held_out(corpus_lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "held_out.txt"
    path.write_text("\n".join(corpus_lines[:60]), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def built(masked_lm, tmp_path_factory):
    """A function: backend -> folder with its file of `masked_lm`, made once."""

    @functools.cache
    def build(name):
        folder = tmp_path_factory.mktemp(name)
        if name == "onnx-int8":  # an export takes seconds
            quantize_onnx(build("onnx") / "model.onnx", folder / "model.onnx")
        else:
            BACKENDS[name].build(masked_lm, [batch((9, 16), seed=seed) for seed in range(16)], folder)
        return folder

    return build
