"""What quality costs: models by their size or latency and by how good they are, and which of them none excels."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks import scores
from benchmarks.reporting import held_out, speed
from benchmarks.reporting.inventory import Inventory
from distillation.runs.files import METRICS
from distillation.runs.result_files import matches


class NothingToCompare(Exception):
    """A comparison lacks what it would be made of. The message is one sentence that says what."""


@dataclass(frozen=True, eq=False)  # two models may look alike
class Model:
    """A model, where it came from, and its scores in per cent by (task, metric)."""

    name: str
    role: str
    source: str
    parameters: int | None
    scores: dict[tuple[str, str], float]


@dataclass(frozen=True)
class Point:
    """A model in a plot."""

    label: str
    role: str
    cost: float
    quality: float


@dataclass(frozen=True)
class Comparison:
    """Points of a plot, and what its axes mean; notes: what else there is to say, in sentences."""

    points: list[Point]
    cost: str
    quality: str
    notes: list[str]


def by_size(inventory: Inventory) -> Comparison:
    """Quality against parameters.

    Raises NothingToCompare where no quality is known.
    """
    found = models(inventory)
    sized = [model for model in found if model.parameters]
    if not sized:
        raise NothingToCompare("The size of no model whose quality is known was found.")
    kept, quality, tasks = comparable(sized)
    points = [Point(model.name, model.role, model.parameters, quality[model]) for model in kept]
    return Comparison(points, "parameters", axis(tasks), left_out(found, kept))


def by_latency(inventory: Inventory) -> Comparison:
    """Quality against the time of one input with the fastest backend, in the setting in which most models were timed.

    Raises NothingToCompare where no quality is known, or none of a model that was timed.
    """
    found = models(inventory)
    single = [row for row in inventory.timings if row["batch_size"] == 1 and "error" not in row]
    if not single:
        raise NothingToCompare("Inference results of batch 1 were not found.")
    settings = sorted(speed.panels(single), key=lambda rows: -rows[0]["sequence_length"])
    times = max((fastest(found, rows) for rows in settings), key=len)  # of equals the first: the longest input
    if not times:
        raise NothingToCompare("No model whose quality is known was timed: `source` names other models.")
    kept, quality, tasks = comparable([model for model in found if model in times])
    points = [
        Point(
            f"{model.name} ({times[model]['backend']})",
            model.role,
            speed.milliseconds(times[model]),
            quality[model],
        )
        for model in kept
    ]
    row = times[kept[0]]
    cost = f"ms for one input of {row['sequence_length']} tokens ({row['head']}, {row['device']})"
    note = f"Timed on {row['hardware']}. Quality is that of the model in PyTorch, whatever the backend."
    return Comparison(points, cost, axis(tasks), [note, *left_out(found, kept)])


def models(inventory: Inventory) -> list[Model]:
    """The fine-tuned models; where there are none, distilled ones and their teachers, by word accuracy.

    Raises NothingToCompare where there are neither.
    """
    found = fine_tuned_models(inventory) or distilled_models(inventory)
    if not found:
        raise NothingToCompare("Neither scores of fine-tuned models nor figures of held-out text were found.")
    return found


def fine_tuned_models(inventory: Inventory) -> list[Model]:
    """A model for each row of the table of scores."""
    groups: dict[str, list[dict]] = {}
    for folder, name in scores.names(inventory.fine_tuned).items():
        groups.setdefault(name, []).append(inventory.fine_tuned[folder])
    return [
        Model(
            name,
            role(runs[0], inventory),
            runs[0]["model"],
            runs[0]["parameters"],  # as the table has it
            {(run["task"], run["metric"]): scores.per_cent(run) for run in runs},
        )
        for name, runs in groups.items()
    ]


def distilled_models(inventory: Inventory) -> list[Model]:
    """Students and teachers; of one measured on several texts the first figure."""
    metric = METRICS.index("masked_word_accuracy")
    found = {
        row.source: Model(
            row.name,
            row.role,
            row.source,
            row.parameters,
            {("held-out text", "word accuracy"): 100 * row.figures[metric]},
        )
        for row in reversed(held_out.rows(inventory))
    }
    return list(reversed(found.values()))


def role(run: dict, inventory: Inventory) -> str:
    """What the model of a fine-tuning run is to the distillation runs."""
    if run["recipe"].get("random_weights"):
        return "random weights"
    teachers = {row.source for row in held_out.rows(inventory) if row.role == "teacher"}
    if matches(run["model"], teachers):
        return "teacher"
    return "student" if matches(run["model"], map(str, inventory.distilled)) else "model"


def comparable(found: Sequence[Model]) -> tuple[list[Model], dict[Model, float], list[tuple[str, str]]]:
    """As many models as share a task, their mean scores over all tasks that they share, and these tasks."""

    def sharing(task: tuple[str, str]) -> tuple[list[Model], list[tuple[str, str]]]:
        having = [model for model in found if task in model.scores]
        return having, [other for other in having[0].scores if all(other in model.scores for model in having)]

    tasks = dict.fromkeys(task for model in found for task in model.scores)
    kept, shared = max(map(sharing, tasks), key=lambda choice: (len(choice[0]), len(choice[1])))
    return kept, {model: statistics.mean(model.scores[task] for task in shared) for model in kept}, shared


def fastest(found: Iterable[Model], timings: Sequence[speed.Timing]) -> dict[Model, speed.Timing]:
    """The row of the fastest backend for each model that was timed."""
    by_source = speed.grouped(timings, "source")
    times = {}
    for model in found:
        same = matches(model.source, [source for (source,) in by_source])
        if len(same) == 1:  # of several with its name none is known to be meant
            times[model] = min(by_source[(same[0],)], key=speed.milliseconds)
    return times


def front(points: Iterable[Point]) -> list[Point]:
    """The points than which none is both as cheap and better, from the cheapest on."""
    best: list[Point] = []
    for point in sorted(points, key=lambda point: (point.cost, -point.quality)):
        if not best or point.quality > best[-1].quality:
            best.append(point)
    return best


def axis(tasks: Sequence[tuple[str, str]]) -> str:
    """What the quality is."""
    if len(tasks) == 1:
        return f"{', '.join(tasks[0])}, %"
    return f"mean score over {', '.join(task for task, _ in tasks)}, %"


def left_out(found: Sequence[Model], kept: Sequence[Model]) -> list[str]:
    """A sentence on the models that are not in the plot, if there are any."""
    missing = [model.name for model in found if model not in kept]
    return [f"Not in it, for want of a common task or of a figure: {', '.join(missing)}."] if missing else []
