"""Builds a run from a recipe's arguments (models, tokenizers, corpus); trains, evaluates, and publishes it."""

import functools
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from transformers import BertForMaskedLM, PreTrainedModel, PreTrainedTokenizerBase, TrainingArguments, set_seed

from distillation.config.arguments import (
    CacheArguments,
    MaskingArguments,
    ModelArguments,
    ObjectiveArguments,
    PushArguments,
    check_best,
    check_masking,
)
from distillation.config.corpus import DataArguments
from distillation.config.errors import UserError
from distillation.config.teacher import TeacherArguments
from distillation.corpus.examples import Corpus, Encoder, load_corpus
from distillation.corpus.masking import make_collators, token_counts
from distillation.corpus.streaming import stream_corpus
from distillation.evaluation import evaluate_masked_lm, held_out_examples
from distillation.hub.publishing import check_push, publish
from distillation.models.loading import load_masked_lm, load_tokenizer
from distillation.models.mlm_head import vocabulary_projection
from distillation.models.sampled_softmax import LARGE, SampledSoftmax
from distillation.models.shapes import (
    build_student,
    load_student,
    load_student_tokenizer,
    load_teacher,
    load_to_continue,
    teacher_config,
)
from distillation.models.student import Projections, Student
from distillation.models.teacher import LiveTargets
from distillation.objective import compared_layers
from distillation.runs.checkpoint import explain_write_errors, folder_of
from distillation.runs.files import recipe_of
from distillation.runs.new_weights import NewWeightsFirst
from distillation.runs.resume import find_checkpoint, inputs_of, is_over, start_run
from distillation.teacher_cache.storage import SEED, open_cache
from distillation.teacher_cache.targets import CachedTargets
from distillation.text.sampling import load_split
from distillation.trainer import DistillationTrainer
from distillation.vocabularies.cross_vocabulary_kl import CandidateKL
from distillation.vocabularies.mapping import VocabularyMap, vocabulary_size
from distillation.vocabularies.wordpiece import train_tokenizer
from distillation.vocabularies.words import sample_texts

logger = logging.getLogger(__name__)


@dataclass
class Run:
    """The parts of a run.

    role: the name of the trained model in results and card, `student` or `teacher`.
    tokenizers: that of the trained model, and the teacher's if it has another.
    examples: the held-out examples for each tokenizer (`evaluation.py`).
    teacher: the model that the student learns from; None where a teacher is trained.
    from_scratch: whether a teacher has random weights at first: figures before training would say nothing.
    """

    role: str
    trainer: DistillationTrainer
    tokenizers: list[PreTrainedTokenizerBase]
    examples: list[Dataset]
    teacher: PreTrainedModel | None = None
    from_scratch: bool = False


def build_run(
    model_args: ModelArguments,
    data_args: DataArguments,
    masking_args: MaskingArguments,
    objective: ObjectiveArguments,
    cache_args: CacheArguments,
    training_args: TrainingArguments,
) -> Run:
    """Load everything that a distillation needs. Raises UserError for arguments that cannot be met."""
    check_masking(masking_args, objective)
    check_best(training_args, objective.terms)
    if cache_args.teacher_cache and data_args.streaming:
        raise UserError(
            "`teacher_cache` stores a row for each example, but `streaming` stores no examples: leave one of them out"
        )
    teacher, teacher_tokenizer = load_teacher(model_args, objective, data_args.max_length)
    tokenizer, vocabulary = load_student_tokenizer(model_args, objective, teacher_tokenizer)
    make_student = load_student if model_args.student_initialisation == "same_shape" else build_student
    student = make_student(model_args, objective, teacher, tokenizer, data_args.max_length, vocabulary)
    tokenizers = [tokenizer] if vocabulary is None else [tokenizer, teacher_tokenizer]
    encoder = Encoder(
        tokenizers, masking_args.masking_unit, data_args.max_length, objective.alignment_in_use, vocabulary
    )
    corpus, examples = _load(data_args, training_args, encoder)
    cached, layers = cache_args.teacher_cache is not None and objective.needs_teacher, student.config.num_hidden_layers
    seed = SEED if cached else training_args.seed
    collators = make_collators(tokenizers, vocabulary, masking_args, objective, corpus.sample, seed)
    teacher.to(training_args.device)
    targets = None
    if objective.needs_teacher:
        targets = live_targets(teacher, objective, layers, vocabulary, cached, training_args)
    if cached:
        with training_args.main_process_first(local=False):
            made_of = (objective, masking_args, teacher, layers, tokenizers, corpus)
            cache = open_cache(cache_args, *made_of, may_create=training_args.process_index == 0)
        targets = CachedTargets(cache, targets, corpus, collators, training_args.eval_batch_size)
        corpus, collators = targets.corpus, targets.collators
    widths = student.config.hidden_size, teacher.config.hidden_size
    projections = Projections(compared_layers(objective, layers), *widths)
    parts = dict(targets=targets, objective=objective, corpus=corpus, collators=collators, tokenizer=tokenizer)
    trainer = DistillationTrainer(Student(student, projections), training_args, **parts)
    return Run("student", trainer, tokenizers, examples, teacher)


