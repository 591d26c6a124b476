"""One page for all results: distillation, fine-tuning, and inference side by side, in tables and pictures.

python benchmarks/report.py outputs --output_dir outputs/report
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from matplotlib.figure import Figure

from benchmarks import scores
from benchmarks.reporting import held_out, plots, speed, tradeoff
from benchmarks.reporting.inventory import Inventory, short_names, take_stock
from distillation.config.command_line import CommandLine, check_output
from distillation.config.errors import cli_entry
from distillation.runs.files import write_text

Pictures = dict[str, Figure]  # by file name


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Read the results, write `report.md` with its pictures, and print where it is."""
    parser = CommandLine(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="Folders of finished runs, at any depth, or result files.")
    parser.add_argument("--output_dir", type=Path, required=True, help="Where report.md and its pictures go.")
    arguments = parser.parse_args(argv)
    check_output(str(arguments.output_dir))
    text, pictures = report(take_stock(arguments.runs))
    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for name, figure in pictures.items():
        figure.savefig(arguments.output_dir / name)
    write_text(arguments.output_dir / "report.md", text)
    print(arguments.output_dir / "report.md")


def report(inventory: Inventory) -> tuple[str, Pictures]:
    """The page in Markdown, and the pictures that it shows."""
    pictures: Pictures = {}
    parts = ["# Results"]
    if inventory.distilled:
        parts += distillation(inventory, pictures)
    if inventory.fine_tuned:
        parts += fine_tuning(inventory)
    if inventory.timings:
        parts += inference(inventory, pictures)
    parts += quality("size", tradeoff.by_size, inventory, pictures)
    parts += quality("latency", tradeoff.by_latency, inventory, pictures)
    return "\n\n".join(parts) + "\n", pictures


def distillation(inventory: Inventory, pictures: Pictures) -> list[str]:
    """The held-out figures and the course of training."""
    parts = ["## Distillation", held_out.table(held_out.rows(inventory))]
    parts.append("Held-out text with whole words hidden; losses in nats. Losses per token depend on the vocabulary.")
    names = short_names(list(inventory.distilled))
    histories = {names[folder]: log for folder, log in inventory.histories.items() if log}
    if histories:
        pictures["training-curves.png"] = plots.training_curves(histories)
        shows = "The loss and each of its terms while the students trained; dots are measured on held-out text."
        parts += _picture("training-curves.png", shows)
    return parts


def fine_tuning(inventory: Inventory) -> list[str]:
    """The table of scores."""
    table = scores.table(inventory.fine_tuned)
    return ["## Fine-tuning", table, "Scores on the test parts, in per cent; mean ± standard deviation over seeds."]


def inference(inventory: Inventory, pictures: Pictures) -> list[str]:
    """Timings and bars for each hardware, then what could not be measured."""
    parts = ["## Inference"]
    for (hardware,), rows in speed.grouped(inventory.timings, "hardware").items():
        parts.append(f"On {hardware}:")
        if speed.panels(rows):
            parts += [
                speed.table(rows),
                'Times as fast as the largest model with the backend "torch" on the same input.',
            ]
        for (head, device), some in speed.grouped(rows, "head", "device").items():
            panels = speed.panels(some)
            if panels:
                name = f"speed-{1 + sum(other.startswith('speed') for other in pictures)}.png"
                titles = [f"{head}, {row['batch_size']} x {row['sequence_length']} tokens" for row, *_ in panels]
                pictures[name] = plots.speed_bars(panels, titles)
                shows = (
                    f"How long {head} takes on {device}: a bar a backend, the tick is the bound set by the hardware."
                )
                parts += _picture(name, shows)
        if failed := speed.failures(rows):
            parts += ["Not measured:", "\n".join(f"* {sentence}" for sentence in failed)]
    return parts


def quality(
    cost: str, compare: Callable[[Inventory], tradeoff.Comparison], inventory: Inventory, pictures: Pictures
) -> list[str]:
    """A picture of quality against a cost, or what it lacks."""
    heading = f"## Quality against {cost}"
    try:
        comparison = compare(inventory)
    except tradeoff.NothingToCompare as error:
        return [heading, f"Not shown. {error}"]
    name = f"quality-{cost}.png"
    pictures[name] = plots.quality_against_cost(comparison)
    shows = (
        f"{comparison.quality[0].upper()}{comparison.quality[1:]}, against {comparison.cost}; the line is the front"
    )
    return [heading, *_picture(name, f"{shows} of models than which none cheaper is as good."), *comparison.notes]


def _picture(name: str, shows: str) -> list[str]:
    return [shows, f"![{Path(name).stem}]({name})"]


if __name__ == "__main__":
    main()
