"""A recipe's arguments become a trainer: teacher, student, tokenizers, and corpus, loaded, built, and checked."""

from dataclasses import dataclass

from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from distillation.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments, check_masking
from distillation.data import Corpus, load_corpus
from distillation.layers import Projections
from distillation.models import build_student, load_student_tokenizer, load_teacher
from distillation.objective import compared_layers
from distillation.student import Student
from distillation.trainer import DistillationTrainer

ARGUMENTS = (ModelArguments, DataArguments, MaskingArguments, ObjectiveArguments, TrainingArguments)


@dataclass
class Assembly:
    """What a run is made of. `tokenizers`: the student's and, where it is another, the teacher's."""

    teacher: PreTrainedModel
    tokenizers: list[PreTrainedTokenizerBase]
    corpus: Corpus
    trainer: DistillationTrainer


def assemble(
    model_args: ModelArguments,
    data_args: DataArguments,
    masking_args: MaskingArguments,
    objective: ObjectiveArguments,
    training_args: TrainingArguments,
) -> Assembly:
    """Everything that a run needs, before its first step. Raises RecipeError for what cannot be met."""
    check_masking(masking_args, objective)
    teacher, teacher_tokenizer = load_teacher(model_args, objective, data_args.max_length)
    tokenizer, vocabulary = load_student_tokenizer(model_args, objective, teacher_tokenizer)
    student = build_student(model_args, objective, teacher, tokenizer, vocabulary)
    tokenizers = [tokenizer] if vocabulary is None else [tokenizer, teacher_tokenizer]
    with training_args.main_process_first():  # the others find its work in the cache
        corpus = load_corpus(data_args, tokenizers, masking_args.masking_unit, objective.alignment_in_use, vocabulary)
    layers = compared_layers(objective, student.config.n_layers)
    trainer = DistillationTrainer(
        Student(student, Projections(layers, student.config.dim, teacher.config.hidden_size)),
        training_args,
        teacher=teacher.to(training_args.device),
        objective=objective,
        masking=masking_args,
        corpus=corpus,
        tokenizer=tokenizer,
        teacher_tokenizer=teacher_tokenizer,
        vocabulary=vocabulary,
    )
    return Assembly(teacher, tokenizers, corpus, trainer)
