"""One page for all results: distillation, fine-tuning, and inference side by side, in tables and pictures.

python benchmarks/report.py outputs speed.json --output_dir outputs/report
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks import scores
from benchmarks.reporting import tables
from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import RESULTS, explain_bad_results, find_runs, mean_and_deviation, read_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD_OUT = """Whole words of held-out text are hidden. Losses are in nats; losses per token depend on the vocabulary.
Runs that differ only in their seed are one row: mean ± standard deviation."""
CURVES = (
    "The loss and its terms in training: mean and standard deviation over runs. Dots are measured on held-out text."
)
SCORES = "Scores on the test parts, in per cent; mean ± standard deviation over seeds."
SPEED = (
    'Speed is relative to the largest model by "torch". A spread, and "busy", mean a busy machine: measure again on '
    "idle cores."
)
SIZES = "Size on disk against the time of one answer. Each point is a model with a backend."
QUALITY = "Each point is a model; a line shows its standard deviation over seeds."


@dataclass
class ReportArguments:
    """What to show, and where."""

    runs: list[Path] = key(REQUIRED, "Folders of finished runs; files of benchmarks/inference.py.", positional=True)
    output_dir: Path = key(REQUIRED, "Where report.md and its pictures go.", path="output_dir")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Read the results, write `report.md` with its pictures, and print where it is."""
    (arguments,) = parse_recipe(ReportArguments, argv=argv)
    files = [path for path in arguments.runs if path.is_file() and path.name != RESULTS]
    runs = find_runs([path for path in arguments.runs if path not in files])
    named = ", ".join(map(str, arguments.runs))
    timings = []
    for file in files:
        with explain_bad_results(file):
            content = read_json(file)
            hardware = ", ".join(f"{name} {value}" for name, value in content["hardware"].items())
            timings += [row | {"hardware": hardware} for row in content["rows"]]
    with explain_bad_results(named):
        found = tables.variants(runs), scores.scores(runs), timings
        if not any(found):
            raise UserError(f"{named}: no results of students, tasks, or timings: name folders of finished runs")
        for path, run in runs.items():
            if "after" in run:  # of run_trimming.py
                print(f"warning: {path} is left out: the figures of a trimmed model are on its card", file=sys.stderr)
        paragraphs, pictures = report(*found)
    write_text(arguments.output_dir / "report.md", "\n\n".join(paragraphs) + "\n")
    for name, picture in pictures.items():
        picture.savefig(arguments.output_dir / f"{name}.png")
    print(arguments.output_dir / "report.md")


def report(
    variants: Sequence[tables.Variant], tuned: Sequence[scores.Score], timings: Sequence[tables.Timing]
) -> tuple[list[str], dict[str, "Figure"]]:
    """The paragraphs of the page, and its pictures by name."""
    from benchmarks.reporting import plots  # matplotlib takes a second

    pictures: dict[str, plots.Figure] = {}

    def drawn(name: str, picture: plots.Figure, caption: str) -> list[str]:
        pictures[name] = picture
        return [caption, f"![{name}]({name}.png)"]

    parts = ["# Results"]
    if variants:
        parts += ["## Distillation", tables.variant_table(variants), HELD_OUT]
    logs = {one.name: [log for log in one.logs if any("loss" in entry for entry in log)] for one in variants}
    if logs := {name: curves for name, curves in logs.items() if curves}:  # a run may end before it logs
        parts += drawn("training-curves", plots.training_curves(logs), CURVES)
    if tuned:
        parts += ["## Fine-tuning", scores.table(tuned), SCORES]
    if timings:
        parts += ["## Inference", tables.speed_tables(timings), SPEED]
    single = tables.single_inputs(timings)
    if len(sized := [row for row in single if row.get("mib")]) > 1:
        parts += drawn("size-and-speed", plots.size_and_speed(sized), SIZES)

    qualities = list(tuned)
    for one in variants:
        right, deviation = (100 * value for value in mean_and_deviation(one.figures["masked_word_accuracy"]))
        qualities.append(scores.Score(one.name, "held-out words", right, deviation, one.parameters, one.source))
    took: dict[Path, float] = {}  # by the model, with its fastest backend
    for row in sorted(single, key=tables.milliseconds, reverse=True):
        took[Path(row["source"]).resolve()] = tables.milliseconds(row)
    by_size = [(score, score.parameters) for score in qualities]
    by_latency = [(score, took[path]) for score in qualities if (path := Path(score.source).resolve()) in took]
    setting = f"ms for one input of {single[0]['sequence_length']} tokens" if single else ""
    for name, costs, label in (("size", by_size, "parameters"), ("latency", by_latency, setting)):
        if costs:
            picture = plots.quality_against_cost(costs, label)
            parts += [f"## Quality against {name}", *drawn(f"quality-{name}", picture, QUALITY)]
    return parts, pictures


if __name__ == "__main__":
    main()
