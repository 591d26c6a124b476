"""Vectors of texts are those of sentence-transformers, from a checkpoint and from an exported folder."""

import json
import shutil

import numpy as np
import onnxruntime
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoModel, BertConfig, BertForMaskedLM

from benchmarks.backends.registry import BACKENDS
from distillation.config.errors import UserError
from distillation.models.loading import save_pretrained
from distillation.models.tokenizer_file import save_tokenizer
from finetuning.deployed.bulk import load
from finetuning.deployed.checkpoint import VECTORS, Checkpoint, config_of, load_with_task
from finetuning.deployed.model import Model
from tests.benchmarks.tiny_models import lively

SHAPE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


@pytest.fixture(scope="module")
def masked_lm(tokenizer, tmp_path_factory):
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE)
    save_pretrained(lively(BertForMaskedLM, config), tokenizer, folder := tmp_path_factory.mktemp("masked_lm"))
    return folder


@pytest.fixture(scope="module")
def encoder(masked_lm, tmp_path_factory):
    """A folder of sentence-transformers that reads 24 tokens, and has all kinds of modules."""
    modules = [Transformer(str(masked_lm), max_seq_length=24), Pooling(16, "mean"), Dense(16, 5), Normalize()]
    SentenceTransformer(modules=modules).save(str(folder := tmp_path_factory.mktemp("encoder")))
    return folder


def test_vectors_are_those_of_the_library(encoder, corpus_lines):
    texts, model = ["", *corpus_lines[:20], " ".join(corpus_lines[:9])], Checkpoint(encoder)
    found = [answer["vector"] for answer in model.batch([(text,) for text in texts], batch_size=7)]
    np.testing.assert_allclose(found, SentenceTransformer(str(encoder), device="cpu").encode(texts), atol=1e-5)
    assert model.cut >= 1 and model.kind == "vector" and model.config["task"] == VECTORS


def test_the_encoder_of_a_masked_lm_gives_the_mean_of_its_states(masked_lm, corpus_lines):
    model, tokenizer, task = load_with_task(str(masked_lm), VECTORS)
    inputs = tokenizer(corpus_lines[:4], padding=True, return_tensors="pt")
    plain, vectors = AutoModel.from_pretrained(masked_lm).eval(), model(**inputs).sentence_embedding
    for line, vector in zip(corpus_lines[:4], vectors, strict=True):
        states = plain(**tokenizer(line, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(vector.detach(), states.mean(0).detach(), atol=1e-5)
    assert task == VECTORS and load_with_task(str(masked_lm))[2] == "fill-mask"


def test_an_exported_encoder_gives_states_first_and_vectors_behind(encoder, corpus_lines, tmp_path):
    """Other programs take the first output; `run_predict.py` finds the graph where the Hub has it, too."""
    model, tokenizer, task = load_with_task(str(encoder))
    sample = dict(tokenizer(corpus_lines[:2], padding=True, truncation=True, return_tensors="np"))
    (tmp_path / "onnx").mkdir()
    BACKENDS["onnx"].build(model, [sample], tmp_path)
    (tmp_path / "model.onnx").rename(graph := tmp_path / "onnx" / "model_quantized.onnx")
    save_tokenizer(tokenizer, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config_of(model, tokenizer, task)))
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_outputs()] == ["last_hidden_state", "sentence_embedding"]
    rows, alone = [(line,) for line in ["", *corpus_lines[:8], " ".join(corpus_lines[:9])]], load(str(tmp_path))
    found, right = ([one["vector"] for one in each.batch(rows)] for each in (alone, Checkpoint(encoder)))
    np.testing.assert_allclose(found, right, atol=1e-5)
    assert type(alone) is Model and alone.cut >= 1 and alone.config["pooling"] == "mean"


def test_a_text_that_the_library_would_change_is_refused(encoder, tmp_path):
    shutil.copytree(encoder, folder := tmp_path / "lower")
    (folder / "sentence_bert_config.json").write_text('{"max_seq_length": 24, "do_lower_case": true}')
    for path, message in (folder, "`do_lower_case`"), (tmp_path, "`model_name_or_path`"):
        with pytest.raises(UserError, match=message):
            load_with_task(str(path))
