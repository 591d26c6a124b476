"""Distil a masked-LM teacher into a smaller student.

accelerate launch distillation/run.py --config distillation/recipes/demo.yaml
python distillation/run.py --config RECIPE.yaml --teacher_name_or_path TEACHER --train_file corpus.txt.gz

Without any argument it runs the demo.
"""

import logging
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import ARGUMENTS
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe

DEMO_RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"

logger = logging.getLogger("distillation.run")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Parse, load, train, evaluate, publish."""
    *arguments, card_args, training_args = parse_recipe(*ARGUMENTS, argv=argv, default=DEMO_RECIPE, training=True)
    from transformers import set_seed  # heavy imports only where the arguments are right

    from distillation.assembly import assemble
    from distillation.demo.resolve import resolve_demo
    from distillation.evaluation import evaluate_masked_lm
    from distillation.hub.publishing import check_push, publish
    from distillation.models.loading import load_masked_lm
    from distillation.runs.agreement import writing
    from distillation.runs.files import recipe_of
    from distillation.runs.resume import MACHINE, begin, checkpoint_of

    model_args, data_args, *_ = arguments
    recipe = recipe_of(arguments, training_args)
    checkpoint = checkpoint_of(training_args, recipe, MACHINE)
    with training_args.main_process_first():
        resolve_demo(data_args, model_args)
    check_push(training_args, card_args)
    set_seed(training_args.seed)
    run = assemble(*arguments, training_args)
    trainer, (tokenizer, *_), held_out = run.trainer, run.tokenizers, {}
    if trainer.is_world_process_zero():
        batch_size = training_args.eval_batch_size
        held_out["teacher"] = evaluate_masked_lm(run.teacher, run.tokenizers[-1], run.examples[-1], batch_size)
        report_teacher(held_out["teacher"]["loss"], len(run.tokenizers[-1]))
        held_out["student_before"] = evaluate_masked_lm(trainer.model.model, tokenizer, run.examples[0], batch_size)
    teacher_parameters = run.teacher.num_parameters()
    begin(training_args, recipe)
    run.use_cache()
    trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    results = trainer.measured()
    if trainer.is_world_process_zero():
        saved = load_masked_lm(training_args.output_dir, "output_dir").to(training_args.device)
        held_out["student"] = evaluate_masked_lm(saved, tokenizer, run.examples[0], batch_size)
        results |= {"parameters": saved.num_parameters(), "teacher_parameters": teacher_parameters}
        with writing(training_args.output_dir):
            publish(trainer, results, held_out, recipe_of(arguments, training_args), card_args, trainer.push_wanted)


def report_teacher(loss: float, vocabulary: int) -> None:
    """Log the teacher's held-out loss before the first step, and warn where it is hardly better than chance."""
    chance = math.log(vocabulary)
    logger.info("teacher on held-out text: %.3f nats per hidden token (chance: %.3f)", loss, chance)
    if loss > 0.95 * chance:
        logger.warning("this teacher predicts hardly better than chance: is it trained, and for this language?")


if __name__ == "__main__":
    main()
