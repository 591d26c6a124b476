"""Does distillation pay? Train one student in several ways, with several seeds each, and compare on held-out text.

python benchmarks/quality.py --config distillation/recipes/demo.yaml --seeds 0 1 2 --output_dir outputs/quality
python benchmarks/quality.py --config distillation/recipes/demo-match.yaml \\
    --arms mlm distilled kl_positions=masked alignment=reduce,vocabulary_map=ordered

Every other option goes to distillation/run.py. Finished runs are kept: the same command continues a study.
"""

import argparse
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from tqdm.auto import tqdm

from benchmarks.studying.runs import Run, at_once, options
from benchmarks.timing.options import count
from distillation.assembly import ARGUMENTS
from distillation.config.arguments import TERMS
from distillation.config.recipe import CommandLine, check_output, cli_entry, parse_recipe
from distillation.runs.files import markdown_table, metric_text

NO_TEACHER = {f"weight_{term}": "0" for term in TERMS if term != "mlm"}
ARMS = {  # what each way changes in the recipe; others say it themselves, as in `alignment=match,temperature=1`
    "mlm": NO_TEACHER | {"weight_mlm": "1"},
    "distilled": {},
}
METRICS = {
    "loss": "loss",
    "loss_per_character": "loss per character",
    "masked_token_accuracy": "token accuracy",
    "masked_word_accuracy": "word accuracy",
}


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Run the study and print its table. Exit code 1 if a run failed.

    Raises UserError for a recipe that no run could follow, before the first one.
    """
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--arms",
        nargs="+",
        type=_arm,
        default=list(ARMS),
        help=f"Ways to train: {', '.join(ARMS)}, or what to change in the recipe, as in temperature=1,weight_kl=4.",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--jobs", type=count, default=1, help="Runs at a time; they share the cores.")
    parser.add_argument("--output_dir", type=Path, default=Path("outputs/quality"))
    arguments, recipe = parser.parse_known_args(argv)
    check_output(str(arguments.output_dir))
    ways = [(arm, seed) for seed in arguments.seeds for arm in arguments.arms]
    runs = {way: run_of(*way, recipe, arguments.output_dir) for way in ways}
    for arm in arguments.arms:
        parse_recipe(*ARGUMENTS, argv=list(runs[arm, arguments.seeds[0]].options))
    for run in runs.values():
        run.check()
    work = {run.name: run.make for run in runs.values()}
    for _ in tqdm(at_once(work, arguments.jobs), total=len(work), desc="Runs"):
        pass
    figures = summarise({way: run.results() for way, run in runs.items()})
    text = table(figures)
    print(text)
    (arguments.output_dir / "quality.md").write_text(text + "\n", encoding="utf-8")
    (arguments.output_dir / "quality.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def run_of(arm: str, seed: int, recipe: list[str], output_dir: Path) -> Run:
    """One run of distillation/run.py."""
    changes = ARMS[arm] if arm in ARMS else dict(change.split("=", 1) for change in arm.split(","))
    folder = output_dir / f"{arm}-{seed}"
    words = (*recipe, *options(changes), f"--seed={seed}", f"--output_dir={folder}")
    return Run(f"{arm} with seed {seed}", "distillation/run.py", words, folder)


def _arm(text: str) -> str:
    if text not in ARMS and not all(re.fullmatch(r"\w+=[^,/]+", change) for change in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is neither one of {', '.join(ARMS)} nor key=value,key=value")
    return text


def summarise(results: dict[tuple[str, int], dict[str, float]]) -> dict[str, dict[str, list[float]]]:
    """The held-out figures of each row of the table, a list over the seeds.

    The teacher and the student before training come from the first run, and do not depend on the way of training.
    """
    first = next(iter(results.values()))
    rows = {
        name: {metric: [first[f"{name}_heldout_{metric}"]] for metric in METRICS}
        for name in ("teacher", "student_before")
    }
    for (arm, _), values in results.items():
        row = rows.setdefault(arm, {metric: [] for metric in METRICS})
        for metric in METRICS:
            row[metric].append(values[f"student_heldout_{metric}"])
    return rows


def table(figures: dict[str, dict[str, list[float]]]) -> str:
    """A Markdown table of means and, over several seeds, standard deviations."""
    rows = [
        [name.replace("_", " "), *(metric_text(*one) for one in row.items()), len(row["loss"])]
        for name, row in figures.items()
    ]
    return markdown_table(["held-out text", *METRICS.values(), "seeds"], rows)


if __name__ == "__main__":
    main()
