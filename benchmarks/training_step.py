"""Measures the time and memory of a training step, and a lower bound (floor) of both.

python benchmarks/training_step.py --cached --output steps.json
python benchmarks/training_step.py --recipes tiny-5k --teacher_name_or_path T --student_vocabulary V --train_file F

For each recipe the trainer is built as distillation/run.py builds it. The command line, or a recipe file of your own,
may name a teacher and a corpus. Otherwise the teacher has the published shape and random weights, the text is in a
synthetic language, and a batch has 8 examples of 128 tokens. Any key of a recipe may follow. These parts are measured
in turns in one process (`timing/step.py`, `timing/measure.py`):

* `step`: everything that the Trainer does from examples to gradients. Its `input pipeline`, and the `optimiser`, are
  also measured alone;
* `floor`: only the forward and backward passes of the same teacher and student, with their heads at the positions and
  rows that the losses need. No loss, alignment, logging, or input pipeline;
* `cached`, with `--cached`: the step with a teacher cache, which is filled first.
"""

import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.timing import RECIPES, SHAPES
from benchmarks.timing.measure import TimingArguments, advice, hardware, memory_text, ratio_text, show, time_text
from distillation.config.arguments import ARGUMENTS, recipe_keys
from distillation.config.command_line import CONFIG, KeyParser, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe, read_recipe
from distillation.runs.files import markdown_table

SIZES = {"max_length": "128", "per_device_train_batch_size": "8"}  # unless a recipe of your own has them
ONE_STEP = {"gradient_accumulation_steps": "1", "max_steps": "1", "eval_strategy": "no", "save_strategy": "no"}
ONE_STEP |= {"disable_tqdm": "true"}
DEFAULT = ["distilrubert-small-cased-conversational", "tiny-5k", "tiny-5k:reduce"]
DEFAULT += ["tiny-5k:match:weight_cosine=0:weight_attention=0"]
TEACHER = SHAPES / "rubert-base-cased-conversational.yaml"


@dataclass
class StepArguments:
    """Which steps are measured."""

    recipes: list[str] = key(
        DEFAULT, "Names in distillation/recipes, or YAML files; `:ALIGNMENT` and `:KEY=VALUE` after one change it."
    )
    teacher_shape: Path = key(TEACHER, "YAML file with the shape of the teacher, if none is named.", path="source")
    cached: bool = key(False, "Also measure the step with a teacher cache.")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Measure the recipes; print the table and one line of JSON."""
    (arguments, timing), changes = KeyParser(StepArguments, TimingArguments, further=recipe_keys()).parse(argv)
    if CONFIG in changes:
        raise UserError("`config` is not for this script: name the recipe as `--recipes FILE.yaml`")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        commands = {name: command(name, changes, folder) for name in arguments.recipes}
        for one in commands.values():  # a wrong key is an error before anything is loaded
            parse_recipe(*ARGUMENTS, argv=one, training=True)
        import torch

        from benchmarks.timing import synthetic
        from benchmarks.timing.roofline import measure_machine
        from benchmarks.timing.step import measure

        synthetic.fill(folder, arguments.teacher_shape)
        rows = []
        for number, (name, one) in enumerate(commands.items()):
            cached = [*one, f"--teacher_cache={folder / f'cache-{number}'}"] if arguments.cached else None
            rows.append({"recipe": name} | measure(one, cached, timing.rounds))
    device = torch.device(rows[0]["device"])
    best = measure_machine({row["precision"] for row in rows}, device).flops
    figures = {"hardware": hardware(device), "best_flops": best, "rows": rows}
    show(table(rows, best), figures, timing.output)
    return figures


def command(name: str, changes: Mapping[str, Sequence[str]], folder: Path) -> list[str]:
    """The command line of a run. An input that is not named is an empty file or folder in `folder`, filled later."""
    recipe, *own = name.split(":")
    path = Path(recipe) if recipe.endswith(".yaml") else RECIPES / f"{recipe}.yaml"
    keys = read_recipe(path, "--recipes")
    published = path.resolve().parent == RECIPES  # the inputs of a recipe of your own exist
    named = set(changes) if published else {*changes, *keys}
    values = {key: value for key, value in SIZES.items() if key not in named} | ONE_STEP
    values |= {"output_dir": str(folder / "output")}
    for name, place in {
        "teacher_name_or_path": "teacher",
        "student_vocabulary": keys.get("student_vocabulary"),
    }.items():
        if place and name not in named:
            values[name] = str(folder / Path(place).name)
            Path(values[name]).mkdir(exist_ok=True)
            Path(values[name], "config.json").touch()
    if not {"train_file", "dataset_name"} & named:
        values["train_file"] = str(folder / "corpus.txt")
        Path(values["train_file"]).touch()
    values |= dict(one.split("=", 1) if "=" in one else ("alignment", one) for one in own)
    words = [word for key, given in changes.items() for word in (f"--{key}", *given)]
    return ["--config", str(path), *(f"--{key}={value}" for key, value in values.items()), *words]


def table(rows: Sequence[dict[str, Any]], best_flops: Mapping[str, float]) -> str:
    """A row a recipe. best_flops: of the machine, by precision."""
    lines = []
    for row in rows:
        step, steady = statistics.median(row["seconds"]["step"]), row["steady"]["step"]
        rate = row["examples"] / (step + statistics.median(row["seconds"]["optimiser"]))
        line = {"recipe": row["recipe"]} | {f"{part}, ms": time_text(one) for part, one in row["seconds"].items()}
        line |= {name: ratio_text(ratio) for name, ratio in row["ratios"].items()}
        line["examples/s"] = f"{rate:.3g}" if steady else "busy"
        line["of the machine's best"] = (
            f"{row['flops'] / step / best_flops[row['precision']]:.0%}" if steady else "busy"
        )
        lines.append(line | {f"MiB, {part}": memory_text(row["mib"][part]) for part in ("step", "floor")})
    busy = advice(row["seconds"][part] for row in rows for part in ("step", "floor"))
    return "\n\n".join(filter(None, [markdown_table(list(lines[0]), [list(line.values()) for line in lines]), busy]))


if __name__ == "__main__":
    main()
