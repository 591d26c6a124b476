"""Fine-tune a checkpoint on a task: read, train, keep what validates best, score it on the test part, save."""

import copy
import logging
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from distillation.checkpoint import checkpoint_to_resume
from distillation.publish import push, recipe_of
from distillation.recipe import RecipeError, parse_recipe
from finetuning.arguments import FinetuningArguments, TaskTeacherArguments, TaskTrainingArguments
from finetuning.checkpoints import START, load_model, load_tokenizer
from finetuning.demo import demo_data
from finetuning.results import finished_results, over_seeds, save_card, save_predictions, save_results, table
from finetuning.splits import held_out, without_repeats
from finetuning.task import Task
from finetuning.teacher import teach
from finetuning.trainer import Part, TaskTrainer

logger = logging.getLogger(__name__)

ARGUMENTS = (FinetuningArguments, TaskTeacherArguments, TaskTrainingArguments)
RECIPES = Path(__file__).parent / "recipes"
DEMO = "demo"


@dataclass(frozen=True)
class Settings:
    """What a recipe and the command line say."""

    arguments: FinetuningArguments
    teacher: TaskTeacherArguments
    own: tuple  # an instance of each dataclass that the script adds
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

    Raises RecipeError for what `parse_recipe` refuses.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not any(word.split("=")[0] == "--config" for word in argv):
        argv = ["--config", str(RECIPES / f"{recipe}.yaml"), *argv]
    arguments, teacher, *own, training = parse_recipe(*ARGUMENTS[:2], *options, *ARGUMENTS[2:], argv=argv)
    return Settings(arguments, teacher, tuple(own), training)


def run(task: Task, settings: Settings) -> dict[str, Any]:
    """Fine-tune and score, once or with several seeds; what came out, which is also saved, printed, and pushed.

    Raises RecipeError for what cannot be done, before any training.
    """
    arguments, training = settings.arguments, copy.copy(settings.training)
    check(arguments, training, task)
    training.push_to_hub = False  # the Trainer's own push would take optimiser states along
    runs = runs_of(arguments.seeds, training)
    checkpoints = [checkpoint_of(one) for one in runs]
    with training.main_process_first():
        rows, facts = read_parts(task, arguments.data_dir)
    model = load_model(arguments.model_name_or_path, task, arguments.random_weights)
    tokenizer = load_tokenizer(arguments.model_name_or_path, START, model)
    max_length = min(arguments.max_length, tokenizer.model_max_length)
    if max_length < arguments.max_length:
        logger.info("`max_length` is %d here: the model has no more positions", max_length)
    parts = {name: Part(part, task.encode(part, tokenizer, max_length)) for name, part in rows.items()}
    facts |= {
        "model": arguments.model_name_or_path,
        "parameters": model.num_parameters(),
        "max_length": max_length,
        "truncated": {name: part.encoded.truncated for name, part in parts.items()},
        "recipe": recipe_of((arguments, settings.teacher, *settings.own), training),
    }
    if settings.teacher.task_teacher:
        facts["task_teacher"] = teach(task, settings.teacher, parts, max_length, training)
    experiment = Experiment(task, arguments, settings.teacher, parts, tokenizer)
    results = [experiment.run(*one, facts) for one in zip(runs, checkpoints, strict=True)]
    merged = over_seeds(results) if arguments.seeds else results[0]
    if training.process_index == 0:
        folder = Path(training.output_dir)
        if arguments.seeds:
            save_results(folder, merged)
        print(table(task, merged))
        print(f"saved to {folder}")
        if settings.training.push_to_hub:
            push(folder, settings.training)
    return merged


def check(arguments: FinetuningArguments, training: TrainingArguments, task: Task) -> None:
    """Raise RecipeError for settings that contradict each other; put the task's own metric where none is named."""
    metric = training.metric_for_best_model
    if metric == "benchmark":
        training.metric_for_best_model = task.selects
    elif metric != "loss" and metric not in task.metric.names:
        known = ", ".join(["loss", *task.metric.names])
        raise RecipeError(f"`metric_for_best_model` is {metric!r}; {task.name} has {known}")
    if arguments.early_stopping_patience and not training.load_best_model_at_end:
        raise RecipeError("`early_stopping_patience` needs `load_best_model_at_end: true`")
    if arguments.seeds and training.push_to_hub:
        raise RecipeError("`push_to_hub` publishes one model: give one `seed`, and no `seeds`")
    if arguments.seeds and str(training.resume_from_checkpoint).lower() not in ("none", "true", "false"):
        raise RecipeError(
            "`resume_from_checkpoint` names one checkpoint, and `seeds` have one each: `true` takes those"
        )


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


