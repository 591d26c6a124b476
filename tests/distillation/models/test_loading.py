"""Checkpoints of any stage: what is loaded is trained and fits; `tests/fuzz/checkpoints.py` has many more bad ones."""

import copy
import json
import os
import shutil
import unicodedata

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoModelForSequenceClassification, AutoTokenizer

from distillation.config.errors import UserError
from distillation.models import loading
from distillation.models.tokenizer_file import save_tokenizer

SMALL = dict(hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, pad_token_id=0)
# The config, and a conftest tokenizer of the kind that the architecture has. All of them read 48 tokens.
ARCHITECTURES = {
    "Bert": (SMALL | {"max_position_embeddings": 48}, "tokenizer"),
    "DistilBert": (dict(dim=16, n_layers=2, n_heads=2, hidden_dim=24, max_position_embeddings=48), "tokenizer"),
    "Roberta": (SMALL | {"max_position_embeddings": 49}, "byte_tokenizer"),  # the first stands for padding
    "ModernBert": (SMALL | {"max_position_embeddings": 48}, "byte_tokenizer"),
}


@pytest.fixture
def make_checkpoint(tmp_path, request):
    def make(architecture="Bert", head="ForMaskedLM", **config):
        known, name = ARCHITECTURES[architecture]
        tokenizer = request.getfixturevalue(name)
        model_class = getattr(transformers, f"{architecture}{head}")
        config = model_class.config_class(**known | {"vocab_size": len(tokenizer)} | config)
        loading.save_pretrained(model_class(config), tokenizer, tmp_path / "checkpoint")
        return tmp_path / "checkpoint"

    return make


def refused(match, load, *arguments):
    with pytest.raises(UserError, match=match) as caught:
        load(*arguments)
    assert "\n" not in str(caught.value)


def classifier(folder, key="model", random_weights=False):
    return loading.load_with_head(AutoModelForSequenceClassification, str(folder), key, "abc", random_weights)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_and_inputs_are_those_that_the_model_has(make_checkpoint, architecture):
    """Longer texts would ask for positions that are none. RoBERTa counts its positions from the padding."""
    folder = make_checkpoint(architecture)
    model = classifier(folder)
    tokenizer = loading.load_tokenizer_of(model, str(folder), "model")
    assert loading.position_count(model) == tokenizer.model_max_length == 48
    assert ("token_type_ids" in tokenizer.model_input_names) == (architecture == "Bert")


def test_the_encoder_is_loaded_and_the_head_is_named(make_checkpoint):
    folder = make_checkpoint(problem_type="multi_label_classification")  # with a chance of its own for each label
    model, saved = classifier(folder), load_file(folder / "model.safetensors")
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"} and model.config.label2id == {"a": 0, "b": 1, "c": 2}
    assert model.config.problem_type is None and not model.training
    encoder = {name: weight for name, weight in model.state_dict().items() if name in saved}
    assert len(encoder) > 20 and all(torch.equal(weight, saved[name]) for name, weight in encoder.items())
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(classifier(folder, random_weights=True).state_dict()[name], saved[name])


def test_a_head_that_fits_is_loaded_and_one_of_another_task_replaced(make_checkpoint, tmp_path):
    three, folder = classifier(make_checkpoint()), str(tmp_path / "three")
    three.save_pretrained(folder)
    assert torch.equal(classifier(folder).classifier.weight, three.classifier.weight)
    ends = loading.load_with_head(transformers.AutoModelForQuestionAnswering, folder, "model", ())
    assert ends.qa_outputs.weight.shape == (2, 16)
    assert loading.load_trained(AutoModelForSequenceClassification, folder, "teacher").num_labels == 3
    assert loading.load_as_saved(folder, "model", ("ForSequenceClassification",)).num_labels == 3


def test_weights_are_single_precision_and_outputs_that_nobody_reads_are_off(make_checkpoint):
    """A distilled model's config may ask for them, and every user pays; in bf16 an optimiser loses its steps."""
    folder = make_checkpoint(output_attentions=True, output_hidden_states=True, attn_implementation="eager")
    AutoModelForMaskedLM.from_pretrained(folder, attn_implementation="eager").bfloat16().save_pretrained(folder)
    masked_lm = loading.load_masked_lm(str(folder), "key")
    as_saved = loading.load_as_saved(str(folder), "key")
    for model in (masked_lm, as_saved, classifier(folder), classifier(folder, random_weights=True)):
        assert model.dtype == torch.float32
        assert not model.config.output_attentions and not model.config.output_hidden_states


def test_saved_files_are_readable_as_the_umask_says(teacher_folder, tmp_path):
    """safetensors writes weights for their owner alone: a server under another account could not read the model."""
    before = os.umask(0o027)
    try:
        model = loading.load_masked_lm(str(teacher_folder), "key")
        loading.save_pretrained(model, AutoTokenizer.from_pretrained(teacher_folder), tmp_path / "saved")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "saved").iterdir()}
    assert "model.safetensors" in modes and set(modes.values()) == {0o640}


