"""Which student would you ship? Figures of a study's models in a file for each, a table of all, and a picture.

python benchmarks/students.py outputs/which-student/models/*/* --output_dir benchmarks/results/students

A folder MODEL/SEED holds what benchmarks/studies/which-student.sh has measured of a model. Files in `output_dir` whose
folders are gone are rows of the table as well.
"""

import functools
import itertools
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from benchmarks.compare import metric_of
from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs import files
from distillation.runs.files import RESULTS, explain_bad_results, mean_and_deviation, mean_text, read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE, PICTURE = "students.md", "students.png"
TEXTS = "held-out"  # the folder of the figures of texts that no model has read, a file for each
TASKS = "tasks"  # that of a folder for each task
SHOWN = {"loss_per_character": "nats per character", "masked_word_accuracy": "words"}  # of `files.METRICS`
PICTURED = ("collection3", "F1 of entities, %")  # the task that tells most models from each other
Figures = Mapping[str, Any]


@dataclass
class StudentsArguments:
    """What was measured, and where its figures go."""

    output_dir: Path = key(REQUIRED, "Folder for MODEL-SEED.json, the table, and the picture.", path="output_dir")
    runs: list[Path] = key([], "Folders MODEL/SEED of a study; none: the files alone.", positional=True)


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Write the files of these runs, then the table and the picture of all files; print the table."""
    (arguments,) = parse_recipe(StudentsArguments, argv=argv)
    folder = arguments.output_dir
    found = {path.stem: read_json(path) for path in folder.glob("*-*.json")}
    new = {}
    for run in arguments.runs:
        with explain_bad_results(run):
            new[f"{run.parent.name}-{run.name}"] = figures_of(run)
    if not found | new:
        raise UserError(f"{folder} has no figures: name folders of a study")
    models: dict[str, list[Figures]] = {}  # figures of each seed
    with explain_bad_results(folder):
        for name, figures in sorted((found | new).items()):
            models.setdefault(name.rpartition("-")[0], []).append(figures)
        models = dict(sorted(models.items(), key=lambda item: (-item[1][0]["parameters"], item[0])))
        text, picture = table(models), drawn(models)
    for name, figures in new.items():
        files.write_json(folder / f"{name}.json", figures)
    files.write_text(folder / TABLE, f"{text}\n")
    picture.savefig(folder / PICTURE)
    print(text)


def figures_of(run: Path) -> dict[str, Any]:
    """What a folder MODEL/SEED tells of a model; scores in per cent.

    Raises UserError for a folder without an export, and what Python raises for results that lack something.
    """
    export = read_json(run / "deployed" / files.EXPORTED.name)
    found = {"parameters": export["parameters"], "int8_mb": sum(export["bytes"].values()) / 1e6}
    if (loss := "loss_per_character") in export["exported"]:  # not that of a model of one task
        found["int8_nats_per_character"] = export["exported"][loss] - export["pytorch"][loss]
    if (timed := run / "speed.json").exists():
        (speed,) = read_json(timed)["rows"]
        found["int8_ms"] = 1000 * statistics.median(speed["text_cpu_seconds"])  # other runs share the machine's clock
    if (trained := run / "model" / RESULTS).exists():
        found["steps"] = read_json(trained)["steps"]
    texts = sorted((run / TEXTS).glob("*.json"))
    found["held_out"] = {path.stem: list(read_json(path).values())[0] for path in texts}  # others are beside it
    found["scores"] = {}
    for folder, results in files.find_runs([run / TASKS]).items():
        name = folder.relative_to((run / TASKS).resolve()).parts[0]  # of own labels the study gives the name
        metric = metric_of(results)
        rate = results["recipe"].get("learning_rate")  # none where nothing is fine-tuned
        score = files.in_per_cent(results, f"test_{metric}")
        found["scores"][name] = {"metric": metric, "test": score, "learning_rate": rate}
    return found


def table(models: Mapping[str, Sequence[Figures]]) -> str:
    """Markdown with a row for each model: size, time, and steps of its first seed, and the means of scores over seeds,
    with standard deviations where there are several. The last row has `chance`. Held-out figures count only where the
    same number of words is hidden as in most models."""
    every = [of for seeds in models.values() for of in seeds]
    texts = list(dict.fromkeys(text for of in every for text in of["held_out"]))
    common = {text: statistics.mode([n for of in every if (n := words_of(of, text))] or [0]) for text in texts}
    columns = {}  # of each: the text of a cell, and the figures of each model, one for each seed that has one
    for text, (metric, what) in itertools.product(texts, SHOWN.items()):
        alike = [[of for of in seeds if words_of(of, text) == common[text]] for seeds in models.values()]
        figures = [[of["held_out"][text][metric] for of in seeds] for seeds in alike]
        columns[f"{text}: {what}"] = functools.partial(files.metric_text, metric), figures
    for task in dict.fromkeys(task for of in every for task in of["scores"]):
        figures = [values(seeds, task) for seeds in models.values()]
        columns[task] = functools.partial(mean_text, digits=1), figures
    rows = []
    for place, (name, seeds) in enumerate(models.items()):
        of = seeds[0]
        row = [name, f"{of['parameters'] / 1e6:.1f} M", f"{of['int8_mb']:.1f}"]
        row += [f"{of['int8_ms']:.1f}" if "int8_ms" in of else "", of.get("steps", "")]
        row += [cell(measured[place]) if measured[place] else "" for cell, measured in columns.values()]
        rows.append([*row, len(seeds)])
    apart = ("" if (value := chance(measured)) is None else cell([value]) for cell, measured in columns.values())
    rows.append(["chance", "", "", "", "", *apart, ""])
    return files.markdown_table(["model", "parameters", "MB in int8", "ms in int8", "steps", *columns, "seeds"], rows)


def chance(models: Sequence[Sequence[float]]) -> float | None:
    """How far apart the means of two seeds each of equal models are, at most, in 95 of 100 cases. None without a model
    of several seeds.

    It is t s √(1/2 + 1/2), as in Student's test: s is the standard deviation over seeds, pooled over all models, and t
    the quantile at as many degrees of freedom. Test examples are the same for all, and count as given.
    """
    from scipy.stats import t as student

    squares = [(value - statistics.fmean(seeds)) ** 2 for seeds in models if seeds for value in seeds]
    freedom = len(squares) - sum(1 for seeds in models if seeds)
    return float(student.ppf(0.975, freedom)) * (sum(squares) / freedom) ** 0.5 if freedom else None


def words_of(of: Figures, text: str) -> int:
    """How many words of a held-out text were hidden from a model; 0 where it has not read that."""
    return of["held_out"].get(text, {}).get("masked_words", 0)


def values(seeds: Sequence[Figures], task: str) -> list[float]:
    """The scores of a model on a task, one for each seed that has one."""
    return [of["scores"][task]["test"] for of in seeds if task in of["scores"]]


def drawn(models: Mapping[str, Sequence[Figures]]) -> "Figure":
    """The scores on the task of `PICTURED` against megabytes in int8."""
    from benchmarks.reporting.plots import named_points  # matplotlib takes a second

    points = {
        name: (seeds[0]["int8_mb"], *mean_and_deviation(measured))
        for name, seeds in models.items()
        if (measured := values(seeds, PICTURED[0]))
    }
    return named_points(points, "MB in int8", PICTURED[1])


if __name__ == "__main__":
    main()
