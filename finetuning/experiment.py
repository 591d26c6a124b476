"""Fine-tune a checkpoint on a task: read, train, keep what validates best, score it on the test part, save."""

import copy
import dataclasses
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase, PrinterCallback, TrainingArguments, set_seed

from distillation.config.errors import UserError
from distillation.hub.card import PARTS, figure, metric_names
from distillation.hub.publishing import card_facts, check_push, save_card
from distillation.hub.push import push
from distillation.models.loading import load_tokenizer_of
from distillation.runs.files import (
    RESULTS,
    WEIGHTS,
    markdown_table,
    mean_and_deviation,
    recipe_of,
    sha256,
    write_json,
    write_text,
)
from distillation.runs.resume import find_checkpoint, finished, names_checkpoint, start_run, writing
from finetuning.arguments import FinetuningArguments, Settings
from finetuning.splits import Part, read_parts
from finetuning.task_teacher import teach
from finetuning.tasks.base import Task
from finetuning.trainer import TaskTrainer

logger = logging.getLogger(__name__)


@dataclass
class TaskTrainingArguments(TrainingArguments):
    """`TrainingArguments` with defaults for fine-tuning: evaluate and save each epoch, keep the best."""

    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    logging_strategy: str = "epoch"
    save_total_limit: int | None = 1  # besides the best
    load_best_model_at_end: bool = True
    metric_for_best_model: str = "benchmark"  # the benchmark's own metric
    train_sampling_strategy: str = "group_by_length"
    bf16: bool | None = None  # where a GPU has it

    def __post_init__(self):
        if self.bf16 is None:
            gpu = torch.cuda.is_available() and not self.use_cpu
            self.bf16 = gpu and not self.fp16 and torch.cuda.is_bf16_supported(including_emulation=False)
        super().__post_init__()


def run(task: Task, settings: Settings) -> dict[str, Any]:
    """Fine-tune, print the scores, and push where that was asked for; the results.

    Raises UserError as `finetune` does.
    """
    results = finetune(task, settings)
    if settings.training.process_index == 0:
        folder = Path(settings.training.output_dir)
        print(table(results))
        print(f"saved to {folder}")
        if settings.training.push_to_hub:
            print(f"pushed to {push(folder, settings.training, settings.card.hub_overwrite)}")
    return results


def finetune(task: Task, settings: Settings, quiet: bool = False) -> dict[str, Any]:
    """Fine-tune and score, once or with several seeds; the results, which are saved as well. What is finished and to
    be resumed is not run again.

    quiet: nothing of what the trainer logs is printed.

    Raises UserError for what cannot be done, before any training.
    """
    arguments, training = settings.arguments, copy.copy(settings.training)
    check(arguments, training, task)
    if training.disable_tqdm:
        transformers.utils.logging.disable_progress_bar()
    training.push_to_hub = False  # the Trainer's own push would take optimiser states along
    runs = runs_of(arguments.seeds, training)
    recipes = [recipe_of_run(settings, one) for one in runs]
    checkpoints = [find_checkpoint(*one) for one in zip(runs, recipes, strict=True)]
    results = [finished_run(one, arguments.model_name_or_path) for one in runs]
    experiment = None if all(results) else prepare(task, settings, training)
    check_push(settings.training, settings.card)
    training.hub_model_id = settings.training.hub_model_id  # complete now
    todo = zip(results, runs, recipes, checkpoints, strict=True)
    results = [found or experiment.run(*one, quiet) for found, *one in todo]
    if not arguments.seeds:
        return results[0]
    merged = over_seeds(results)
    if training.process_index == 0:
        write_json(Path(training.output_dir, RESULTS), merged)
    return merged


def finished_run(training: TrainingArguments, model: str) -> dict[str, Any] | None:
    """The results of a run that was to be resumed and is finished; None if it is not.

    Raises UserError where the model had other weights then.
    """
    found = finished(training)
    if found and found.get("weights") != weights_of(model):
        raise UserError(
            f"`output_dir` {training.output_dir!r} holds a run of other weights than {model} has now: name another "
            "folder, or remove that one"
        )
    return found