def test_the_last_call_is_not_saved(tokenizer, tmp_path):
    """Saved, its truncation and padding would cut the texts of those who open the file without transformers."""
    tokenizer(["да", "он идёт домой"], truncation=True, max_length=3, padding="max_length")
    save_tokenizer(tokenizer, tmp_path)
    saved = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert saved.truncation is None and saved.padding is None


@pytest.mark.parametrize("head", ["Model", "ForSequenceClassification"])
def test_a_masked_lm_without_a_trained_head_is_refused(head, make_checkpoint):
    """transformers would draw the head at random and warn; a student would learn noise for days."""
    folder, heads = str(make_checkpoint(head=head)), ("Masked", "Tok")
    refused("`teacher`.*lacks trained weights for.*run_teacher.py", loading.load_masked_lm, folder, "teacher")
    refused(f"`model`.* is a Bert{head}: give a model Masked, Tok", loading.load_as_saved, folder, "model", heads)


def test_a_model_that_generates_is_no_masked_lm(tmp_path):
    """transformers counts BART among the masked LMs: it would fail later, with a traceback."""
    shape = dict(d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2)
    transformers.BartForConditionalGeneration(transformers.BartConfig(**shape, vocab_size=9)).save_pretrained(tmp_path)
    refused("`teacher`.* is not a masked language model", loading.load_masked_lm, str(tmp_path), "teacher")


def test_encoder_weights_that_are_missing_or_of_another_shape(make_checkpoint):
    folder = make_checkpoint()
    weights = load_file(folder / "model.safetensors")
    edit(folder / "config.json", max_position_embeddings=40)
    refused("`model`.*lacks trained weights for bert.embeddings.position_embeddings", classifier, folder)
    refused("`key`.*position_embeddings.weight .of the shape that its", loading.load_masked_lm, str(folder), "key")
    edit(folder / "config.json", max_position_embeddings=48)
    part = {name: weight for name, weight in weights.items() if "layer.1.output" not in name}
    save_file(part, folder / "model.safetensors", {"format": "pt"})
    refused("`model`.*lacks trained weights for bert.encoder.layer.1.output", classifier, folder)


