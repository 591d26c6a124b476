"""Checkpoints of four architectures for three kinds of task, and what is said of those that do not serve."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import TrainingArguments, pipeline

from distillation.config.errors import UserError
from distillation.models.loading import load_tokenizer_of, load_trained, position_count, save_pretrained
from finetuning.splits import Part
from finetuning.trainer import TaskTrainer

KEY = "model_name_or_path"
KINDS = ("classification", "tagging", "question_answering", "multiple_choice")
SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64, pad_token_id=0)
# The architecture, its config, how many tokens it can read, and a conftest tokenizer of the kind that it has.
ARCHITECTURES = {
    "Bert": (SMALL | {"max_position_embeddings": 48}, 48, "tokenizer"),
    "DistilBert": (
        dict(dim=32, n_layers=2, n_heads=4, hidden_dim=64, pad_token_id=0, max_position_embeddings=48),
        48,
        "tokenizer",
    ),
    "Roberta": (SMALL | {"max_position_embeddings": 49}, 48, "byte_tokenizer"),
    "ModernBert": (
        SMALL | {"max_position_embeddings": 48, "global_attn_every_n_layers": 2, "local_attention": 8},
        48,
        "byte_tokenizer",
    ),
}


@pytest.fixture
def make_checkpoint(tmp_path, request):
    """A function that saves a masked LM with random weights and a tokenizer."""

    def make(architecture="Bert", **config):
        known, _, name = ARCHITECTURES[architecture]
        tokenizer = request.getfixturevalue(name)
        config = getattr(transformers, f"{architecture}Config")(**known | {"vocab_size": len(tokenizer)} | config)
        torch.manual_seed(0)
        model = getattr(transformers, f"{architecture}ForMaskedLM")(config)
        save_pretrained(model, tokenizer, tmp_path / "checkpoint")
        return tmp_path / "checkpoint"

    return make


def trainer_of(folder, task, some, output):
    model = task.load_model(str(folder))
    tokenizer = load_tokenizer_of(model, str(folder), KEY)
    part = Part(some, task.encode(some, tokenizer, min(512, tokenizer.model_max_length)))
    training = TrainingArguments(
        str(output), use_cpu=True, report_to="none", save_strategy="no", max_steps=1, disable_tqdm=True
    )
    return TaskTrainer(model, training, task=task, train=part.encoded.inputs, validation=part, tokenizer=tokenizer)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_learns_every_task(make_checkpoint, tasks, rows, tmp_path, architecture, kind):
    """Inputs that fill every position the model has: one more would end the run, or be read wrongly."""
    folder, task, some = make_checkpoint(architecture), tasks[kind], rows[kind][:16]
    trainer = trainer_of(folder, task, some, tmp_path / "out")
    assert max(trainer.train_dataset["length"]) == ARCHITECTURES[architecture][1]
    before = {name: weight.clone() for name, weight in trainer.model.state_dict().items()}
    trainer.train()
    moved = [name for name, weight in trainer.model.state_dict().items() if not torch.equal(weight, before[name])]
    assert len(moved) > len(before) * 0.8
    trainer.save_model()
    scores, _ = trainer.measure(trainer.validation)
    again = trainer_of(tmp_path / "out", task, some, tmp_path / "again")
    assert again.measure(again.validation)[0] == pytest.approx(scores, rel=1e-4)
    if kind in ("classification", "tagging"):  # the others have no pipeline
        found = pipeline(f"{'text' if kind == 'classification' else 'token'}-classification", str(tmp_path / "out"))(
            some[0]["text"][:40]
        )
        assert {one.get("label", one.get("entity")) for one in found} <= set(task.labels)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_are_those_that_the_model_has(make_checkpoint, tasks, architecture):
    """RoBERTa counts its positions from the padding."""
    folder = make_checkpoint(architecture)
    model = tasks["classification"].load_model(str(folder))
    positions = ARCHITECTURES[architecture][1]
    assert position_count(model) == positions
    tokenizer = load_tokenizer_of(model, str(folder), KEY)
    assert tokenizer.model_max_length == positions
    assert ("token_type_ids" in tokenizer.model_input_names) == (architecture == "Bert")


def test_the_published_roberta_reads_512(make_checkpoint, tasks):
    """Its padding is token 1 and it has 514 positions."""
    folder = make_checkpoint("Roberta", max_position_embeddings=514, pad_token_id=1)
    assert position_count(tasks["classification"].load_model(str(folder))) == 512


def test_the_encoder_is_kept_and_the_head_is_named(make_checkpoint, tasks):
    folder = make_checkpoint()
    model = tasks["classification"].load_model(str(folder))
    assert model.config.id2label == {0: "a", 1: "b", 2: "c"} and model.config.label2id == {"a": 0, "b": 1, "c": 2}
    saved = load_file(folder / "model.safetensors")
    encoder = {name: weight for name, weight in model.state_dict().items() if name in saved}
    assert len(encoder) > 20 and all(torch.equal(weight, saved[name]) for name, weight in encoder.items())
    random = tasks["classification"].load_model(str(folder), random_weights=True)
    name = "bert.encoder.layer.0.attention.self.query.weight"
    assert not torch.equal(random.state_dict()[name], saved[name])


def test_a_head_of_another_task_is_replaced(make_checkpoint, tasks, tmp_path):
    """With five labels or two: what fits stays, as one trained on the same task does."""
    folder = make_checkpoint()
    three = tasks["classification"].load_model(str(folder))
    three.save_pretrained(tmp_path / "three")
    kept = tasks["classification"].load_model(str(tmp_path / "three"))
    assert torch.equal(kept.classifier.weight, three.classifier.weight)
    assert tasks["tagging"].load_model(str(tmp_path / "three")).classifier.weight.shape == (5, 32)


def test_outputs_that_nobody_reads_are_off(make_checkpoint, tasks, tmp_path):
    """A distilled model may ask for them in its config; saved so, every user pays for them."""
    folder = make_checkpoint(output_attentions=True, output_hidden_states=True, attn_implementation="eager")
    model = tasks["classification"].load_model(str(folder))
    model.save_pretrained(tmp_path / "saved")
    config = json.loads((tmp_path / "saved" / "config.json").read_text())
    assert not config.get("output_attentions") and not config.get("output_hidden_states")


# What does not serve


def refused(folder, task, match):
    with pytest.raises(UserError, match=match) as caught:
        task.load_model(str(folder))
    assert "\n" not in str(caught.value)


def test_weights_that_are_not_there(make_checkpoint, tasks):
    folder, task = make_checkpoint(), tasks["classification"]
    whole = load_file(folder / "model.safetensors")
    part = {name: weight for name, weight in whole.items() if "layer.1.output" not in name}
    save_file(part, folder / "model.safetensors", {"format": "pt"})
    refused(folder, task, "`model_name_or_path`.*lacks trained weights for bert.encoder.layer.1.output")


def test_weights_of_another_shape(make_checkpoint, tasks):
    """A config that was edited: made anew, unsaid, the embeddings would be random."""
    folder, task = make_checkpoint(), tasks["classification"]
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 40}))
    refused(folder, task, "`model_name_or_path`.*bert.embeddings.position_embeddings")


def test_weights_that_are_torn(make_checkpoint, tasks):
    folder, task = make_checkpoint(), tasks["classification"]
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[: len(content) // 2])
    refused(folder, task, "`model_name_or_path`.*cannot be loaded")
    (folder / "model.safetensors").unlink()
    refused(folder, task, "`model_name_or_path`.*cannot be loaded")


def test_what_is_no_model(tasks, tmp_path, make_checkpoint):
    task = tasks["classification"]
    refused(tmp_path / "absent", task, "`model_name_or_path`.*cannot be loaded")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", task, "`model_name_or_path`.*cannot be loaded")
    folder = make_checkpoint()
    (folder / "config.json").write_text('{"model_type": "wav2vec"}')
    refused(folder, task, "`model_name_or_path`.*cannot be loaded")
    (folder / "config.json").write_text("{")
    refused(folder, task, "`model_name_or_path`.*cannot be loaded")
    with pytest.raises(UserError, match="`task_teacher`.*cannot be loaded"):
        load_trained(task.model_class, str(folder), "task_teacher")


def test_tokenizers_that_do_not_serve(make_checkpoint, tasks, tmp_path):
    folder = make_checkpoint()
    model = tasks["classification"].load_model(str(folder))

    def changed(change):
        copy = tmp_path / "changed"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        change(copy)
        with pytest.raises(UserError, match="`model_name_or_path`") as caught:
            load_tokenizer_of(model, str(copy), KEY)
        return str(caught.value)

    def without(folder):
        for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
            Path(folder, name).unlink()

    def without_padding(folder):
        config = json.loads(Path(folder, "tokenizer_config.json").read_text())
        config |= {"pad_token": None, "tokenizer_class": "PreTrainedTokenizerFast"}
        Path(folder, "tokenizer_config.json").write_text(json.dumps(config))

    def larger(folder):
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["новое", "слово"])
        tokenizer.save_pretrained(folder)

    assert "tokenizer" in changed(without)
    assert "no pad_token" in changed(without_padding)
    assert "has 302 tokens, its model only 300" in changed(larger)
    Path(folder, "tokenizer.json").write_text("{")
    assert "no usable tokenizer" in changed(lambda folder: None)


def test_no_code_of_a_checkpoint_is_run(make_checkpoint, tasks, monkeypatch):
    """transformers would ask on standard input, and somebody says yes."""
    folder = make_checkpoint()
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "evil.Config", "AutoModelForSequenceClassification": "evil.Model"}
    config["model_type"] = "evil"
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(folder / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *args: "y")
    with pytest.raises(UserError, match="`model_name_or_path`"):
        tasks["classification"].load_model(str(folder))
    assert not (folder / "ran").exists()


def test_several_labels_at_once_are_forgotten(make_checkpoint, tasks):
    """A pipeline would give each label a chance of its own, and not those that were measured."""
    model = tasks["classification"].load_model(str(make_checkpoint(problem_type="multi_label_classification")))
    assert model.config.problem_type is None and model.config.num_labels == 3
