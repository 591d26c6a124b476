"""What a training step costs, part by part, beside the least that it could and the usual way to compute it.

python benchmarks/training_step.py --output steps.json
python benchmarks/training_step.py --recipes tiny-5k --teacher_name_or_path T --student_vocabulary V --train_file F

Every recipe is one trainer, as distillation/run.py would build it, on texts and tokenizers of a made-up language and
with random weights of the published shapes, unless the options after the first line's name others (any key of a recipe
goes). The parts are called in turns in one process (`measure.py`):

* `step`: what the Trainer does from the examples to the gradient: input pipeline, teacher, student, losses, backward;
* `floor`: the same teacher and student, forward and backward, with their heads at the positions and rows that the
  losses need, and nothing else: no loss, alignment, logging, or input pipeline;
* `full vocabulary`: the same loss from the logits of both models at all positions and for all tokens.

The optimiser is measured by itself. On a GPU the floor's arithmetic a second is related to that of a large product.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch
from transformers import set_seed

from benchmarks.measure import hardware, ratio, side_by_side, synchronise
from benchmarks.step import Step
from benchmarks.systems import RECIPES, SHAPES
from distillation.assembly import ARGUMENTS, assemble
from distillation.recipe import command, parse_recipe

DEFAULT = ("distilrubert-small-cased-conversational", "tiny-5k", "distilrubert-tiny-cased-conversational-5k")
TEACHER = SHAPES / "rubert-base-cased-conversational.yaml"
LINES = 200
CHANGES = {  # of a recipe, for one step
    "gradient_accumulation_steps": "1",
    "max_steps": "1",
    "logging_steps": "1",
    "eval_strategy": "no",
    "save_strategy": "no",
}
QUICK = {"rounds": 1, "teacher": "tiny"}


@command
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure the recipes; print the tables and one line of JSON."""
    arguments, overrides = parse(argv)
    figures: dict[str, Any] = {"rows": []}
    with tempfile.TemporaryDirectory() as folder:
        for recipe in arguments.recipes:
            figures["rows"].append(measure(recipe, overrides, Path(folder), arguments))
    figures["hardware"] = hardware(torch.device(figures["rows"][0]["device"]))
    print(tables(figures))
    print(json.dumps(figures))
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command line: what is measured, and further keys of the recipes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--recipes", nargs="+", default=DEFAULT, help="Of distillation/recipes, or YAML files.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, help="JSON file for the figures.")
    return parser.parse_known_args(argv)


def measure(recipe: str, overrides: list[str], folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A row: seconds and MiB of every part of a recipe's step."""
    path = Path(recipe) if recipe.endswith(".yaml") else RECIPES / f"{recipe}.yaml"
    changes = [f"--{key}={value}" for key, value in (CHANGES | {"output_dir": str(folder / "output")}).items()]
    argv = ["--config", str(path), *changes, *overrides]
    *parts, training_args = parse_recipe(*ARGUMENTS, argv=argv)
    set_seed(training_args.seed)
    step = Step(assemble(*parts, training_args).trainer)
    device = training_args.device
    calls = step.parts() | step.whole()
    for call in calls.values():  # a first call is slower
        call()
    synchronise(device)
    measured = side_by_side(calls, arguments.rounds, device)
    tokens = int(step.batch["student"]["attention_mask"].sum())
    return {
        "recipe": path.stem,
        "device": str(device),
        "tokens": tokens,
        "seconds": {name: m.seconds for name, m in measured.items()},
        "mib": {name: m.mib for name, m in measured.items()},
        "flops": step.flops(),
        "to_floor": ratio(measured["floor"].seconds, measured["step"].seconds),
        "to_full_vocabulary": ratio(measured["step"].seconds, measured["full vocabulary"].seconds),
    }


def tables(figures: dict[str, Any]) -> str:
    """Milliseconds of each part; the step beside what it is compared with."""
    names = list(figures["rows"][0]["seconds"])
    lines = ["| recipe | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for row in figures["rows"]:
        lines.append(f"| {row['recipe']} | " + " | ".join(_spread(row["seconds"][name]) for name in names) + " |")
        lines.append(f"{row['tokens']} {row['to_floor']} {row['to_full_vocabulary']}")
    return "\n".join(lines)


def _spread(seconds: list[float]) -> str:
    times = [1000 * s for s in seconds]
    return f"{statistics.median(times):.0f} [{min(times):.0f}, {max(times):.0f}]"


if __name__ == "__main__":
    main()