def weights_of(model: str) -> str | None:
    """The checksum of a checkpoint's weights; None for one on the Hub."""
    path = Path(model, WEIGHTS)
    return sha256(path) if path.is_file() else None


def recipe_of_run(settings: Settings, training: TrainingArguments) -> dict[str, Any]:
    """The keys that make this one run again."""
    arguments = dataclasses.replace(settings.arguments, seeds=[])
    recipe = recipe_of((arguments, settings.teacher, settings.options), training)
    return {key: value for key, value in recipe.items() if value not in (None, [])}


def prepare(task: Task, settings: Settings, training: TrainingArguments) -> "Experiment":
    """Read the data and make them inputs of the model.

    Raises UserError for data, a checkpoint, or a task teacher that will not do.
    """
    arguments = settings.arguments
    with training.main_process_first():
        rows, facts = read_parts(task, arguments.data_dir)
    task = task.adapted(rows["train"])
    model = task.load_model(arguments.model_name_or_path, arguments.random_weights)
    tokenizer = load_tokenizer_of(model, arguments.model_name_or_path, "model_name_or_path")
    max_length = min(arguments.max_length, tokenizer.model_max_length)
    if max_length < arguments.max_length:
        logger.info("`max_length` is %d here: the model has no more positions", max_length)
    parts = {name: Part(part, task.encode(part, tokenizer, max_length)) for name, part in rows.items()}
    truncated = {name: part.encoded.truncated for name, part in parts.items()}
    if any(truncated.values()):
        logger.info("cut to %d tokens: %s", max_length, truncated)
    facts = facts | {
        "pipeline_tag": task.pipeline_tag,
        "texts": len(task.texts(rows["train"][0])),
        "model": arguments.model_name_or_path,
        "weights": weights_of(arguments.model_name_or_path),  # which the model began with
        "parameters": model.num_parameters(),
        "max_length": max_length,
        "truncated": truncated,
        "chosen_by": "nothing: it is the last",
    }
    if training.load_best_model_at_end:
        facts["chosen_by"] = f"`{training.metric_for_best_model}` on the validation part"
    if settings.teacher.task_teacher:
        facts["task_teacher"] = teach(task, settings.teacher, parts, max_length, training)
    return Experiment(task, settings, parts, tokenizer, facts)


def check(arguments: FinetuningArguments, training: TrainingArguments, task: Task) -> None:
    """Raise UserError for settings that contradict each other; put the task's own metric where none is named."""
    metric = training.metric_for_best_model
    if metric == "benchmark":
        training.metric_for_best_model = task.selection_metric or task.primary_metric
    elif metric != "loss" and metric not in task.metric.names:
        known = ", ".join(["loss", *task.metric.names])
        raise UserError(f"`metric_for_best_model` is {metric!r}; {task.name} has {known}")
    if arguments.early_stopping_patience and not training.load_best_model_at_end:
        raise UserError("`early_stopping_patience` needs `load_best_model_at_end: true`; 0 switches it off")
    if training.dataloader_drop_last:
        raise UserError("`dataloader_drop_last` would leave texts without a prediction: leave it out")
    if arguments.seeds and training.push_to_hub:
        raise UserError("`push_to_hub` publishes one model: give one `seed`, and no `seeds`")
    if arguments.seeds and names_checkpoint(training):
        raise UserError("`resume_from_checkpoint` names one checkpoint, and `seeds` have one each: `true` takes those")


def runs_of(seeds: Sequence[int], training: TrainingArguments) -> list[TrainingArguments]:
    """The training arguments of each run: one, or one a seed in a folder of its own."""
    runs = [copy.copy(training) for _ in seeds]
    for run, seed in zip(runs, seeds, strict=True):
        run.seed, run.output_dir = seed, str(Path(training.output_dir, f"seed-{seed}"))
    return runs or [training]


