"""Two ranks, with the whole student each or with shards of it, give what one process gives; all are forks of this."""

import functools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForMaskedLM

from distillation.runs.checkpoint import is_complete
from distillation.runs.fsdp import local_part
from distillation.student_trainer import PROJECTIONS
from tests import gradients, launched

LAUNCHES = ("two_cpu_ranks", "fsdp")
KEPT = dict(alignment="reduce", optim="adamw_torch", save_strategy="steps", save_steps=2)
assert_same = functools.partial(gradients.assert_same, tolerance=1e-5)


@pytest.fixture
def train_all(make_trainer, tmp_path):
    """A function that trains on all ranks: one vocabulary, two, from a stream, from a cache, stopped and resumed."""

    def train(folder, checkpoint=None, **options):
        defaults = dict(per_device_eval_batch_size=3, gradient_accumulation_steps=2, max_steps=4, learning_rate=0.05)
        defaults |= dict(optim="sgd", train_sampling_strategy="group_by_length")  # Adam would hide a wrong factor
        model = dict(student_hidden_size=16, student_initialisation="random")
        trainer = make_trainer(folder, model, **{**defaults, **options})
        teacher = getattr(trainer.targets, "model", None)  # of live targets
        if trainer.streams:
            trainer.train_dataset.source.block = 40
        trainer.train(resume_from_checkpoint=checkpoint)
        trainer.save_model()
        results = trainer.measured()
        if teacher:
            held = sum(local_part(weight).numel() for weight in teacher.parameters())
            results["held_of_teacher"] = held / teacher.num_parameters()
        state = trainer.accelerator.get_state_dict(trainer.model)  # of all ranks, where it is in shards
        if trainer.is_world_process_zero():
            weights = {name: tensor.contiguous() for name, tensor in state.items()}
            weights.pop("model.vocab_projector.weight")  # the embeddings, once more
            save_file(weights, tmp_path / folder / "weights.safetensors")
            (tmp_path / folder / "logs.json").write_text(json.dumps(results))

    def train_all(name, ranks):
        size = dict(per_device_train_batch_size=8 // ranks)
        train(f"{name}/same", **size)
        train(f"{name}/reduce", alignment="reduce", **size)
        # What two ranks with a shard each do together, one process with two workers does one after the other.
        parts = dict(per_device_train_batch_size=4, gradient_accumulation_steps=4 // ranks)
        parts |= dict(data=dict(streaming=True), dataloader_num_workers=0 if ranks == 2 else 2)
        train(f"{name}/streamed", alignment="reduce", **parts)
        if name != "fsdp":
            cache = dict(teacher_cache=str(tmp_path / name / "cache"))
            train(f"{name}/cached", alignment="match", cache=cache, **size)
        train(f"{name}/kept", **KEPT, **size)
        train(f"{name}/resumed", checkpoint=str(tmp_path / name / "kept/checkpoint-2"), **KEPT, **size)

    return train_all


def test_two_ranks_are_one(train_all, tmp_path):
    """Two processes with batches of 4 give the gradients, losses, and figures of one process with batches of 8. In
    shards, weights have other names and places than in the files that others load."""
    launched.run([{}], tmp_path / "log", train_all, "one", 1)
    for launch in LAUNCHES:
        launched.run(launched.ranks(2, launch), tmp_path / f"{launch}.log", train_all, launch, 2)
        for run in ("same", "reduce", "streamed", *(["cached"] if launch == "two_cpu_ranks" else [])):
            compare(*(tmp_path / name / run for name in ("one", launch)))
        logs = json.loads((tmp_path / launch / "same" / "logs.json").read_text())
        assert logs["held_of_teacher"] == (1 if launch == "two_cpu_ranks" else pytest.approx(0.5, rel=0.01))
        check_saved(tmp_path / launch, set(load_file(tmp_path / "one/kept/model.safetensors")))


def compare(one: Path, two: Path):
    """The ends of two runs."""
    assert_same(*(load_file(folder / "weights.safetensors") for folder in (two, one)))
    logs = [json.loads((folder / "logs.json").read_text()) for folder in (one, two)]
    assert logs[0].keys() == logs[1].keys() and logs[0]["processes"] == 1 and logs[1]["processes"] == 2
    for name in (key for key in logs[0] if key.startswith(("train_", "eval_")) and "second" not in key):
        if not name.endswith("runtime"):
            assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-4), name


def check_saved(folder: Path, names: set[str]):
    """What was saved is the student, and goes on from where it was."""
    kept = folder / "kept"
    ends, resumed = (load_file(one / "weights.safetensors") for one in (kept, folder / "resumed"))
    assert_same(resumed, ends)
    assert is_complete(kept / "checkpoint-2") and is_complete(kept / "checkpoint-4")
    for saved in (kept, kept / "checkpoint-4"):
        model, loading = AutoModelForMaskedLM.from_pretrained(saved, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"]
        weights = load_file(saved / "model.safetensors")
        assert set(weights) == names and all(torch.equal(ends[f"model.{name}"], w) for name, w in weights.items())
    projections = load_file(kept / "checkpoint-4" / PROJECTIONS)
    assert {f"projections.{name}" for name in projections} == {n for n in ends if n.startswith("projections.")}
    assert all(torch.equal(ends[f"projections.{name}"], weight) for name, weight in projections.items())
