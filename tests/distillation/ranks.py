"""Trains a few steps on however many ranks it is launched with; test_trainer.py compares what they end with.

python ranks.py TEACHER STUDENT_VOCABULARY CORPUS OUTPUT BATCH_SIZE_OF_A_RANK
"""

import functools
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
from accelerate import DistributedType
from safetensors.torch import save_file
from torch.distributed.tensor import DTensor
from transformers import TrainingArguments

from distillation.assembly import build_run
from distillation.config.arguments import (
    CacheArguments,
    DataArguments,
    MaskingArguments,
    ModelArguments,
    ObjectiveArguments,
)
from distillation.config.errors import cli_entry


@cli_entry
def main(argv: list[str]) -> None:
    """With one vocabulary and two, from a stream, from a cache, then stopped and resumed, in folders of their own:
    a start is dearer than the steps."""
    teacher, student_vocabulary, corpus, output, batch_size = argv
    run = functools.partial(train, teacher, corpus, int(batch_size))
    run(f"{output}/same", "same")
    run(f"{output}/reduce", "reduce", student_vocabulary)
    # What two ranks with a shard each do together, one process with two workers does one after the other.
    ranks = int(os.environ.get("WORLD_SIZE", 1))
    parts = dict(per_device_train_batch_size=4, dataloader_num_workers=0 if ranks == 2 else 2)
    parts |= dict(gradient_accumulation_steps=4 // ranks)
    run(f"{output}/streamed", "reduce", student_vocabulary, streams=True, **parts)
    if os.environ.get("ACCELERATE_USE_FSDP") != "true":
        run(f"{output}/cached", "match", student_vocabulary, cache=f"{output}/cache")
    kept = dict(optim="adamw_torch", save_strategy="steps", save_steps=2)
    run(f"{output}/kept", "reduce", student_vocabulary, **kept)
    run(f"{output}/resumed", "reduce", student_vocabulary, f"{output}/kept/checkpoint-2", **kept)


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


if __name__ == "__main__":
    main(sys.argv[1:])
