"""Any checkpoints on any of the benchmarks, in one process: a table of models by tasks.

python finetuning/run_benchmarks.py --tasks rusentiment collection3 terra --models outputs/teacher outputs/tiny-5k \\
    --random_weights outputs/tiny-5k --seeds 1 2 3 --data_dir data --output_dir outputs/benchmarks

What is finished in `output_dir` is not run again, and a run that fails does not end the others. All other keys are
those of the tasks' own scripts and hold for every task that knows them; the rest is as in each task's own recipe.
"""

import copy
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config import training
from distillation.config.command_line import REQUIRED, CommandLine, KeyParser, key
from distillation.config.errors import Stopped, UserError, cli_entry, one_line
from distillation.runs.files import markdown_table, mean_text, write_json
from finetuning.arguments import ARGUMENTS, Settings, TaskTeacherArguments, parse
from finetuning.sets import REGISTRY, make_task, set_of

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

TABLE = "benchmarks.json"

logger = logging.getLogger("finetuning.run_benchmarks")


@dataclass
class BenchmarksArguments:
    """Which models on which tasks."""

    tasks: list[str] = key(REQUIRED, f"Of {', '.join(REGISTRY)}.")
    output_dir: str = key(REQUIRED, "Folder for the table, and for each run's MODEL/TASK.")
    models: list[str] = key([], "Checkpoints: Hub ids or folders.", path="source")
    random_weights: list[str] = key([], "Checkpoints of which only the shape counts: the floor.", path="source")
    task_teacher: str | None = key(None, "One of `models`: the others are trained once more, and learn from it too.")
    data_dir: list[str] = key(
        [], "A folder with one for each set, such as `rusentiment`; or TASK=FOLDER, or TASK=HUB_ID; or `demo`."
    )

    def __post_init__(self):
        for task in self.tasks:
            set_of(task)
        if not self.models and not self.random_weights:
            raise UserError("`models` is missing: name the checkpoints to fine-tune")
        if self.task_teacher and self.task_teacher not in self.models:
            raise UserError(f"`task_teacher` {self.task_teacher!r} is none of `models`, where it is trained first")

    def data_of(self, task: str) -> list[str]:
        """The key that says where the data of a task are, if it is not for the recipe to say."""
        named = dict(place.split("=", 1) for place in self.data_dir if "=" in place)
        roots = [place for place in self.data_dir if "=" not in place]
        found = named.get(task) or named.get(REGISTRY[task])
        if not found and roots:
            folder = Path(roots[0], REGISTRY[task])
            found = str(folder) if folder.is_dir() else roots[0]
        return [f"--data_dir={found}"] if found else []


class Row(NamedTuple):
    """A row of the table, and the folder of its runs."""

    model: str
    name: str
    folder: str
    random_weights: bool = False
    taught: bool = False


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune each model on each task, print and save the table."""
    arguments, rest = parse_benchmarks(argv)
    rows = rows_of(arguments)
    settings = {task: settings_of(task, arguments, rest) for task in dict.fromkeys(arguments.tasks)}
    results, failed = run_all(rows, settings)
    message = f"{len(failed)} of {len(rows) * len(settings)} runs failed: {'; '.join(failed)}"
    if len(failed) == len(rows) * len(settings):
        raise UserError(message)
    if next(iter(settings.values())).training.process_index == 0:
        write_json(Path(arguments.output_dir, TABLE), {"results": results, "failed": failed})
        print(table(results))
    if failed:
        raise SystemExit(message)  # exit code 1: the others are finished


def parse_benchmarks(argv: list[str] | None) -> tuple[BenchmarksArguments, dict[str, list[str]]]:
    """This script's own keys, and the words of those that are for the tasks."""
    config = CommandLine(add_help=False)
    config.add_argument("--config")
    recipe, words = config.parse_known_args(argv)
    (arguments,), rest = KeyParser(BenchmarksArguments, further=keys_of(*REGISTRY)).parse(words)
    return arguments, ({"config": [recipe.config]} if recipe.config else {}) | rest


def keys_of(*tasks: str) -> set[str]:
    """The keys of these tasks' own scripts."""
    types = {*ARGUMENTS, *(set_of(task).Options for task in tasks)}
    return {*training.field_names(), *(field.name for one in types for field in fields(one))}


