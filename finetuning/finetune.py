"""Fine-tune a checkpoint on a task: once, with several seeds, or with several learning rates."""

import copy
import dataclasses
import functools
import logging
import math
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import transformers
from accelerate.utils import wait_for_everyone
from transformers import TrainingArguments

from distillation.config.errors import Diverged, UserError
from distillation.config.paths import check_no_model
from distillation.hub.card import score_table
from distillation.hub.publishing import check_push, save_card
from distillation.hub.push import push
from distillation.runs import files, resume
from finetuning.arguments import FinetuningArguments, Settings
from finetuning.experiment import Experiment, prepare
from finetuning.seeds import in_folder, over_seeds, runs_of
from finetuning.tasks.base import Task

logger = logging.getLogger(__name__)


def run(task: Task, settings: Settings) -> dict[str, Any]:
    """Fine-tune, print the scores, and push if `push_to_hub` says so; the results. Raises UserError as `finetune`."""
    results, training = finetune(task, settings), settings.training
    if training.process_index == 0:
        print(score_table(results))
        print(f"saved to {training.output_dir}")
        if training.push_to_hub:
            print(f"pushed to {push(Path(training.output_dir), training, settings.card.hub_overwrite)}")
    return results


def finetune(task: Task, settings: Settings, prepared: Callable[[], Experiment] | None = None) -> dict[str, Any]:
    """Fine-tune and score, once or with several seeds; save and return the results. A run that is resumed and finished
    is not repeated. prepared: in place of `prepare`. Raises UserError for what cannot be done, before any training."""
    arguments, training = settings.arguments, settings.training
    if arguments.learning_rates:
        return best_of_rates(task, settings)
    check(arguments, training, task)
    if training.disable_tqdm:
        transformers.utils.logging.disable_progress_bar()
    if arguments.seeds:
        check_no_model(training.output_dir)
        check_folder(training)
    runs = runs_of(settings)
    checkpoints = [resume.find_checkpoint(*one) for one in runs]
    for one, recipe, _ in runs:
        resume.check_length(one, recipe)
    results = [resume.finished(one) for one, *_ in runs]
    experiment = None if all(results) else prepared() if prepared else prepare(task, settings)
    check_push(training, settings.card)
    todo = zip(results, runs, checkpoints, strict=True)
    results = [found or experiment.run(*one, checkpoint) for found, one, checkpoint in todo]
    if not arguments.seeds:
        return results[0]
    merged = in_folder(over_seeds(results), training)
    if training.process_index == 0:
        files.write_json(Path(training.output_dir, files.RESULTS), merged)
    return merged


def best_of_rates(task: Task, settings: Settings) -> dict[str, Any]:
    """Fine-tune with each of `learning_rates`, in a folder of its own. The results and the folder of the one that the
    validation part chooses; those of the others are removed."""
    training, rates = settings.training, settings.arguments.learning_rates
    settings = dataclasses.replace(settings, arguments=dataclasses.replace(settings.arguments, learning_rates=[]))
    folder = Path(training.output_dir)
    if done := resume.finished(training):
        if list(done.get("learning_rates", {})) != [f"{rate:g}" for rate in rates]:
            raise UserError(f"`learning_rates` are not those of the run in {str(folder)!r}: name another `output_dir`")
        training.learning_rate = done["recipe"]["learning_rate"]
        results = finetune(task, settings) | {"learning_rates": done["learning_rates"]}  # it checks the other keys
        if training.process_index == 0:
            files.write_json(folder / files.RESULTS, results)
            for rate in folder.glob("rate-*"):  # an interruption left them
                shutil.rmtree(rate)
        return results
    resume.refuse_one_checkpoint(training, "`learning_rates`")
    check(settings.arguments, copy.copy(training), task)
    check_push(training, settings.card)
    check_folder(training)
    if others := {one.name for one in folder.glob("rate-*")} - {f"rate-{rate:g}" for rate in rates}:
        raise UserError(f"`output_dir` {str(folder)!r} has {min(others)}: repeat its `learning_rates` or name another")
    tried: dict[str, Settings] = {}
    for rate in rates:
        one = copy.copy(training)
        one.learning_rate, one.output_dir, one.push_to_hub = rate, str(folder / f"rate-{rate:g}"), False
        tried[f"{rate:g}"] = dataclasses.replace(settings, training=one)
        for run_of_rate, *_ in runs_of(tried[f"{rate:g}"]):
            resume.check_folder(run_of_rate)  # the last rate is refused before the first trains
    found: dict[str, dict[str, Any]] = {}
    once = functools.cache(lambda: prepare(task, of_rate))  # all rates share inputs and a task teacher's logits
    for rate, of_rate in tried.items():
        logger.info("learning rate %s (of %s)", rate, ", ".join(tried))
        try:
            found[rate] = finetune(task, of_rate, once)
        except Diverged:
            logger.info("learning rate %s diverged, and is left out", rate)
    if not found:
        raise UserError(f"`learning_rates`: the loss is not finite with any of {', '.join(tried)}: try lower ones")
    metric = f"validation_{one.metric_for_best_model}"
    scores = {rate: found[rate][metric] if rate in found else None for rate in tried}  # None: it diverged
    best = best_rate(found, metric, one.greater_is_better)
    results = in_folder(found[best], training) | {"learning_rates": scores}
    wait_for_everyone()  # no rank reads these folders any more
    if training.process_index == 0:
        copy_run(folder / f"rate-{best}", folder)
        if (folder / files.CARD).exists() and not settings.arguments.seeds:
            save_card(folder, results, training.hub_model_id)
        files.write_json(folder / files.RESULTS, results)
        for rate in tried:
            shutil.rmtree(folder / f"rate-{rate}")
    return results


