"""Checkpoints of four architectures for every kind of task."""

import pytest
import torch
import transformers
from transformers import AutoTokenizer

from distillation.models.loading import load_tokenizer_of, save_pretrained
from finetuning.trainer import TaskTrainer
from tests.finetuning.known import arguments

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
# By architecture its config (each reads 48 tokens), and a tokenizer of its kind.
ARCHITECTURES = {
    "Bert": (SMALL, "tokenizer"),
    "DistilBert": (dict(dim=32, n_layers=2, n_heads=4, hidden_dim=64), "tokenizer"),
    "Roberta": (SMALL | {"max_position_embeddings": 49}, "byte_tokenizer"),
    "ModernBert": (SMALL | {"global_attn_every_n_layers": 2, "local_attention": 8}, "byte_tokenizer"),
}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["classification", "tagging", "question_answering", "multiple_choice"])
def test_every_architecture_learns_every_task(tasks, rows, tmp_path, request, architecture, kind):
    """Inputs fill every position of the model. A checkpoint is a folder that transformers opens, without pickles."""
    config, name = ARCHITECTURES[architecture]
    base, task, some = request.getfixturevalue(name), tasks[kind], rows[kind][:16]
    config = getattr(transformers, f"{architecture}Config")(
        **{"max_position_embeddings": 48} | config, vocab_size=len(base), pad_token_id=0
    )
    torch.manual_seed(0)
    save_pretrained(getattr(transformers, f"{architecture}ForMaskedLM")(config), base, tmp_path)
    model = task.load_model(str(tmp_path))
    tokenizer = load_tokenizer_of(model, str(tmp_path), "model_name_or_path")
    part = task.encode(some, tokenizer, min(512, tokenizer.model_max_length))
    assert max(part.inputs["length"]) == 48
    training = arguments(tmp_path / "out", max_steps=1, save_strategy="steps", save_steps=1)
    trainer = TaskTrainer(model, training, task=task, train=part.inputs, validation=part, tokenizer=tokenizer)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    trainer.train()
    weights = trainer.model.state_dict()
    assert sum(not torch.equal(weight, before[name]) for name, weight in weights.items()) > len(before) * 0.8
    trainer.save_model()
    for folder in (tmp_path / "out", tmp_path / "out" / "checkpoint-1"):
        assert not list(folder.glob("training_args.bin"))
        model, loading = task.model_class.from_pretrained(folder, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"]
        assert all(torch.equal(weight, weights[name]) for name, weight in model.state_dict().items())
        assert AutoTokenizer.from_pretrained(folder).get_vocab() == base.get_vocab()
        assert not task.labels or tuple(model.config.id2label.values()) == task.labels
