"""Checkpoints of four architectures for three kinds of task, and what is said of those that do not serve."""

import pytest
import torch
import transformers
from transformers import TrainingArguments, pipeline

from distillation.models.loading import load_tokenizer_of, save_pretrained
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
