"""Fine-tune a checkpoint on a task: read, train, keep what validates best, score it on the test part, save."""

import copy
import dataclasses
import logging
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from distillation.config.arguments import CardArguments
from distillation.config.errors import UserError
from distillation.config.recipe import parse_recipe
from distillation.hub.publishing import card_facts, check_push, save_card
from distillation.hub.push import Repository, push
from distillation.models.loading import load_tokenizer_of
from distillation.runs.agreement import writing
from distillation.runs.files import RESULTS, WEIGHTS, recipe_of, sha256, write_json
from distillation.runs.resume import MACHINE, begin, checkpoint_of, finished, names_checkpoint
from finetuning.arguments import FinetuningArguments, TaskTeacherArguments, TaskTrainingArguments
from finetuning.results import over_seeds, save_predictions, table
from finetuning.splits import Part, read_parts
from finetuning.task_teacher import teach
from finetuning.tasks.base import Task
from finetuning.trainer import TaskTrainer

logger = logging.getLogger(__name__)

ARGUMENTS = (FinetuningArguments, TaskTeacherArguments, CardArguments)
RECIPES = Path(__file__).parent / "recipes"


@dataclass(frozen=True)
class Settings:
    """What a recipe and the command line say."""

    arguments: FinetuningArguments
    teacher: TaskTeacherArguments
    own: tuple  # an instance of each dataclass that the script adds
    card: CardArguments
    training: TaskTrainingArguments


def finetune(make_task: Callable[..., Task], recipe: str, argv: Sequence[str] | None, *options: type) -> None:
    """Fine-tune on one task, as a script does; see `parse` and `run`.

    make_task: gives the task, of an instance of each of the `options`.
    """
    settings = parse(recipe, argv, *options)
    run(make_task(*settings.own), settings)


def parse(recipe: str, argv: Sequence[str] | None, *options: type) -> Settings:
    """What the command line says over what the recipe says.

    recipe: the name of the one in `recipes/` that holds unless `--config` names another; options: dataclasses of the
    script's own keys.

    Raises UserError for what `parse_recipe` refuses.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not any(word.split("=")[0] == "--config" for word in argv):
        argv = ["--config", str(RECIPES / f"{recipe}.yaml"), *argv]
    types = (*ARGUMENTS[:2], *options, *ARGUMENTS[2:])
    arguments, teacher, *own, card, training = parse_recipe(*types, argv=argv, training=lambda: TaskTrainingArguments)
    return Settings(arguments, teacher, tuple(own), card, training)


def run(task: Task, settings: Settings) -> dict[str, Any]:
    """Fine-tune and score, once or with several seeds; what came out, which is also saved, printed, and pushed.

    Raises UserError for what cannot be done, before any training.
    """
    arguments, training = settings.arguments, copy.copy(settings.training)
    check(arguments, training, task)
    if training.disable_tqdm:
        transformers.utils.logging.disable_progress_bar()
    training.push_to_hub = False  # the Trainer's own push would take optimiser states along
    runs = runs_of(arguments.seeds, training)
    recipes = [recipe_of_run(settings, one) for one in runs]
    checkpoints = [checkpoint_of(*one, MACHINE) for one in zip(runs, recipes, strict=True)]
    experiment = prepare(task, settings, training)
    check_push(settings.training, settings.card)
    training.hub_model_id = settings.training.hub_model_id  # complete now
    results = [experiment.run(*one) for one in zip(runs, recipes, checkpoints, strict=True)]
    merged = over_seeds(results) if arguments.seeds else results[0]
    if training.process_index == 0:
        folder = Path(training.output_dir)
        if arguments.seeds:
            write_json(folder / RESULTS, merged)
        print(table(task, merged))
        print(f"saved to {folder}")
        if settings.training.push_to_hub:
            print(f"pushed to {push(folder, Repository.of(settings.training, settings.card.hub_overwrite))}")
    return merged


def recipe_of_run(settings: Settings, training: TrainingArguments) -> dict[str, Any]:
    """The keys that make this one run again."""
    training = copy.copy(training)
    training.resume_from_checkpoint = None
    arguments = dataclasses.replace(settings.arguments, seeds=[])
    recipe = recipe_of((arguments, settings.teacher, *settings.own), training) | {"seed": training.seed}
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
    weights = Path(arguments.model_name_or_path, WEIGHTS)
    facts |= {
        "pipeline_tag": task.pipeline_tag,
        "texts": len(task.texts(rows["train"][0])),
        "model": arguments.model_name_or_path,
        "weights": sha256(weights) if weights.is_file() else None,  # which the model began with
        "parameters": model.num_parameters(),
        "max_length": max_length,
        "truncated": truncated,
        "chosen_by": chosen_by(training),
    }
    if settings.teacher.task_teacher:
        facts["task_teacher"] = teach(task, settings.teacher, parts, max_length, training)
    return Experiment(task, settings, parts, tokenizer, facts)


def chosen_by(training: TrainingArguments) -> str:
    """What makes a checkpoint the one that is kept."""
    if not training.load_best_model_at_end:
        return "nothing: it is the last"
    return f"`{training.metric_for_best_model}` on the validation part"


def check(arguments: FinetuningArguments, training: TrainingArguments, task: Task) -> None:
    """Raise UserError for settings that contradict each other; put the task's own metric where none is named."""
    metric = training.metric_for_best_model
    if metric == "benchmark":
        training.metric_for_best_model = task.selects
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
    if not seeds:
        return [training]
    runs = []
    for seed in seeds:
        run = copy.copy(training)
        run.seed, run.output_dir = seed, str(Path(training.output_dir, f"seed-{seed}"))
        runs.append(run)
    return runs


@dataclass(frozen=True)
class Experiment:
    """What the runs of all seeds share."""

    task: Task
    settings: Settings
    parts: Mapping[str, Part]
    tokenizer: PreTrainedTokenizerBase
    facts: Mapping[str, Any]  # for the results

    def run(self, training: TrainingArguments, recipe: Mapping[str, Any], checkpoint: str | None) -> dict[str, Any]:
        """Train with one seed, and save model, figures, and predictions; the figures. A finished run that was to be
        resumed gives what it found."""
        if done := finished(training):
            return done
        begin(training, recipe)
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
        trainer.train(resume_from_checkpoint=checkpoint)
        results = dict(self.facts) | {
            "recipe": recipe,
            "seed": training.seed,
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "best_step": trainer.state.best_global_step,
            "train_seconds": trainer.seconds,
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
            save_predictions(folder, part, predictions[part])
        asked = "submission" if "submission" in predictions else "test"
        self.task.write(folder, self.parts[asked].rows, [one["prediction"] for one in predictions[asked]])
        save_card(folder, results, name)
        write_json(folder / RESULTS, results)
        for checkpoint in folder.glob("checkpoint-*"):  # of no use any more
            shutil.rmtree(checkpoint)