def live_targets(
    teacher: PreTrainedModel,
    objective: ObjectiveArguments,
    student_layers: int,
    vocabulary: VocabularyMap | None,
    cached: bool,
    training_args: TrainingArguments,
) -> LiveTargets:
    """The teacher's targets: logits or, across vocabularies and for a cache, the states that enter its last layer.
    Raises UserError for a cache without such a layer."""
    if not objective.needs("predictions") or (vocabulary is None and not cached):
        return LiveTargets(teacher, objective, student_layers)
    projection = vocabulary_projection(teacher)
    if cached and projection is None:
        raise UserError(
            "`teacher_cache` needs a teacher whose last layer is linear, and this teacher's is not: leave it out"
        )
    dtype = torch.float16 if training_args.fp16 else torch.bfloat16 if training_args.bf16 else torch.float32
    kl = CandidateKL(
        vocabulary,
        None if projection is None else teacher.get_submodule(projection),
        objective.alignment,
        objective.vocabulary_map or "ordered",
        objective.reduce_pooling or "mean",
        training_args.device,
        dtype,
    )
    return LiveTargets(teacher, objective, student_layers, kl, projection)


def build_teacher_run(
    teacher_args: TeacherArguments,
    data_args: DataArguments,
    masking_args: MaskingArguments,
    training_args: TrainingArguments,
) -> Run:
    """The run that trains a teacher by MLM alone: a BERT with random weights, or a checkpoint that goes on."""
    objective = ObjectiveArguments(weight_kl=0, weight_mlm=1, weight_cosine=0, weight_attention=0)
    check_best(training_args, objective.terms)
    source, new, options = teacher_args.model_name_or_path, [], {}
    if source is not None:
        model, tokenizer, new = load_to_continue(source, objective, data_args.max_length)
    else:
        with training_args.main_process_first():  # the others then read its lines from the cache
            tokenizer = _teacher_tokenizer(teacher_args, data_args)
        size, padding = vocabulary_size(tokenizer), tokenizer.pad_token_id
        model = BertForMaskedLM(teacher_config(teacher_args, size, data_args.max_length, padding))
    encoder = Encoder([tokenizer], masking_args.masking_unit, data_args.max_length)
    corpus, examples = _load(data_args, training_args, encoder)
    student = Student(model, Projections())
    size = student.vocabulary_size
    counts = token_counts(corpus.sample, size) if size and (new or size > LARGE) else None
    if size > LARGE:
        options["sampled"] = SampledSoftmax(counts, training_args.seed)
    if new:
        if size:
            ordinary = counts.copy()  # [CLS] and [SEP] are in every example, and never hidden
            ordinary[[number for number in tokenizer.all_special_ids if number < size]] = 0
            student.predict_counts(ordinary, new)
        options["callbacks"] = [NewWeightsFirst({f"model.{name}" for name in new})]
    collators = make_collators([tokenizer], None, masking_args, objective, corpus.sample, training_args.seed)
    parts = dict(targets=None, objective=objective, corpus=corpus, collators=collators, tokenizer=tokenizer)
    trainer = DistillationTrainer(student, training_args, **parts, **options)
    return Run("teacher", trainer, [tokenizer], examples, from_scratch=source is None)