def rows_of(arguments: BenchmarksArguments) -> list[Row]:
    """The rows of the table. A model is called by the end of its path, or by all of it where another ends so too."""
    ends = Counter(Path(model).name for model in {*arguments.models, *arguments.random_weights})

    def row(model: str, how: str = "", ending: str = "", **options: bool) -> Row:
        name = Path(model).name if ends[Path(model).name] == 1 else model
        return Row(model, name + how, name.strip("./").replace("/", "-") + ending, **options)

    taught = [model for model in arguments.models if arguments.task_teacher not in (None, model)]
    return [
        *(row(model) for model in arguments.models),
        *(row(model, ", random weights", "-random", random_weights=True) for model in arguments.random_weights),
        *(row(model, ", with a task teacher", "-taught", taught=True) for model in taught),
    ]


def settings_of(task: str, arguments: BenchmarksArguments, rest: Mapping[str, list[str]]) -> Settings:
    """What the task's own script would make of the same keys; those that only other sets have are left out."""
    options = set_of(task).Options
    known = {
        "config",
        *training.field_names(),
        *(field.name for one in (*ARGUMENTS, options) for field in fields(one)),
    }
    argv = ["--resume_from_checkpoint=true"]
    for name, words in rest.items():
        if name in known:
            argv += [f"--{name}={words[0]}"] if len(words) == 1 else [f"--{name}", *words]
    argv += [f"--model_name_or_path={[*arguments.models, *arguments.random_weights][0]}", *arguments.data_of(task)]
    argv += [f"--output_dir={arguments.output_dir}"]
    argv += [f"--task={task}"] if task != REGISTRY[task] else []
    argv += [f"--task_teacher={arguments.task_teacher}"] if arguments.task_teacher else []
    settings = parse(REGISTRY[task], set_of(task).Options, argv)
    if settings.training.push_to_hub:
        raise UserError("`push_to_hub` publishes one model: leave it out, and push the best by run_publish.py")
    return settings


def run_all(rows: Sequence[Row], settings: Mapping[str, Settings]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """By row and task the scores of each seed; and a sentence for each run that failed."""
    from tqdm.auto import tqdm  # heavy imports only where the arguments are right
    from tqdm.contrib.logging import logging_redirect_tqdm

    from finetuning.experiment import finetune

    results: dict[str, dict[str, Any]] = {row.name: {} for row in rows}
    failed = []
    silent = next(iter(settings.values())).training.disable_tqdm
    with logging_redirect_tqdm(), tqdm(total=len(rows) * len(settings), unit="run", disable=silent) as bar:
        for name, common in settings.items():
            task = make_task(name, asdict(common.options))  # one for all models, so that its data are read once
            for row in rows:
                bar.set_description(f"{row.name} on {name}")
                try:
                    found = finetune(task, settings_of_row(row, rows, task, common), quiet=True)
                    results[row.name][name] = score(found)
                except Stopped:
                    raise
                except Exception as error:  # whatever it is, the others go on
                    failed.append(f"{row.name} on {name}: {one_line(error)}")
                    logger.error("failed: %s", failed[-1], exc_info=not isinstance(error, UserError))
                bar.update()
    return results, failed


def settings_of_row(row: Row, rows: Sequence[Row], task: "Task", common: Settings) -> Settings:
    """The settings of a task with the model, folder, and teacher of a row."""
    training = copy.copy(common.training)
    root, training.disable_tqdm = Path(training.output_dir), True
    training.output_dir = str(root / row.folder / task.name)
    arguments = replace(common.arguments, model_name_or_path=row.model, random_weights=row.random_weights)
    teacher = TaskTeacherArguments()
    if row.taught:
        folder = next(other.folder for other in rows if other.model == common.teacher.task_teacher)
        seed = [f"seed-{arguments.seeds[0]}"] if arguments.seeds else []
        teacher = replace(common.teacher, task_teacher=str(root.joinpath(folder, task.name, *seed)))
    return replace(common, arguments=arguments, teacher=teacher, training=training)


def score(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the table says of a model on a task: in per cent, of each seed."""
    metric, scale = results["metric"], 1 if results["per_cent"] else 100
    runs = results.get("runs", [results])
    return {
        "metric": metric,
        "scores": [scale * run[f"test_{metric}"] for run in runs],
        "seeds": [run["seed"] for run in runs],
        "parameters": results["parameters"],
    }


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: the mean scores on the test part in per cent, and their deviation over seeds."""
    metrics = {task: found["metric"] for tasks in results.values() for task, found in tasks.items()}
    lines = []
    for name, found in results.items():
        parameters = f"{next(iter(found.values()))['parameters'] / 1e6:.1f} M" if found else ""
        cells = [mean_text(found[task]["scores"], 1) if task in found else "" for task in metrics]
        lines.append([name, parameters, *cells])
    return markdown_table(["model", "parameters", *(f"{task}, {metric}" for task, metric in metrics.items())], lines)


if __name__ == "__main__":
    main()