@dataclass(frozen=True)
class Experiment:
    """What the runs of all seeds share."""

    task: Task
    settings: Settings
    parts: Mapping[str, Part]
    tokenizer: PreTrainedTokenizerBase
    facts: Mapping[str, Any]  # for the results

    def run(
        self, training: TrainingArguments, recipe: Mapping[str, Any], checkpoint: str | None, quiet: bool
    ) -> dict[str, Any]:
        """Train with one seed, and save model, figures, and predictions; the figures."""
        start_run(training, recipe)
        set_seed(training.seed)
        arguments = self.settings.arguments
        trainer = TaskTrainer(
            self.task.load_model(arguments.model_name_or_path, arguments.random_weights),
            training,
            task=self.task,
            train=self.parts["train"].encoded.inputs,
            validation=self.parts["validation"],
            tokenizer=self.tokenizer,
            patience=arguments.early_stopping_patience,
            **self.settings.teacher.weights(),
        )
        if quiet:
            trainer.remove_callback(PrinterCallback)
        trainer.train(resume_from_checkpoint=checkpoint)
        results = dict(self.facts) | {
            "recipe": recipe,
            "seed": training.seed,
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "best_step": trainer.state.best_global_step,
            "train_seconds": trainer.progress.seconds,
            "processes": training.world_size,
            "device": torch.cuda.get_device_name() if training.device.type == "cuda" else "CPU",
        }
        predictions = {}
        for name in ("validation", "test"):
            scores, predictions[name] = trainer.measure(self.parts[name])
            results |= {f"{name}_{metric}": value for metric, value in scores.items()}
        if "submission" in self.parts:
            predictions["submission"] = trainer.answers(self.parts["submission"])
        trainer.save_model()
        if trainer.is_world_process_zero():
            with writing(training.output_dir):
                trainer.save_state()
                source = None if arguments.random_weights else arguments.model_name_or_path
                results |= card_facts(Path(training.output_dir), source, self.settings.card)
                self.save(Path(training.output_dir), training.hub_model_id, results, predictions)
        return results

    def save(
        self, folder: Path, name: str | None, results: Mapping[str, Any], predictions: Mapping[str, list]
    ) -> None:
        """Write figures, card, and predictions beside the model."""
        for part in predictions.keys() - {"validation"}:
            lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in predictions[part])
            write_text(folder / f"{part}_predictions.jsonl", lines)
        submitted = "submission" if "submission" in predictions else "test"
        answers = [one["prediction"] for one in predictions[submitted]]
        self.task.write(folder, self.parts[submitted].rows, answers)
        save_card(folder, results, name)
        write_json(folder / RESULTS, results)
        for checkpoint in folder.glob("checkpoint-*"):  # of no use any more
            shutil.rmtree(checkpoint)


def over_seeds(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One result of several runs that differ in their seed: of each measured figure the mean, and as `*_std` the
    standard deviation of a sample; the runs themselves under `runs`."""
    merged: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(value, int | float) and name.startswith(tuple(f"{part}_" for part in PARTS)):
            merged[name], merged[f"{name}_std"] = mean_and_deviation(values)
        elif name in ("steps", "epochs", "train_seconds"):
            merged[name], _ = mean_and_deviation(values)
        elif all(other == value for other in values):
            merged[name] = value
    merged["recipe"] = {key: value for key, value in runs[0]["recipe"].items() if key != "seed"}
    return merged | {"seeds": [run["seed"] for run in runs], "runs": list(runs)}


def table(results: Mapping[str, Any]) -> str:
    """The metrics as a Markdown table, a row a metric."""
    rows = [[name, *(figure(results, f"{part}_{name}") for part in PARTS)] for name in metric_names(results)]
    return markdown_table([results["task"], *PARTS], rows)
