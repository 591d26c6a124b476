"""Trains a few steps on however many ranks it is launched with; test_trainer.py compares what they end with.

python ranks.py TEACHER CORPUS OUTPUT BATCH_SIZE_OF_A_RANK
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import TrainingArguments

from distillation.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.data import load_corpus
from distillation.layers import Projections
from distillation.models import build_student, load_teacher
from distillation.student import Student
from distillation.trainer import DistillationTrainer


def main(teacher_folder: str, corpus_file: str, output: str, batch_size: str) -> None:
    torch.manual_seed(0)
    training_args = TrainingArguments(
        output_dir=output,
        use_cpu=True,
        per_device_train_batch_size=int(batch_size),
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
    objective = ObjectiveArguments()
    model_args = ModelArguments(
        teacher_name_or_path=teacher_folder, student_layers=2, student_hidden_size=16, student_initialisation="random"
    )
    teacher, tokenizer = load_teacher(model_args, objective, max_length=32)
    student = build_student(model_args, objective, teacher, tokenizer)
    for module in student.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    with training_args.main_process_first():
        corpus = load_corpus(DataArguments(train_file=corpus_file, max_length=32), [tokenizer], "word")
    trainer = DistillationTrainer(
        Student(student, Projections([0, 1], 16, 32)),
        training_args,
        teacher=teacher,
        objective=objective,
        masking=MaskingArguments(masking_unit="word"),
        corpus=corpus,
        tokenizer=tokenizer,
    )
    trainer.train()
    results = trainer.measured()
    if trainer.is_world_process_zero():
        weights = {name: tensor.contiguous() for name, tensor in trainer.model.state_dict().items()}
        weights.pop("model.vocab_projector.weight")  # the embeddings, once more
        Path(output).mkdir(exist_ok=True)
        save_file(weights, Path(output, "weights.safetensors"))
        Path(output, "logs.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
