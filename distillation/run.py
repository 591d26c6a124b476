"""Distil a masked-LM teacher into a smaller student.

accelerate launch distillation/run.py --config distillation/recipes/demo.yaml
python distillation/run.py --config RECIPE.yaml --teacher_name_or_path TEACHER --train_file corpus.txt.gz

Without any argument it runs the demo.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import ARGUMENTS
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe

DEMO_RECIPE = Path(__file__).parent / "recipes" / "demo.yaml"


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Parse, load, train, evaluate, publish."""
    *arguments, card_args, training_args = parse_recipe(*ARGUMENTS, argv=argv, default=DEMO_RECIPE, training=True)
    from distillation.assembly import build_run, train_and_publish  # heavy imports only here
    from distillation.demo.resolve import resolve_demo

    model_args, data_args, *_ = arguments
    with training_args.main_process_first():
        resolve_demo(data_args, model_args)
    train_and_publish(build_run, *arguments, card_args=card_args, training_args=training_args)


if __name__ == "__main__":
    main()