def checkpoint_of(training: TrainingArguments) -> str | None:
    """The checkpoint to go on from.

    Raises RecipeError for those of an earlier, interrupted run that nobody asked to go on with.
    """
    wanted = training.resume_from_checkpoint
    if wanted is None and any(Path(training.output_dir).glob("checkpoint-*")):
        raise RecipeError(
            f"`output_dir` {training.output_dir!r} holds checkpoints of an interrupted run: continue it with "
            "`--resume_from_checkpoint true`, or name another folder"
        )
    return checkpoint_to_resume(training)


def read_parts(task: Task, data_dir: str) -> tuple[dict[str, list], dict[str, Any]]:
    """The rows of `train`, `validation`, `test`, and perhaps `submission`, and facts about them for the results.

    Raises RecipeError for a part that is missing or empty.
    """
    parts = task.read(str(demo_data(task.name)) if data_dir == DEMO else data_dir)
    for name in ("train", "test"):
        if not parts.get(name):
            raise RecipeError(f"`data_dir` {data_dir!r} has no examples for {name}")
    left_out: dict[str, int] = {}
    if task.texts_are_examples:
        parts["train"], left_out = without_repeats(
            parts["train"], task.text, lambda row: tuple(task.references([row])), parts["test"]
        )
    if not parts.get("validation"):
        parts["train"], parts["validation"] = held_out(parts["train"], task.text)
    if not parts["train"]:
        raise RecipeError(f"`data_dir` {data_dir!r} has too few different texts to set some aside for validation")
    sizes = {name: len(part) for name, part in parts.items()}
    logger.info("%s: %s; left out of train: %s", task.name, sizes, left_out or "none")
    return parts, {"task": task.name, "metric": task.selects, "examples": sizes, "left_out": left_out}


@dataclass(frozen=True)
class Experiment:
    """What the runs of all seeds share."""

    task: Task
    arguments: FinetuningArguments
    teacher_arguments: TaskTeacherArguments
    parts: Mapping[str, Part]
    tokenizer: PreTrainedTokenizerBase

    def run(self, training: TrainingArguments, checkpoint: str | None, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Train with one seed, and save model, figures, and predictions; the figures. A finished run that was to be
        resumed gives what it found."""
        folder = Path(training.output_dir)
        resumed = str(training.resume_from_checkpoint).lower() not in ("none", "false")
        if resumed and (done := finished_results(folder)):
            return done
        set_seed(training.seed)
        trainer = TaskTrainer(
            load_model(self.arguments.model_name_or_path, self.task, self.arguments.random_weights),
            training,
            task=self.task,
            train=self.parts["train"].encoded.inputs,
            validation=self.parts["validation"],
            tokenizer=self.tokenizer,
            patience=self.arguments.early_stopping_patience,
            **self.teacher_arguments.weights(),
        )
        metrics = trainer.train(resume_from_checkpoint=checkpoint).metrics
        results = dict(facts) | {
            "seed": training.seed,
            "steps": trainer.state.global_step,
            "epochs": trainer.state.epoch,
            "best_step": trainer.state.best_global_step,
            "train_seconds": metrics["train_runtime"],
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
            trainer.save_state()
            for name in predictions.keys() - {"validation"}:
                save_predictions(folder, name, predictions[name])
            asked = "submission" if "submission" in predictions else "test"
            self.task.write(folder, self.parts[asked].rows, [one["prediction"] for one in predictions[asked]])
            save_card(folder, self.task, training.hub_model_id, results)
            save_results(folder, results)
            for saved in folder.glob("checkpoint-*"):  # of no use any more
                shutil.rmtree(saved)
        return results
