"""What a training step costs, part by part, beside the least that it could and the usual way to compute it.

python benchmarks/training_step.py --output steps.json
python benchmarks/training_step.py --recipes tiny-5k --teacher_name_or_path T --student_vocabulary V --train_file F

Each recipe is a trainer as distillation/run.py builds it, with the recipe's student and, unless the command line or a
recipe of one's own names a teacher and a corpus, a teacher of the published shape with random weights and texts of a
made-up language; 8 examples of 128 tokens unless they say otherwise. Any key of a recipe may follow:
`--max_length`, `--per_device_train_batch_size`, `--bf16`. What is measured (`step.py`):

* the parts: input pipeline, teacher, student, losses, backward, and optimiser, each alone, on one batch;
* `step`: all that the Trainer does from examples to gradients, which is the parts but the optimiser;
* `floor`: the same teacher and student, forward and backward, with their heads at the positions and rows that the
  losses need: no loss, alignment, logging, or input pipeline;
* `full vocabulary`: the gradients of the same loss from the logits of both models at all positions, for all tokens;
* with `--cached`, `cached`: the step that reads a teacher cache, which is filled first.

The parts take turns, and so do the others, in one process (`measure.py`); ratios are of medians, with the least and
largest of a round.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

import torch
from transformers import TrainingArguments, set_seed

from benchmarks.timing import synthetic as made_up
from benchmarks.timing.measure import Measurement, hardware, show, side_by_side, synchronise
from benchmarks.timing.options import count, output_file
from benchmarks.timing.roofline import measure_machine
from benchmarks.timing.rounds import advice, is_steady, spread, time_ratio
from benchmarks.timing.step import Step
from benchmarks.timing.systems import RECIPES, SHAPES
from distillation.assembly import build_run
from distillation.config.arguments import ARGUMENTS
from distillation.config.command_line import CommandLine
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe, read_recipe
from distillation.runs.files import markdown_table

DEFAULT = ("distilrubert-small-cased-conversational", "tiny-5k", "tiny-5k:reduce")
SIZES = {"max_length": "128", "per_device_train_batch_size": "8"}  # unless a recipe of one's own says them
CHANGES = SIZES | {  # of a recipe, for one step
    "gradient_accumulation_steps": "1",
    "max_steps": "1",
    "eval_strategy": "no",
    "save_strategy": "no",
    "disable_tqdm": "true",
}
LINES = 40  # of the made-up corpus


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure the recipes; print the tables and one line of JSON."""
    arguments, overrides = parse(argv)
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(recipe, overrides, Path(folder), arguments) for recipe in arguments.recipes]
    device = torch.device(rows[0]["device"])
    best = measure_machine({row["precision"] for row in rows}, device).flops
    figures = {"hardware": hardware(device), "best_flops": best, "rows": rows}
    show(tables(rows, best), figures, arguments.output)
    return figures


