"""Any checkpoints on any of the benchmarks, in one process: a table of models by tasks.

python finetuning/run_benchmarks.py --tasks rusentiment collection3 terra --models outputs/teacher outputs/tiny-5k \\
    --random_weights outputs/tiny-5k --seeds 1 2 3 --data_dir data --output_dir outputs/benchmarks

A run that is finished in `output_dir` is not repeated, and a run that fails does not end the others. All other keys
are those of the tasks' own scripts and hold for every task that has them; the rest is as in each task's own recipe.
"""

import copy
import io
import logging
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config import training
from distillation.config.command_line import CONFIG, REQUIRED, KeyParser, key, words_of
from distillation.config.errors import Stopped, UserError, cli_entry, one_line
from distillation.runs import resume
from distillation.runs.files import RANDOM, TAUGHT, in_per_cent, markdown_table, mean_text, write_json
from finetuning.arguments import ARGUMENTS, Settings, TaskTeacherArguments, parse
from finetuning.sets import REGISTRY, make_task, set_of

if TYPE_CHECKING:
    from finetuning.tasks.base import Task

TABLE = "benchmarks.json"
# Kinds of rows, as they end the name of a folder, and of a row.
KINDS = {"": "", "random": RANDOM, "taught": TAUGHT}

logger = logging.getLogger("finetuning.run_benchmarks")


@dataclass
class BenchmarksArguments:
    """Which models on which tasks."""

    tasks: list[Literal[tuple(REGISTRY)]] = key(REQUIRED, "Benchmarks.")
    output_dir: str = key(REQUIRED, "Folder for the table, and for each run's MODEL/TASK.", path="output_dir")
    models: list[str] = key([], "Checkpoints: Hub ids or folders.", path="model")
    random_weights: list[str] = key([], "Checkpoints to train from random weights: the floor.", path="model")
    task_teacher: str | None = key(None, "One of `models`: the others are trained once more and learn from it, too.")
    data_dir: list[str] = key(
        [], "A folder with one for each set, such as `rusentiment`; or TASK=FOLDER, or TASK=HUB_ID; or `demo`."
    )

    def __post_init__(self):
        named = {place.split("=")[0] for place in self.data_dir if "=" in place}
        if unknown := named - {*REGISTRY, *REGISTRY.values()}:
            raise UserError(f"`data_dir` names {min(unknown)}, which is none of {', '.join(REGISTRY)}")
        if len([place for place in self.data_dir if "=" not in place]) > 1:
            raise UserError("`data_dir` names several folders: give one, and TASK=FOLDER for tasks that lie elsewhere")
        if not self.models and not self.random_weights:
            raise UserError("`models` is missing: name the checkpoints to fine-tune")
        if self.task_teacher and self.task_teacher not in self.models:
            raise UserError(f"`task_teacher` {self.task_teacher!r} is none of `models`, where it is trained first")

    def data_of(self, task: str) -> str | None:
        """The folder or Hub id of the data of a task; None for the one that its recipe names."""
        named = dict(place.split("=", 1) for place in self.data_dir if "=" in place)
        root = next((place for place in self.data_dir if "=" not in place), "")
        folder = Path(root, REGISTRY[task])
        found = str(folder) if root and folder.is_dir() else root
        return named.get(task) or named.get(REGISTRY[task]) or found or None


class Row(NamedTuple):
    """A row of the table, and the folder of its runs."""

    model: str
    name: str
    folder: str
    kind: str = ""  # one of KINDS


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune each model on each task, print and save the table."""
    of_one = ("model_name_or_path", "task", "submission")  # one model on one task
    further = {name: about for name, about in keys_of(*REGISTRY).items() if name not in of_one}
    (arguments,), rest = KeyParser(BenchmarksArguments, further=further).parse(argv)
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


def keys_of(*tasks: str) -> dict[str, str]:
    """The keys of these tasks' own scripts, and the help of the usual ones."""
    types = {*ARGUMENTS, *(set_of(task).Options for task in tasks)}
    return training.keys() | {field.name: "" for one in types for field in fields(one)}


def rows_of(arguments: BenchmarksArguments) -> list[Row]:
    """The rows of the table. A model is named by the end of its path, or by all of it if two paths end the same."""
    ends = Counter(Path(model).name for model in {*arguments.models, *arguments.random_weights})
    taught = [model for model in arguments.models if arguments.task_teacher not in (None, model)]
    rows = []
    for kind, models in zip(KINDS, (arguments.models, arguments.random_weights, taught), strict=True):
        for model in models:
            name = Path(model).name if ends[Path(model).name] == 1 else model
            folder = "-".join([name.strip("./").replace("/", "-"), *filter(None, [kind])])
            rows.append(Row(model, name + KINDS[kind], folder, kind))
    return rows


def settings_of(task: str, arguments: BenchmarksArguments, rest: Mapping[str, list[str]]) -> Settings:
    """The settings that the task's own script makes of the same keys; keys that only other sets have are left out."""
    known = {*keys_of(task), CONFIG}
    given = {"resume_from_checkpoint": ["true"]} | {key: words for key, words in rest.items() if key in known}
    own = {
        "model_name_or_path": [*arguments.models, *arguments.random_weights][0],
        "data_dir": arguments.data_of(task),
        "output_dir": arguments.output_dir,
        "task": task if task != REGISTRY[task] else None,
        "task_teacher": arguments.task_teacher,
    }
    given |= {key: [value] for key, value in own.items() if value}
    settings = parse(REGISTRY[task], set_of(task).Options, words_of(given))
    if settings.training.push_to_hub:
        raise UserError("`push_to_hub` publishes one model: leave it out, and push the best by run_publish.py")
    resume.refuse_one_checkpoint(settings.training, "tasks and models")
    return settings


def run_all(rows: Sequence[Row], settings: Mapping[str, Settings]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """By row and task the scores of each seed; and a sentence for each run that failed."""
    from tqdm.auto import tqdm  # heavy imports only where the arguments are right
    from tqdm.contrib.logging import logging_redirect_tqdm

    from finetuning.finetune import finetune

    results: dict[str, dict[str, Any]] = {row.name: {} for row in rows}
    failed = []
    silent = next(iter(settings.values())).training.disable_tqdm
    with logging_redirect_tqdm(), tqdm(total=len(rows) * len(settings), unit="run", disable=silent) as bar:
        for name, common in settings.items():
            task = make_task(name, asdict(common.options))  # one for all models, so that its data are read once
            for row in rows:
                bar.set_description(f"{row.name} on {name}")
                try:
                    with redirect_stdout(io.StringIO()):  # what the trainer logs
                        found = finetune(task, settings_of_row(row, rows, task, common))
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
    arguments = replace(common.arguments, model_name_or_path=row.model, random_weights=row.kind == "random")
    teacher = TaskTeacherArguments()
    if row.kind == "taught":
        folder = next(other.folder for other in rows if other.model == common.teacher.task_teacher)
        seed = [f"seed-{arguments.seeds[0]}"] if arguments.seeds else []
        teacher = replace(common.teacher, task_teacher=str(root.joinpath(folder, task.name, *seed)))
    return replace(common, arguments=arguments, teacher=teacher, training=training)


def score(results: Mapping[str, Any]) -> dict[str, Any]:
    """The scores of a model on a task, for the table: in per cent, of each seed."""
    metric, runs = results["metric"], results.get("runs", [results])
    scores, seeds = [in_per_cent(run, f"test_{metric}") for run in runs], [run["seed"] for run in runs]
    return {"metric": metric, "scores": scores, "seeds": seeds, "parameters": results["parameters"]}


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
