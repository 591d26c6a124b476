"""Distil a masked-LM teacher into a smaller student.

accelerate launch distillation/run.py --config distillation/recipes/demo.yaml
python distillation/run.py --config RECIPE.yaml --teacher_name_or_path TEACHER --train_file corpus.txt.gz

Without any argument it runs the demo.
"""

import functools
import logging
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from transformers import TrainingArguments, set_seed

from distillation.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments, check_masking
from distillation.checkpoint import checkpoint_to_resume
from distillation.data import load_corpus
from distillation.demo import resolve_demo
from distillation.evaluation import evaluate_masked_lm, held_out_examples
from distillation.layers import Projections
from distillation.models import build_student, load_masked_lm, load_student_tokenizer, load_teacher
from distillation.objective import compared_layers
from distillation.publish import publish
from distillation.recipe import command, parse_recipe
from distillation.streaming import stream_corpus
from distillation.student import Student
from distillation.trainer import DistillationTrainer

ARGUMENTS = (ModelArguments, DataArguments, MaskingArguments, ObjectiveArguments, TrainingArguments)
DEMO_RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"

logger = logging.getLogger("distillation.run")


@command
def main(argv: list[str] | None = None) -> None:
    """Parse, load, train, evaluate, publish."""
    model_args, data_args, masking_args, objective, training_args = parse_recipe(
        *ARGUMENTS, argv=argv, default=DEMO_RECIPE
    )
    check_masking(masking_args, objective)
    checkpoint = checkpoint_to_resume(training_args)
    with training_args.main_process_first():
        resolve_demo(data_args, model_args)
    set_seed(training_args.seed)
    teacher, teacher_tokenizer = load_teacher(model_args, objective, data_args.max_length)
    tokenizer, vocabulary = load_student_tokenizer(model_args, objective, teacher_tokenizer)
    student = build_student(model_args, objective, teacher, tokenizer, vocabulary)
    tokenizers = [tokenizer] if vocabulary is None else [tokenizer, teacher_tokenizer]
    with training_args.main_process_first():  # the others find its work in the cache
        load = functools.partial(stream_corpus, training_args) if data_args.streaming else load_corpus
        corpus = load(data_args, tokenizers, masking_args.masking_unit, objective.alignment_in_use, vocabulary)
        examples = held_out_examples(corpus.validation_lines, tokenizers, data_args.max_length)

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
    held_out = {}
    if trainer.is_world_process_zero():
        batch_size = training_args.eval_batch_size
        held_out["teacher"] = evaluate_masked_lm(teacher, teacher_tokenizer, examples[-1], batch_size)
        report_teacher(held_out["teacher"]["loss"], len(teacher_tokenizer))
        held_out["student_before"] = evaluate_masked_lm(student, tokenizer, examples[0], batch_size)
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    results = trainer.measured()
    if trainer.is_world_process_zero():
        saved = load_masked_lm(training_args.output_dir, "output_dir").to(training_args.device)
        held_out["student"] = evaluate_masked_lm(saved, tokenizer, examples[0], batch_size)
        results["parameters"] = saved.num_parameters()
        publish(trainer, results, held_out, [model_args, data_args, masking_args, objective])


def report_teacher(loss: float, vocabulary: int) -> None:
    """Log the teacher's held-out loss before the first step, and warn where it is hardly better than chance."""
    chance = math.log(vocabulary)
    logger.info("teacher on held-out text: %.3f nats per hidden token (chance: %.3f)", loss, chance)
    if loss > 0.95 * chance:
        logger.warning("this teacher predicts hardly better than chance: is it trained, and for this language?")


if __name__ == "__main__":
    main()
