"""All tasks of the benchmark in turn, with one checkpoint."""

import copy
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from distillation.config.errors import UserError
from distillation.config.paths import DEMO
from distillation.runs.files import RESULTS, write_json
from distillation.runs.resume import check_folder, refuse_one_checkpoint
from finetuning.arguments import Settings
from finetuning.finetune import check, run
from finetuning.russian_superglue.readers import read
from finetuning.russian_superglue.report import majority
from finetuning.russian_superglue.submission import write_task, zip_submission
from finetuning.russian_superglue.tasks import NAMES, make_task
from finetuning.seeds import over_seeds, runs_of

logger = logging.getLogger(__name__)


def has_data(name: str, data_dir: str) -> bool:
    """Whether a folder has that of a task. The demo and the Hub have all."""
    return data_dir == DEMO or not Path(data_dir).is_dir() or Path(data_dir, NAMES[name]).is_dir()


def available(data_dir: str) -> list[str]:
    """The tasks whose data are there; the log names the others. Raises UserError for a folder without any."""
    found = [name for name in NAMES if has_data(name, data_dir)]
    if not found:
        raise UserError(f"`data_dir` {data_dir!r} has none of the folders {', '.join(NAMES.values())}")
    for name in [name for name in NAMES if name not in found]:
        logger.warning("`data_dir` has no %s: the task is left out", NAMES[name])
    return found


def run_task(name: str, settings: Settings, folder: Path, terra: Path | None = None) -> dict[str, Any]:
    """Fine-tune on one task, into a folder. terra: a folder of the model of TERRa, which answers LiDiRus as it is;
    without it one is trained."""
    task, settings = make_task(name), of_task(name, settings, folder)
    if name != "lidirus" or terra is None:
        return run(task, settings)
    results = []
    for one, *_ in runs_of(settings):
        model = terra / Path(one.output_dir).relative_to(folder)
        one.num_train_epochs, one.max_steps = 0, -1
        once = dict(random_weights=False, seeds=[], learning_rates=[])
        arguments = replace(settings.arguments, model_name_or_path=str(model), **once)
        results.append(run(task, replace(settings, arguments=arguments, training=one)))
    if not settings.arguments.seeds:
        return results[0]
    merged = over_seeds(results) | {"model": str(terra)}
    write_json(folder / RESULTS, merged)
    return merged


def of_task(name: str, settings: Settings, folder: Path) -> Settings:
    """The settings of one task, whatever else is run or written."""
    training = copy.copy(settings.training)
    training.output_dir = str(folder)
    return replace(settings, training=training, options=replace(settings.options, task=name, submission=None))


def verify(names: Sequence[str], settings: Settings, folders: Mapping[str, Path]) -> None:
    """Raise UserError for what would end the last of these tasks, before the first one trains."""
    if len(names) > 1:
        if settings.training.push_to_hub:
            raise UserError("`push_to_hub` publishes one model: give one `task`")
        if settings.teacher.task_teacher:
            raise UserError("`task_teacher` was fine-tuned on one task: give that `task`")
        refuse_one_checkpoint(settings.training, "several tasks")
    if settings.options.submission and Path(settings.options.submission).is_dir():
        raise UserError(f"`submission` {settings.options.submission!r} is a folder: name a zip")
    for name in names:
        task = make_task(name)
        task.read(settings.data.data_dir)
        check(settings.arguments, copy.copy(settings.training), task)
        for one, *_ in runs_of(of_task(name, settings, folders[name])):
            check_folder(one)


def write_submission(path: Path, data_dir: str, folders: Mapping[str, Path], work: Path) -> None:
    """Write the zip that the leaderboard takes.

    folders: of each task that was run the one with its answers. Of the others the commonest label answers, and where
    there are no data either the file is empty, which the log says; work: a folder for these.
    """
    files = []
    for name, official in NAMES.items():
        if name in folders and (folders[name] / "submission_predictions.jsonl").exists():
            files.append(folders[name] / f"{official}.jsonl")
            continue
        rows = read(name, data_dir) if has_data(name, data_dir) else {}
        submitted = rows.get("submission", [])
        instead = "so that the commonest label answers" if submitted else "and there are no data: its file is empty"
        logger.warning("submission: %s was not run, %s", official, instead)
        files.append(write_task(name, work, submitted, majority(name, rows.get("train", []), submitted)))
    zip_submission(path, files)
    print(f"submission written to {path}")