def _load(
    data_args: DataArguments, training_args: TrainingArguments, encoder: Encoder
) -> tuple[Corpus, list[Dataset]]:
    """The corpus, and the held-out examples of each tokenizer."""
    load = functools.partial(stream_corpus, training_args) if data_args.streaming else load_corpus
    with training_args.main_process_first():  # the others then read its results from the cache
        corpus = load(data_args, encoder)
        return corpus, held_out_examples(corpus.validation_lines, encoder.tokenizers, data_args.max_length)


def _teacher_tokenizer(teacher_args: TeacherArguments, data_args: DataArguments) -> PreTrainedTokenizerBase:
    """The tokenizer that the recipe names, or a new one trained on the corpus."""
    if teacher_args.tokenizer_name_or_path:
        return load_tokenizer(teacher_args.tokenizer_name_or_path, "tokenizer_name_or_path")
    if data_args.streaming:
        raise UserError(
            "`streaming` cannot train a tokenizer, which needs all lines: name a `tokenizer_name_or_path`, or leave "
            "`streaming` out"
        )
    lines, _ = load_split(data_args)
    return train_tokenizer(sample_texts(lines), teacher_args.vocab_size)


def train_and_publish(
    build: Callable[..., Run], *arguments: Any, card_args: PushArguments, training_args: TrainingArguments
) -> None:
    """Build a run, train and save it, evaluate the saved model, write results and card, and push if asked to.

    Raises UserError for an output folder or a repository that cannot be written, before anything is loaded.
    """
    recipe, inputs = recipe_of(arguments, training_args), inputs_of(arguments)
    checkpoint = find_checkpoint(training_args, recipe, inputs)
    if is_over(training_args, recipe, checkpoint):
        return
    check_push(training_args, card_args)
    set_seed(training_args.seed)
    run = build(*arguments, training_args)
    trainer = run.trainer
    before = evaluate_before(run) if not run.from_scratch and trainer.is_world_process_zero() else {}
    sizes = {} if run.teacher is None else {"teacher_parameters": run.teacher.num_parameters()}
    run.teacher = None  # `CachedTargets` drops it too: its memory is freed
    start_run(training_args, recipe, inputs)
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    if folder_of(trainer).exists():
        logger.info(
            "trained and saved; if its evaluation is interrupted, `--resume_from_checkpoint true` repeats that"
        )
    results = trainer.measured()
    if trainer.is_world_process_zero():
        saved = load_masked_lm(training_args.output_dir, "output_dir").to(training_args.device)
        after = evaluate_masked_lm(saved, run.tokenizers[0], run.examples[0], training_args.eval_batch_size)
        results |= {"parameters": saved.num_parameters(), **sizes}
        with explain_write_errors(training_args.output_dir):
            publish(trainer, results, before | {run.role: after}, recipe, card_args)


def evaluate_before(run: Run) -> dict[str, dict[str, float]]:
    """The held-out figures of the teacher that a student learns from, and of the trained model before its first step;
    warns of a useless teacher."""
    batch_size = run.trainer.args.eval_batch_size
    before = evaluate_masked_lm(run.trainer.model.model, run.tokenizers[0], run.examples[0], batch_size)
    before = {f"{run.role}_before": before}
    if run.teacher is None:
        return before
    teacher = evaluate_masked_lm(run.teacher, run.tokenizers[-1], run.examples[-1], batch_size)
    chance = math.log(len(run.tokenizers[-1]))
    logger.info("teacher on held-out text: %.3f nats per hidden token (chance: %.3f)", teacher["loss"], chance)
    if teacher["loss"] > 0.95 * chance:
        logger.warning("this teacher predicts hardly better than chance: is it trained, and for this language?")
    return {"teacher": teacher, **before}
