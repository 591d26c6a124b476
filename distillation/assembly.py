"""A recipe's arguments become a trainer: teacher, student, tokenizers, and corpus, loaded, built, and checked."""

import functools
from dataclasses import dataclass
from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments

from distillation.arguments import (
    CacheArguments,
    DataArguments,
    MaskingArguments,
    ModelArguments,
    ObjectiveArguments,
    check_masking,
)
from distillation.cache import SEED, Row, Rows, TeacherCache, open_cache
from distillation.data import load_corpus
from distillation.evaluation import held_out_examples
from distillation.kept import CachedCollator, CachedExamples, rows_of
from distillation.layers import Projections
from distillation.masking import MaskingCollator
from distillation.models import build_student, load_student_tokenizer, load_teacher
from distillation.objective import compared_layers
from distillation.recipe import RecipeError
from distillation.streaming import stream_corpus
from distillation.student import Student
from distillation.trainer import DistillationTrainer

ARGUMENTS = (ModelArguments, DataArguments, MaskingArguments, ObjectiveArguments, CacheArguments, TrainingArguments)


@dataclass
class Assembly:
    """What a run is made of. `tokenizers`: the student's and, where it is another, the teacher's; `examples`: for each
    of them the held-out examples (`evaluation.py`)."""

    teacher: PreTrainedModel
    tokenizers: list[PreTrainedTokenizerBase]
    examples: list[Dataset]
    trainer: DistillationTrainer


def assemble(
    model_args: ModelArguments,
    data_args: DataArguments,
    masking_args: MaskingArguments,
    objective: ObjectiveArguments,
    cache_args: CacheArguments,
    training_args: TrainingArguments,
) -> Assembly:
    """Everything that a run needs, before its first step. Raises RecipeError for what cannot be met."""
    check_masking(masking_args, objective)
    if cache_args.teacher_cache and data_args.streaming:
        raise RecipeError(
            "`teacher_cache` keeps a row for each example of a corpus: leave out `streaming`, or the cache"
        )
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
            cache = open_cache(
                cache_args, objective, masking_args, teacher, student.config.n_layers, tokenizers, corpus
            )
    layers = compared_layers(objective, student.config.n_layers)
    trainer = DistillationTrainer(
        Student(
            student, Projections(compared_layers(objective, layers), student.config.dim, teacher.config.hidden_size)
        ),
        training_args,
        teacher=teacher.to(training_args.device),
        objective=objective,
        masking=masking_args,
        corpus=corpus,
        tokenizer=tokenizer,
        teacher_tokenizer=teacher_tokenizer,
        vocabulary=vocabulary,
    )
    if cache is not None:
        use_cache(trainer, cache)
    return Assembly(teacher, tokenizers, examples, trainer)


def use_cache(trainer: DistillationTrainer, cache: TeacherCache) -> None:
    """Let the trainer learn from a cache, filled first where it is not yet, in place of its teacher."""
    if trainer.is_fsdp_enabled:
        raise RecipeError("`teacher_cache` leaves nothing but the student to train: start without FSDP")
    objective, collate = trainer.objective, trainer.data_collator
    corpus, layers = (trainer.train_dataset, trainer.eval_dataset), trainer.teacher.student_layers
    collate.seed = SEED
    vocabulary, kl = None, None
    if "kl" in objective.terms:
        vocabulary = None if objective.alignment == "same" else collate.vocabulary
        kl = trainer.vocabulary_kl or trainer.make_vocabulary_kl(vocabulary, None)

    def fill(name: str, examples: Dataset, collate: MaskingCollator, epoch: int) -> Rows:
        def ask(chosen: list[dict[str, Any]]) -> list[Row]:
            batch = trainer._prepare_inputs(collate([example | {"epoch": epoch} for example in chosen]))
            targets = trainer.targets(batch)
            if kl is not None:
                targets.logits = kl.top(targets.logits, batch["groups"], cache.top_k)
            return rows_of(batch, targets)

        args = trainer.args
        cache.fill(name, examples, args.eval_batch_size, ask, args.process_index, args.world_size)
        trainer.accelerator.wait_for_everyone()
        return cache.rows(name, len(examples))

    epochs = [fill(f"epoch-{n}", corpus[0], collate, n) for n in range(cache.epochs)]
    trainer.train_dataset = CachedExamples(corpus[0], epochs)
    trainer.eval_dataset = CachedExamples(corpus[1], [fill("evaluation", corpus[1], trainer.eval_collator, 0)])
    trainer.data_collator = CachedCollator(collate, layers)
    trainer.eval_collator = CachedCollator(trainer.eval_collator, layers)
    trainer.epoch_begins.drawing.append(trainer.train_dataset)
    trainer.teacher = None
    if kl is not None:
        trainer.vocabulary_kl = trainer.make_vocabulary_kl(vocabulary, None)
