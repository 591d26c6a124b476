"""A trainer of tiny models, for all tests that train."""

import pytest
import torch
from transformers import TrainingArguments

from distillation.arguments import CacheArguments, DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.cache import open_cache
from distillation.cached import use_cache
from distillation.data import load_corpus
from distillation.layers import Projections
from distillation.models import build_student, load_student_tokenizer, load_teacher
from distillation.objective import compared_layers
from distillation.student import Student
from distillation.trainer import DistillationTrainer

FOUR_TERMS = dict(weight_kl=2.0, weight_mlm=1.0, weight_cosine=1.0, weight_attention=100.0, weight_hidden_mse=0.5)


@pytest.fixture
def make_trainer(tmp_path, teacher_folder, student_vocabulary, corpus_file):
    """A function that builds a trainer; its keywords are keys of a recipe."""

    def make(folder="run", model=None, objective=None, masking=None, alignment="same", cache=None, **training):
        torch.manual_seed(0)
        terms = FOUR_TERMS if objective is None else {"weight_attention": 0, **objective}
        objective = ObjectiveArguments(alignment=alignment, **terms)
        if alignment != "same":
            other = dict(student_vocabulary=str(student_vocabulary), student_initialisation="random")
            model = {**other, **(model or {})}
        model_args = ModelArguments(teacher_name_or_path=str(teacher_folder), student_layers=2, **(model or {}))
        teacher, teacher_tokenizer = load_teacher(model_args, objective, max_length=32)
        tokenizer, vocabulary = load_student_tokenizer(model_args, objective, teacher_tokenizer)
        student = build_student(model_args, objective, teacher, tokenizer, vocabulary)
        for module in student.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0  # a random choice for each micro-batch would hide what is compared
        data_args = DataArguments(train_file=str(corpus_file), max_length=32)
        tokenizers = [tokenizer] if vocabulary is None else [tokenizer, teacher_tokenizer]
        corpus = load_corpus(data_args, tokenizers, "word", alignment, vocabulary)
        defaults = dict(output_dir=str(tmp_path / folder), use_cpu=True, report_to="none", save_strategy="no", seed=1)
        layers = compared_layers(objective, 2)
        masking = MaskingArguments(masking_unit="word", **(masking or {}))
        opened = None
        if cache is not None:
            cache_args = CacheArguments(**{"teacher_cache": str(tmp_path / "cache"), **cache})
            opened = open_cache(cache_args, objective, masking, teacher, 2, tokenizers, corpus)
        trainer = DistillationTrainer(
            Student(student, Projections(layers, student.config.dim, teacher.config.hidden_size)),
            TrainingArguments(**{**defaults, "disable_tqdm": True, "logging_steps": 1, **training}),
            teacher=teacher if objective.needs_teacher else None,
            objective=objective,
            masking=masking,
            corpus=corpus,
            tokenizer=tokenizer,
            teacher_tokenizer=teacher_tokenizer,
            vocabulary=vocabulary,
        )
        if opened is not None:
            use_cache(trainer, opened)
        return trainer

    return make