def test_no_code_of_a_checkpoint_is_run(make_checkpoint, monkeypatch):
    """transformers would ask on standard input, and somebody says yes."""
    folder = make_checkpoint()
    edit(folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    refused("`model`", classifier, folder)
    assert not (folder / "ran").exists()


def test_tokenizers_that_do_not_serve(make_checkpoint, monkeypatch):
    folder = make_checkpoint()
    model, saved = classifier(folder), folder.with_name("saved")
    larger = AutoTokenizer.from_pretrained(folder)
    larger.add_tokens(["новое", "слово"])
    larger.save_pretrained(saved)
    refused("`model`.*has 302 tokens, its model only 300", loading.load_tokenizer_of, model, str(saved), "model")
    transformers.PreTrainedTokenizerFast(tokenizer_object=larger.backend_tokenizer).save_pretrained(saved)
    refused("`model`.*no pad_token", loading.load_tokenizer_of, model, str(saved), "model")
    shutil.rmtree(saved)
    model.save_pretrained(saved)
    refused("`model`.*tokenizer", loading.load_tokenizer_of, model, str(saved), "model")
    monkeypatch.setattr("transformers.tokenization_utils_tokenizers.TokenizersBackend.is_fast", False, raising=False)
    refused("`teacher`.*slow tokenizer", loading.load_tokenizer, str(folder), "teacher")


def test_padding_that_positions_are_counted_from_must_be_one(make_checkpoint):
    """RoBERTa would read every position one off."""
    folder = str(make_checkpoint("Roberta", pad_token_id=1))
    refused("has padding token 0 in its .* 1 in its", loading.load_tokenizer_of, classifier(folder), folder, "model")


@pytest.mark.parametrize("architecture", ["Bert", "Roberta"])
def test_decomposed_letters_are_read_as_composed_ones(make_checkpoint, architecture):
    """As и and a breve, й is an unknown token. Offsets count the text as it is; a saved tokenizer does so again."""
    folder = make_checkpoint(architecture)
    model = AutoModelForMaskedLM.from_pretrained(folder)
    text, letters = unicodedata.normalize("NFD", "йог и ёж"), "йог и ёж"
    for _ in range(2):
        tokenizer = loading.load_tokenizer_of(model, str(folder), "model")
        read = tokenizer(text, return_offsets_mapping=True)
        assert read["input_ids"] == tokenizer(letters)["input_ids"]
        assert max(end for _, end in read["offset_mapping"]) == len(text) == 10
        assert repr(tokenizer.backend_tokenizer.normalizer).count("NFC") == 1
        save_tokenizer(tokenizer, folder)
    assert Tokenizer.from_file(str(folder / "tokenizer.json")).encode(text).ids == read["input_ids"]
    for texts in ([text], [text, "йог"]):  # as whoever loads it without this project; pairs have segments
        assert AutoTokenizer.from_pretrained(folder)(*texts)["input_ids"] == tokenizer(*texts)["input_ids"]
        assert AutoTokenizer.from_pretrained(folder)(*texts).keys() == tokenizer(*texts).keys()


@pytest.mark.parametrize("names", ["LayerNorm.gamma", "no prefix"])
def test_weights_are_saved_by_the_names_that_the_model_has(names, make_checkpoint, tmp_path):
    """transformers writes the names of the checkpoint that a model came from: a Trainer that loads its own checkpoint
    lost its layer norms (bert-base, early RuBERT), or ended (a checkpoint of an encoder alone)."""
    folder = make_checkpoint(head="ForMaskedLM" if "gamma" in names else "Model")
    weights = load_file(folder / "model.safetensors")
    if "gamma" in names:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        for new, name in old.items():
            weights = {key.replace(new, name): weight for key, weight in weights.items()}
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert any("gamma" in name or name.startswith("encoder.") for name in weights)
    model = classifier(folder)
    loading.save_pretrained(model, AutoTokenizer.from_pretrained(folder), tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert set(saved) == set(model.state_dict()) and set(classifier(tmp_path / "saved").state_dict()) == set(saved)


@pytest.mark.parametrize("head", ["ForMaskedLM", "Model"])
def test_weights_inside_layers_that_nothing_reads(head, make_checkpoint, caplog):
    """transformers 5 has no relative positions of BERT and drops their weights; a config may have too few layers."""
    folder = make_checkpoint(head=head)
    path, prefix = folder / "model.safetensors", "bert." if head == "ForMaskedLM" else ""
    weights = load_file(path)
    harmless = {name: torch.ones(2) for name in (f"{prefix}embeddings.position_ids", "cls.seq_relationship.bias")}
    save_file(weights | harmless, path, {"format": "pt"})
    classifier(folder)
    assert not caplog.messages
    save_file(weights | {f"{prefix}embeddings.segments.weight": torch.ones(2)}, path, {"format": "pt"})
    classifier(folder)
    assert "the model does not use its weights" in caplog.text and "embeddings.segments" in caplog.text
    save_file(weights, path, {"format": "pt"})
    edit(folder / "config.json", num_hidden_layers=1)
    refused("`model`.* has 16 weights in .*encoder.layer.1.*mend the number of layers", classifier, folder)
    edit(folder / "config.json", num_hidden_layers=2)
    name = f"{prefix}encoder.layer.0.attention.self.distance_embedding.weight"
    save_file(weights | {name: torch.ones(95, 8)}, path, {"format": "pt"})
    refused("`model`.* has 1 weights in .*distance_embedding", classifier, folder)


@pytest.mark.parametrize("architecture", ["DebertaV2", "MPNet", "RemBert", "MegatronBert"])
def test_attention_is_what_an_architecture_has(architecture, tmp_path):
    """Not every architecture has attention by `scaled_dot_product_attention`."""
    config = SMALL | {"vocab_size": 30, "max_position_embeddings": 20}
    model_class = getattr(transformers, f"{architecture}ForMaskedLM")
    model_class(model_class.config_class(**config)).save_pretrained(tmp_path)
    assert loading.load_masked_lm(str(tmp_path), "key").config._attn_implementation == "eager"


def test_a_checkpoint_does_not_choose_the_attention(make_checkpoint):
    """Flash attention, which a config may ask for, runs on no CPU."""
    folder = make_checkpoint()
    edit(folder / "config.json", attn_implementation="flash_attention_2")
    for model in (loading.load_masked_lm(str(folder), "key"), classifier(folder), classifier(folder, "key", True)):
        assert model.config._attn_implementation == "sdpa"


@pytest.mark.parametrize("name", ["byte_tokenizer", "tokenizer"])
def test_saved_tokenizers_open_in_transformers_4(name, request, tmp_path):
    """Its classes have other names, and its `extra_special_tokens` is a map."""
    tokenizer = copy.deepcopy(request.getfixturevalue(name))
    tokenizer.add_special_tokens({"extra_special_tokens": ["<user>", "<url>"]})
    save_tokenizer(tokenizer, tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] in ("PreTrainedTokenizerFast", "BertTokenizer")
    assert "extra_special_tokens" not in config and config["additional_special_tokens"] == ["<user>", "<url>"]
    again = AutoTokenizer.from_pretrained(tmp_path)
    assert again.all_special_tokens == tokenizer.all_special_tokens and again("<url>") == tokenizer("<url>")


def test_a_folder_of_a_vocabulary_is_not_called_one_beside_a_model(make_checkpoint):
    folder = make_checkpoint()
    for path in folder.iterdir():
        if path.name != "tokenizer_config.json":
            path.unlink()
    (folder / "tokenizer.json").write_text("{}")  # of a vocabulary, which has no config.json
    refused("has no usable tokenizer: (?!it has no config)", loading.load_tokenizer, str(folder), "model")
    refused("cannot be loaded", loading.load_config, "a" * 300, "model")