def parse(argv: list[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command line: what is measured, and further keys of the recipes."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    parser.add_argument(
        "--recipes", nargs="+", default=DEFAULT, help="Of distillation/recipes, or YAML files; :ALIGNMENT changes it."
    )
    shape = SHAPES / "rubert-base-cased-conversational.yaml"
    parser.add_argument("--teacher_shape", type=Path, default=shape, help="Of the teacher, where none is named.")
    parser.add_argument("--cached", action="store_true", help="Also the step that reads a teacher cache.")
    parser.add_argument("--rounds", type=count, default=5)
    parser.add_argument("--output", type=output_file, help="JSON file for the figures.")
    return parser.parse_known_args(argv)


def measure(name: str, overrides: list[str], folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """A row: seconds and MiB of every part of a recipe's step."""
    argv = recipe_argv(name, overrides, folder, arguments.teacher_shape)
    step, args = build(argv)
    parts, whole = step.parts(), step.whole()
    if arguments.cached:
        whole["cached"] = build([*argv, "--teacher_cache", str(folder / f"cache-{name}")])[0].whole()["step"]
    measured = {}
    for calls in (parts, whole):  # by turns among themselves: the optimiser leaves nothing in a cache
        for call in calls.values():  # a first call is slower
            call()
        synchronise(args.device)
        measured |= side_by_side(calls, arguments.rounds, args.device)
    return {
        "recipe": name,
        "device": str(args.device),
        "precision": "bf16" if args.bf16 else "fp32",
        "examples": args.per_device_train_batch_size,
        "tokens": step.tokens,
        "seconds": {part: figures.seconds for part, figures in measured.items()},
        "mib": {part: figures.mib for part, figures in measured.items()},
        "flops": step.flops(),
        "ratios": ratios(measured),
    }


def build(argv: list[str]) -> tuple[Step, TrainingArguments]:
    """The step of a recipe, and how it is trained."""
    *parts, _, training_args = parse_recipe(*ARGUMENTS, argv=argv, training=True)
    set_seed(training_args.seed)
    run = build_run(*parts, training_args)
    run.use_cache()
    return Step(run.trainer), training_args


def recipe_argv(name: str, overrides: list[str], folder: Path, teacher_shape: Path) -> list[str]:
    """The command line of a run; what it would read and is not named is made up in `folder`."""
    recipe, _, alignment = name.partition(":")
    path = Path(recipe) if recipe.endswith(".yaml") else RECIPES / f"{recipe}.yaml"
    changes = CHANGES | {"output_dir": str(folder / "output")} | ({"alignment": alignment} if alignment else {})
    keys = read_recipe(path, "--recipes")
    named = {option.split("=")[0].removeprefix("--") for option in overrides}
    if path.parent != RECIPES:  # what a recipe of one's own names is there
        named |= keys.keys()
        changes = {key: value for key, value in changes.items() if key not in SIZES or key not in keys}
    if "teacher_name_or_path" not in named:
        changes["teacher_name_or_path"] = str(folder / "teacher")
        made_up.teacher(folder / "teacher", teacher_shape)
    if "student_vocabulary" in keys.keys() - named:
        changes["student_vocabulary"] = str(folder / Path(keys["student_vocabulary"]).name)
        made_up.vocabulary(Path(changes["student_vocabulary"]))
    if not {"train_file", "dataset_name"} & named:
        changes["train_file"] = str(folder / "corpus.txt")
        made_up.corpus(folder / "corpus.txt", LINES)
    return ["--config", str(path), *(f"--{key}={value}" for key, value in changes.items()), *overrides]


def ratios(measured: dict[str, Measurement]) -> dict[str, dict[str, float]]:
    """How many times as long: the step as its floor, the full vocabulary and, from a cache, the step as it."""
    pairs = {"step to floor": ("floor", "step"), "full vocabulary to step": ("step", "full vocabulary")}
    if "cached" in measured:
        pairs["step to cached"] = ("cached", "step")
    return {name: time_ratio(measured[less].seconds, measured[more].seconds) for name, (less, more) in pairs.items()}


def tables(rows: list[dict[str, Any]], best_flops: dict[str, float]) -> str:
    """What each part takes; then the step as a whole. best_flops: of the machine, by precision."""
    parts = list(rows[0]["seconds"])
    taken = [[row["recipe"], *(_time(row["seconds"][part]) for part in parts)] for row in rows]
    names = list(rows[0]["ratios"])
    head = ["recipe", *names, "tokens/s", "of the machine's best", "MiB, step", "MiB, floor", "MiB, full vocabulary"]
    whole_steps = []
    for row in rows:
        whole = statistics.median(row["seconds"]["step"]) + statistics.median(row["seconds"]["optimiser"])
        used = row["flops"] / statistics.median(row["seconds"]["step"]) / best_flops[row["precision"]]
        cells = [row["recipe"], *(_ratio(row["ratios"][name]) for name in names)]
        cells += [f"{row['tokens'] / whole:.0f}", f"{used:.0%}"]
        whole_steps.append(cells + [_range(row["mib"][part]) for part in ("step", "floor", "full vocabulary")])
    busy = advice(row["seconds"][part] for row in rows for part in ("step", "floor", "full vocabulary"))
    both = markdown_table(["recipe", *parts], taken), markdown_table(head, whole_steps)
    return "\n\n".join(["Milliseconds, medians [least, largest]:", *both, *([busy] if busy else [])])


def _time(seconds: list[float]) -> str:
    return _range(seconds, 1000) + ("" if is_steady(seconds) else f" spread {spread(seconds):.3g}x")


def _range(values: list[float], times: float = 1) -> str:
    if not values:
        return "not measured"
    return f"{times * statistics.median(values):.0f} [{times * min(values):.0f}, {times * max(values):.0f}]"


def _ratio(found: dict[str, float] | None) -> str:
    if found is None:
        return "busy"
    return f"{found['median']:.2f} [{found['min']:.2f}, {found['max']:.2f}]"


if __name__ == "__main__":
    main()