def best_rate(found: Mapping[str, Mapping[str, Any]], metric: str, greater_is_better: bool) -> str:
    """The learning rate of the best results, of equal ones that of the lowest loss. NaN is the worst."""
    scores, sign = {rate: results[metric] for rate, results in found.items()}, 1 if greater_is_better else -1
    merits = {rate: -math.inf if math.isnan(score) else sign * score for rate, score in scores.items()}
    best = max(merits, key=lambda rate: (merits[rate], -found[rate]["validation_loss"]))
    shown = ", ".join(f"{rate}: {score:.4f}" for rate, score in scores.items())
    ties = ", whose loss is the lowest of equal ones" * ([*merits.values()].count(merits[best]) > 1)
    logger.info("learning rates by `%s`: %s; %s is taken%s", metric, shown, best, ties)
    return best


def check_folder(training: TrainingArguments) -> None:
    """Raise UserError as `resume.check_folder` does, and where some of several runs are finished and not resumed."""
    folder = Path(training.output_dir)
    ended = (one for part in ("rate", "seed") for one in folder.glob(f"{part}-*/**/{files.RESULTS}"))
    if not resume.is_resumed(training) and not (folder / files.RESULTS).exists() and any(ended):
        raise UserError(
            f"`output_dir` {training.output_dir!r} holds an unfinished run: continue it with "
            "`--resume_from_checkpoint true`, or name another folder"
        )
    resume.check_folder(training)


def copy_run(source: Path, target: Path) -> None:
    """Copy a finished run but for its results, which say that all is there. The recipe comes first: with it, a copy
    that was cut short can be made again."""
    if (source / files.RECIPE).exists():  # several seeds have one each
        shutil.copy(source / files.RECIPE, target)
    left_out = {str(source): [files.RESULTS]}
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=lambda folder, _: left_out.get(str(folder), []))


def check(arguments: FinetuningArguments, training: TrainingArguments, task: Task) -> None:
    """Raise UserError for settings that contradict each other; put the task's own metric in place of `benchmark`."""
    metric = training.metric_for_best_model
    if metric == "benchmark":
        training.metric_for_best_model = task.selection_metric or task.primary_metric
    elif metric not in (known := {"loss", *task.metric.names, task.selection_metric or "loss"}):
        raise UserError(f"`metric_for_best_model` is {metric!r}; {task.name} has {', '.join(sorted(known))}")
    if arguments.early_stopping_patience and not training.load_best_model_at_end:
        raise UserError("`early_stopping_patience` needs `load_best_model_at_end: true`; 0 switches it off")
    if training.dataloader_drop_last:
        raise UserError("`dataloader_drop_last` would leave texts without a prediction: leave it out")
    if arguments.seeds and training.push_to_hub:
        raise UserError("`push_to_hub` publishes one model: give one `seed`, and no `seeds`")
    if arguments.seeds:
        resume.refuse_one_checkpoint(training, "`seeds`")
