"""Two ranks, with the whole student each or with shards of it, give what one process gives; all are forks of this."""

import functools
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import DistributedType
from safetensors.torch import load_file, save_file
from torch.distributed.tensor import DTensor
from transformers import AutoModelForMaskedLM, TrainingArguments

from distillation.assembly import build_run
from distillation.config.arguments import (
    CacheArguments,
    DataArguments,
    MaskingArguments,
    ModelArguments,
    ObjectiveArguments,
)
from distillation.runs.resume import is_complete
from distillation.student_trainer import PROJECTIONS
from tests import gradients, launched

LAUNCHES = ("two_cpu_ranks", "fsdp")
assert_same = functools.partial(gradients.assert_same, tolerance=1e-5)


def train_all(teacher, student_vocabulary, corpus, output, batch_size):
    """With one vocabulary and two, from a stream, from a cache, then stopped and resumed."""
    run = functools.partial(train, str(teacher), str(corpus), batch_size)
    run(f"{output}/same", "same")
    run(f"{output}/reduce", "reduce", str(student_vocabulary))
    # What two ranks with a shard each do together, one process with two workers does one after the other.
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    parts = dict(per_device_train_batch_size=4, dataloader_num_workers=0 if ranks == 2 else 2)
    parts |= dict(gradient_accumulation_steps=4 // ranks)
    run(f"{output}/streamed", "reduce", str(student_vocabulary), streams=True, **parts)
    if os.environ.get("ACCELERATE_USE_FSDP") != "true":
        run(f"{output}/cached", "match", str(student_vocabulary), cache=f"{output}/cache")
    kept = dict(optim="adamw_torch", save_strategy="steps", save_steps=2)
    run(f"{output}/kept", "reduce", str(student_vocabulary), **kept)
    run(f"{output}/resumed", "reduce", str(student_vocabulary), f"{output}/kept/checkpoint-2", **kept)


def train(
    teacher_folder: str,
    corpus_file: str,
    batch_size: int,
    output: str,
    alignment: str,
    student_vocabulary: str | None = None,
    checkpoint: str | None = None,
    streams: bool = False,
    cache: str | None = None,
    **options: Any,
) -> None:
    torch.manual_seed(0)
    defaults = dict(
        use_cpu=True,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=3,
        gradient_accumulation_steps=2,
        max_steps=4,
        optim="sgd",  # Adam divides by the gradient's size and would hide a wrong factor
        learning_rate=0.05,
        logging_steps=1,
        save_strategy="no",
        train_sampling_strategy="group_by_length",
        disable_tqdm=True,
    )
    training_args = TrainingArguments(output, **{**defaults, **options})
    if os.environ.get("ACCELERATE_USE_FSDP") == "true":
        # accelerate hands out shards where it believes that the devices are GPUs; the device stays what it is.
        training_args.distributed_state.distributed_type = DistributedType.MULTI_GPU
    objective = ObjectiveArguments(alignment=alignment)
    model_args = ModelArguments(
        teacher_name_or_path=teacher_folder,
        student_vocabulary=student_vocabulary,
        student_layers=2,
        student_hidden_size=16,
        student_initialisation="random",
    )
    data_args = DataArguments(train_file=corpus_file, max_length=32, streaming=streams)
    masking = MaskingArguments(masking_unit="word")
    run = build_run(model_args, data_args, masking, objective, CacheArguments(cache), training_args)
    trainer, teacher = run.trainer, run.teacher
    for module in trainer.model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    if streams:
        trainer.train_dataset.source.block = 40
    run.use_cache()
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    held = [p.to_local() if isinstance(p, DTensor) else p for p in teacher.parameters()]
    results = trainer.measured() | {"held_of_teacher": sum(p.numel() for p in held) / teacher.num_parameters()}
    state = trainer.accelerator.get_state_dict(trainer.model)  # of all ranks, where it is in shards
    if trainer.is_world_process_zero():
        weights = {name: tensor.contiguous() for name, tensor in state.items()}
        weights.pop("model.vocab_projector.weight")  # the embeddings, once more
        save_file(weights, Path(output, "weights.safetensors"))
        Path(output, "logs.json").write_text(json.dumps(results))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, teacher_folder, student_vocabulary, corpus_file):
    """What `train_all` made in one process (`one`), on two ranks, and on two that hold shards."""
    output = tmp_path_factory.mktemp("ranks")
    places = teacher_folder, student_vocabulary, corpus_file
    launched.run([{}], output / "log", train_all, *places, output / "one", 8)
    for launch in LAUNCHES:
        launched.run(launched.ranks(2, launch), output / f"{launch}.log", train_all, *places, output / launch, 4)
    return output


@pytest.mark.parametrize("launch", LAUNCHES)
def test_two_ranks_are_one(trained, launch):
    """Two processes with batches of 4 give the gradients, losses, and figures of one process with batches of 8."""
    for run in ("same", "reduce", "streamed", *(["cached"] if launch == "two_cpu_ranks" else [])):
        folders = [trained / name / run for name in ("one", launch)]
        one, two = (load_file(folder / "weights.safetensors") for folder in folders)
        assert_same(two, one)
        logs = [json.loads((folder / "logs.json").read_text()) for folder in folders]
        assert logs[0].keys() == logs[1].keys() and logs[0]["processes"] == 1 and logs[1]["processes"] == 2
        for name in (key for key in logs[0] if key.startswith(("train_", "eval_")) and "second" not in key):
            if not name.endswith("runtime"):
                assert logs[1][name] == pytest.approx(logs[0][name], rel=1e-4), name
        assert logs[1]["held_of_teacher"] == (1 if launch == "two_cpu_ranks" else pytest.approx(0.5, rel=0.01))


@pytest.mark.parametrize("launch", LAUNCHES)
def test_two_ranks_save_the_student_and_resume(trained, launch):
    """In shards, weights have other names and places than in the files that others load."""
    kept = trained / launch / "kept"
    ends, resumed = (load_file(folder / "weights.safetensors") for folder in (kept, kept.with_name("resumed")))
    assert_same(resumed, ends)
    assert is_complete(kept / "checkpoint-2") and is_complete(kept / "checkpoint-4")
    for folder in (kept, kept / "checkpoint-4"):
        model, loading = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"]
        weights = load_file(folder / "model.safetensors")
        assert set(weights) == set(load_file(trained / "one/kept/model.safetensors"))
        assert all(torch.equal(weight, ends[f"model.{name}"]) for name, weight in weights.items())
    for name, weight in load_file(kept / "checkpoint-4" / PROJECTIONS).items():
        assert torch.equal(weight, ends.pop(f"projections.{name}"))
    assert not any(name.startswith("projections.") for name in ends)
