"""Vectors are those of a text alone, whatever stands beside it; words are the means of their tokens."""

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from distillation.config.errors import UserError
from distillation.models.loading import load_tokenizer, save_pretrained
from finetuning.encodechka.encoders import HASHING, Hashing, load, load_random

TEXTS = ["Он пришёл домой поздно вечером.", "Да.", "Она ушла"]


@pytest.fixture(scope="module")
def encoder(teacher_folder):
    return load(str(teacher_folder))


def states_of(encoder, **inputs):
    return encoder.run(inputs)[0][0].numpy()


def test_both_ways_of_pooling(encoder):
    found = encoder.sentences(TEXTS)
    assert found.keys() == {"cls", "mean"}
    for row, text in enumerate(TEXTS):  # without padding
        states = states_of(encoder, **encoder.tokenizer(text, return_tensors="pt"))
        for way, own in (("cls", states[0]), ("mean", states.mean(0))):
            np.testing.assert_allclose(found[way][row], own, atol=1e-5)


def test_a_word_is_the_mean_of_its_tokens(encoder):
    texts = [["Да"], ["поздно", "вечером", "он"]]
    found = encoder.words(texts)
    encoded = encoder.tokenizer(texts[1], is_split_into_words=True, return_tensors="pt")
    states, words = states_of(encoder, **encoded), encoded.word_ids()
    assert len(found) == 4 and words.count(0) > 1
    for number in range(3):
        own = states[[word == number for word in words]].mean(0)
        np.testing.assert_allclose(found[1 + number], own, atol=1e-5)


def test_words_behind_the_end_are_zeros(encoder):
    found = encoder.words([["да"] * 100])
    assert len(found) == 100 and found[0].any() and not found[99].any()


def test_an_exported_folder_gives_the_same_vectors(encoder, exported_folder):
    exported = load(str(exported_folder))
    expected, found = encoder.sentences(TEXTS), exported.sentences(TEXTS)
    np.testing.assert_allclose(found["own"], expected["mean"], atol=1e-4)
    np.testing.assert_allclose(found["cls"], expected["cls"], atol=1e-4)
    np.testing.assert_allclose(exported.words([["Да", "нет"]]), encoder.words([["Да", "нет"]]), atol=1e-4)


@pytest.mark.parametrize("sharded", [False, True])
def test_a_checkpoint_with_an_exported_copy_is_scored_itself(teacher_folder, tmp_path, sharded):
    folder = tmp_path / "published"
    BertModel.from_pretrained(teacher_folder).save_pretrained(folder, max_shard_size="20KB" if sharded else "1GB")
    load_tokenizer(str(teacher_folder), "model").save_pretrained(folder)
    (folder / "onnx").mkdir()
    (folder / "onnx" / "model_quantized.onnx").write_bytes(b"")
    assert load(str(folder)).parameters > 0


def test_a_pooler_is_tried_if_the_checkpoint_has_one(tokenizer, tmp_path):
    """The board tries it. With random weights it would have another score each time."""
    torch.manual_seed(0)
    shape = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    model = BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **shape)).eval()
    save_pretrained(model, tokenizer, tmp_path / "with")
    without = {name: weight for name, weight in model.state_dict().items() if "pooler" not in name}
    save_pretrained(model, tokenizer, tmp_path / "without", state_dict=without)
    found = load(str(tmp_path / "with")).sentences(TEXTS)
    with torch.inference_mode():
        expected = model(**tokenizer(TEXTS[0], return_tensors="pt")).pooler_output[0].numpy()
    np.testing.assert_allclose(found["pooler"][0], expected, atol=1e-5)
    assert load(str(tmp_path / "without")).sentences(TEXTS).keys() == {"cls", "mean"}


def test_random_weights_are_the_same_each_time(encoder, teacher_folder):
    first, second = (load_random(str(teacher_folder)).sentences(TEXTS)["mean"] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert not np.allclose(first, encoder.sentences(TEXTS)["mean"], atol=0.1)


@pytest.mark.parametrize("name", HASHING)
def test_hashing_gives_vectors_of_length_one(name):
    found = Hashing(HASHING[name]).sentences(TEXTS)["hashing"]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 1, 1], atol=1e-6)


def test_what_is_no_encoder_is_refused(tmp_path):
    with pytest.raises(UserError, match="model_name_or_path"):
        load(str(tmp_path))
