"""Texts of a length, and an answer from a folder that was built for a measurement."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from benchmarks.timing.systems import System
from benchmarks.timing.texts import READERS, text_of, time_texts, write_tokenizer
from tests.benchmarks.tiny_models import SHAPE, lively


@pytest.fixture
def folder(tmp_path):
    """A function: a class of models -> a folder with such a model and a tokenizer."""

    def make(model_class):
        model = lively(model_class, BertConfig(vocab_size=300, max_position_embeddings=32, **SHAPE))
        model.save_pretrained(tmp_path)
        write_tokenizer(System("tiny", "tiny.yaml"), model, tmp_path)
        return tmp_path

    return make


@pytest.mark.parametrize("length", [12, 32])
@pytest.mark.parametrize("model_class", [BertForMaskedLM, BertForSequenceClassification])
def test_a_text_has_as_many_tokens_as_the_row_says(model_class, length, folder):
    """With a word to fill in, where the model does that."""
    model = READERS["torch"](folder(model_class), 1)
    text = text_of(model, length)
    encoding = model.tokenizer.encode(text)
    assert len(encoding) == length and not encoding.overflowing and len(set(text.split())) > 1
    answer = model(text)
    assert len(answer["masks"]) == 1 if model_class is BertForMaskedLM else answer["label"].startswith("LABEL_")


def test_the_time_of_an_answer(folder):
    found = time_texts("torch", folder(BertForSequenceClassification), 1, 16, 0.02)
    assert found.keys() == {f"text_{name}seconds" for name in ("", "p95_", "p99_", "cpu_")} | {"text_waited"}
    (median,), (late,), (latest,) = (found[f"text_{name}seconds"] for name in ("", "p95_", "p99_"))
    assert 0 < median <= late <= latest and torch.get_num_threads() == 1
