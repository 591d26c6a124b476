"""A sentence encoder of some of another's layers."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from transformers import BertConfig, BertModel, ModernBertConfig

from distillation.config.errors import UserError
from distillation.models.loading import save_pretrained
from distillation.models.sentence_encoder import (
    copy_modules,
    keep_layers,
    load_sentence_encoder,
    save_sentence_encoder,
    set_dropout_rate,
)

SHAPE = dict(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=16, pad_token_id=0)
TEXTS = ["Он пришёл домой", "Да"]


def saved(model, tokenizer, folder):
    save_pretrained(model, tokenizer, folder)
    return load_sentence_encoder(str(folder), "model_name_or_path")


def test_it_is_the_encoder_without_the_others(tokenizer, tmp_path):
    """By hand, from layers 2 and 4 of four; and saved, it is the same."""
    torch.manual_seed(0)
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **SHAPE), add_pooling_layer=False).eval()
    encoder = saved(model, tokenizer, tmp_path / "whole")
    keep_layers(encoder, 2, "student_layers")
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    states, read = model.embeddings(encoded["input_ids"]), encoded["attention_mask"][..., None]
    unread = (1.0 - read[:, None, None, :, 0]) * torch.finfo(torch.float32).min
    for layer in (1, 3):
        states = model.encoder.layer[layer](states, unread)
    expected = (states * read).sum(1) / read.sum(1)
    np.testing.assert_allclose(encoder.encode(TEXTS), expected.detach(), atol=1e-5)
    save_sentence_encoder(encoder, tmp_path / "half")
    again = load_sentence_encoder(str(tmp_path / "half"), "model_name_or_path")
    np.testing.assert_allclose(again.encode(TEXTS), expected.detach(), atol=1e-5)


@pytest.mark.parametrize("config", [BertConfig(**SHAPE), transformers.DistilBertConfig(dim=16, n_heads=2, n_layers=2)])
def test_without_dropout_training_is_as_evaluation(tokenizer, tmp_path, config):
    config.vocab_size = len(tokenizer)
    encoder = saved(transformers.AutoModel.from_config(config), tokenizer, tmp_path)
    set_dropout_rate(encoder, 0.0)
    encoded, encoder = encoder.preprocess(TEXTS), encoder.train()
    vectors = encoder(dict(encoded))["sentence_embedding"]
    torch.testing.assert_close(vectors, encoder.eval()(dict(encoded))["sentence_embedding"])


def test_dropout_that_is_no_module_goes_too():
    """T5's attention has a number."""
    config = transformers.T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2, dropout_rate=0.5)
    model = transformers.T5EncoderModel(config).train()
    set_dropout_rate(model, 0.0)
    inputs = {"input_ids": torch.arange(8)[None]}
    trained = model(**inputs).last_hidden_state
    torch.testing.assert_close(trained, model.eval()(**inputs).last_hidden_state)
    assert config.dropout_rate == 0.5


@pytest.mark.parametrize(
    ("config", "count", "message"),
    [
        (BertConfig(**SHAPE), 3, "divisor"),
        (ModernBertConfig(**SHAPE), 2, "ModernBertModel"),
        (transformers.AlbertConfig(**SHAPE, embedding_size=8), 2, "AlbertModel"),
        (transformers.T5Config(d_model=16, d_kv=8, d_ff=16, num_layers=4, num_heads=2), 2, "T5EncoderModel"),
    ],
)
def test_what_cannot_lose_layers_is_refused(config, count, message):
    model_class = transformers.T5EncoderModel if config.model_type == "t5" else transformers.AutoModel.from_config
    with pytest.raises(UserError, match=f"`student_layers`.*{message}"):
        keep_layers([SimpleNamespace(auto_model=model_class(config))], count, "student_layers")


def test_the_pooling_of_a_sentence_encoder_goes_along(tmp_path):
    """Without it the vectors would be others. No path of the file leads out of the folder."""
    source, output = tmp_path / "source", tmp_path / "output"
    for folder in (source / "1_Pooling", output, tmp_path / "2_Other"):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(folder.name)
    copy_modules(str(source), "key", output)
    assert [path.name for path in output.iterdir()] == ["config.json"]
    (source / "1_Pooling" / "folder").mkdir()
    (tmp_path / "other.json").touch()
    modules = [{"path": ""}, {"path": "1_Pooling"}, {"path": "../2_Other"}, {"path": ".."}]
    (source / "modules.json").write_text(json.dumps(modules))
    (source / "sentence_bert_config.json").write_text("{}")
    copy_modules(str(source), "key", output)
    written = {str(path.relative_to(output)) for path in output.rglob("*.json")}
    assert written == {"config.json", "modules.json", "sentence_bert_config.json", "1_Pooling/config.json"}
    assert (output / "config.json").read_text() == "output"
    (source / "modules.json").write_text('[{"name": "0"}]')
    with pytest.raises(UserError, match="`key` .*modules.json"):
        copy_modules(str(source), "key", output)


def test_an_encoder_reads_by_its_own_tokenizer_json(tokenizer, tmp_path):
    """The library would build the tokenizer of the model's type, whose normaliser is another."""
    folder = tmp_path / "encoder"
    saved(BertModel(BertConfig(vocab_size=len(tokenizer), **SHAPE)), tokenizer, folder)
    path = folder / "tokenizer.json"
    content = json.loads(path.read_text("utf-8"))
    content["normalizer"] = {"type": "Replace", "pattern": {"String": "да"}, "content": "нет"}
    path.write_text(json.dumps(content), "utf-8")
    encoder = load_sentence_encoder(str(folder), "model_name_or_path")
    assert encoder.tokenizer("да")["input_ids"] == encoder.tokenizer("нет")["input_ids"]
    assert np.allclose(*encoder.encode(["да", "нет"]))


def test_one_in_half_precision_trains_in_fp32(tokenizer, tmp_path):
    """Half precision would lose small updates."""
    model = BertModel(BertConfig(vocab_size=len(tokenizer), **SHAPE)).to(torch.bfloat16)
    encoder = saved(model, tokenizer, tmp_path / "bare")
    save_sentence_encoder(encoder.to(torch.bfloat16), tmp_path / "whole")
    for folder in ("bare", "whole"):
        again = load_sentence_encoder(str(tmp_path / folder), "model_name_or_path")
        assert {weight.dtype for weight in again.parameters()} == {torch.float32}
