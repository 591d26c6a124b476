"""Train a masked-LM teacher on a corpus: from scratch, tokenizer included, or from a model that exists.

python distillation/run_teacher.py --train_file corpus.txt.gz --output_dir outputs/teacher --max_steps 10000
python distillation/run_teacher.py --model_name_or_path MODEL --train_file corpus.txt.gz --output_dir outputs/adapted
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import MaskingArguments, PushArguments
from distillation.config.corpus import DataArguments
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe
from distillation.config.teacher import CONTINUED_LEARNING_RATE, TeacherArguments

ARGUMENTS = (TeacherArguments, DataArguments, MaskingArguments, PushArguments)


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Parse, train, evaluate, publish."""
    *arguments, card_args, training_args = parse_recipe(*ARGUMENTS, argv=argv, training=True)
    from distillation.assembly import build_teacher_run, train_and_publish  # heavy imports only here
    from distillation.demo.resolve import resolve_demo

    teacher_args, data_args, _ = arguments
    if teacher_args.model_name_or_path is not None and "learning_rate" not in training_args.given:
        training_args.learning_rate = CONTINUED_LEARNING_RATE
    with training_args.main_process_first():
        resolve_demo(data_args)
    train_and_publish(build_teacher_run, *arguments, card_args=card_args, training_args=training_args)


if __name__ == "__main__":
    main()
