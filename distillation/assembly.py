"""A recipe's arguments become a trainer: teacher, student, tokenizers, and corpus, loaded, built, and checked."""

import functools
from dataclasses import dataclass

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from distillation.config.arguments import (
    CacheArguments,
    DataArguments,
    MaskingArguments,
    ModelArguments,
    ObjectiveArguments,
    check_best,
    check_masking,
)
from distillation.config.errors import UserError
from distillation.corpus.examples import load_corpus
from distillation.corpus.streaming import stream_corpus
from distillation.evaluation import held_out_examples
from distillation.models.layer_groups import Projections
from distillation.models.shapes import build_student, load_student_tokenizer, load_teacher
from distillation.models.student import Student
from distillation.objective import compared_layers
from distillation.teacher_cache.storage import TeacherCache, open_cache
from distillation.teacher_cache.targets import use_cache
from distillation.trainer import DistillationTrainer


@dataclass
class Assembly:
    """What a run is made of. `tokenizers`: the student's and, where it is another, the teacher's; `examples`: for each
    of them the held-out examples (`evaluation.py`)."""

    teacher: PreTrainedModel
    tokenizers: list[PreTrainedTokenizerBase]
    examples: list[Dataset]
    trainer: DistillationTrainer
    cache: TeacherCache | None

    def use_cache(self) -> None:
        """Let the trainer learn from the cache, if the recipe names one, in place of the teacher."""
        if self.cache is not None:
            use_cache(self.trainer, self.cache)
            self.teacher = None  # which may leave the device


def assemble(
    model_args: ModelArguments,
    data_args: DataArguments,
    masking_args: MaskingArguments,
    objective: ObjectiveArguments,
    cache_args: CacheArguments,
    training_args: TrainingArguments,
) -> Assembly:
    """Everything that a run needs, before its first step. Raises UserError for what cannot be met."""
    check_masking(masking_args, objective)
    check_best(training_args, objective)
    if cache_args.teacher_cache and data_args.streaming:
        raise UserError("`teacher_cache` keeps a row of each example, `streaming` keeps none: leave one of them out")
    teacher, teacher_tokenizer = load_teacher(model_args, objective, data_args.max_length)
    tokenizer, vocabulary = load_student_tokenizer(model_args, objective, teacher_tokenizer)
    student = build_student(model_args, objective, teacher, tokenizer, vocabulary)
    layers = student.config.n_layers
    tokenizers = [tokenizer] if vocabulary is None else [tokenizer, teacher_tokenizer]
    with training_args.main_process_first():  # the others find its work in the cache
        load = functools.partial(stream_corpus, training_args) if data_args.streaming else load_corpus
        corpus = load(data_args, tokenizers, masking_args.masking_unit, objective.alignment_in_use, vocabulary)
        examples = held_out_examples(corpus.validation_lines, tokenizers, data_args.max_length)
    cache = None
    if cache_args.teacher_cache and objective.needs_teacher:
        with training_args.main_process_first(local=False):
            made_of = (objective, masking_args, teacher, layers, tokenizers, corpus)
            cache = open_cache(cache_args, *made_of, may_create=training_args.process_index == 0)
    compared = compared_layers(objective, layers)
    trainer = DistillationTrainer(
        Student(student, Projections(compared, student.config.dim, teacher.config.hidden_size)),
        training_args,
        teacher=teacher.to(training_args.device),
        objective=objective,
        masking=masking_args,
        corpus=corpus,
        tokenizer=tokenizer,
        teacher_tokenizer=teacher_tokenizer,
        vocabulary=vocabulary,
    )
    return Assembly(teacher, tokenizers, examples, trainer, cache)
