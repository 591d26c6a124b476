"""A trimmed model computes what it computed: every head, tied or not, in its own dtype."""

import pytest
import torch
import transformers
from transformers import BertConfig

from distillation.config.errors import UserError
from distillation.models.loading import load_as_saved, save_pretrained
from distillation.models.vocabulary_rows import keep_rows, load_trimmable

KEPT = [0, 2, 3, 5, 6, 9, 20, 31, 32, 39]
SHAPE = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=40)
MODELS = {
    "BertForMaskedLM": {},
    "BertForPreTraining": {"tie_word_embeddings": False},
    "RobertaForMaskedLM": {"pad_token_id": 0},
    "AlbertForMaskedLM": {"embedding_size": 8},
    "ModernBertForMaskedLM": {"pad_token_id": 2},
    "BertForTokenClassification": {"num_labels": 40},
    "DistilBertForSequenceClassification": {"id2label": {0: "да", 1: "нет"}},
    "BertModel": {},
}


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_states_are_equal_and_logits_are_those_of_the_kept_tokens(name):
    model_class = getattr(transformers, name)
    torch.manual_seed(0)
    special = dict.fromkeys(("bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 3)
    model = model_class(model_class.config_class(**{**SHAPE, **special, **MODELS[name]})).double().eval()
    for parameter in model.parameters():
        parameter.normal_()  # biases, too
    smaller = keep_rows(model, KEPT)
    assert smaller.dtype == torch.float64 and smaller.config.vocab_size == 10 and model.config.vocab_size == 40
    assert smaller.config.id2label == model.config.id2label and smaller.config.eos_token_id == 2
    inputs = torch.randint(len(KEPT), (3, 7), generator=torch.Generator().manual_seed(0))
    before, after = (
        model(torch.tensor(KEPT)[inputs], output_hidden_states=True),
        smaller(inputs, output_hidden_states=True),
    )
    assert all(torch.equal(a, b) for a, b in zip(before.hidden_states, after.hidden_states, strict=True))
    for field, a, b in ((f, before[f], after[f]) for f in before if f.endswith("logits")):
        wanted = a[..., KEPT] if a.shape[-1] != b.shape[-1] else a
        torch.testing.assert_close(b, wanted, rtol=1e-12, atol=1e-12, msg=field)
    ties = [set(one.all_tied_weights_keys) for one in (model, smaller)]
    assert ties[0] == ties[1] and len({p.data_ptr() for p in smaller.parameters()}) == len({*model.parameters()})


def test_a_model_that_does_not_read_a_text_alone_is_refused(tokenizer, tmp_path):
    """Before anything is written: it is timed beside the trimmed one."""
    config = transformers.T5Config(vocab_size=len(tokenizer), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    save_pretrained(transformers.T5ForConditionalGeneration(config), tokenizer, tmp_path)
    with pytest.raises(UserError, match="`model` .* does not read a text alone"):
        load_trimmable(str(tmp_path), "model")


def test_rows_beyond_the_tokenizer_go_too():
    """Vocabularies are padded to a multiple of 64, without a word about it."""
    model = transformers.BertForMaskedLM(BertConfig(**SHAPE | {"vocab_size": 64}))
    assert (
        keep_rows(model, KEPT).num_parameters()
        == keep_rows(transformers.BertForMaskedLM(BertConfig(**SHAPE)), KEPT).num_parameters()
    )


def test_an_encoder_that_was_saved_without_a_pooler_gets_none(tmp_path):
    """A sentence encoder is; a random one would look like a trained one."""
    transformers.BertModel(BertConfig(**SHAPE), add_pooling_layer=False).save_pretrained(tmp_path)
    smaller = keep_rows(load_as_saved(str(tmp_path), "model_name_or_path"), KEPT)
    assert not any("pooler" in name for name in smaller.state_dict())
    assert smaller(torch.tensor([[1, 2]])).last_hidden_state.shape == (1, 2, 16)


def test_a_config_without_a_class_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(UserError, match="`architectures`"):
        load_trimmable(str(tmp_path), "model_name_or_path")


QUANTISED = '{"model_type": "bert", "quantization_config": {"quant_method": "gptq"}}'


@pytest.mark.parametrize(("file", "text"), [("adapter_config.json", "{}"), ("config.json", QUANTISED)])
def test_adapters_and_quantised_checkpoints_are_refused(tmp_path, file, text):
    (tmp_path / file).write_text(text)
    with pytest.raises(UserError, match="adapter|quantised"):
        load_trimmable(str(tmp_path), "model_name_or_path")
