"""Fine-tune a checkpoint on a task: read, train, choose by the validation part, score on the test part, save."""

import copy
import dataclasses
import functools
import json
import logging
import math
import shutil
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from accelerate.utils import wait_for_everyone
from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from distillation.config.errors import Diverged, UserError
from distillation.config.paths import check_no_model
from distillation.hub.card import score_table
from distillation.hub.publishing import card_facts, check_push, save_card
from distillation.hub.push import push
from distillation.models.loading import load_tokenizer_of
from distillation.runs import files, resume
from distillation.runs.checkpoint import checkpoints, explain_write_errors
from finetuning.arguments import FinetuningArguments, Settings
from finetuning.seeds import in_folder, over_seeds, runs_of
from finetuning.significance import intervals
from finetuning.splits import read_parts, sample
from finetuning.task_teacher import teach, unlabelled_rows
from finetuning.tasks import mistakes
from finetuning.tasks.base import Part, Row, Task
from finetuning.trainer import TaskTrainer

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


def finetune(task: Task, settings: Settings, prepared: "Callable[[], Experiment] | None" = None) -> dict[str, Any]:
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


def prepare(task: Task, settings: Settings) -> "Experiment":
    """Make inputs of the data. Raises UserError for data, a checkpoint, or a task teacher that will not do."""
    arguments, training, teacher = settings.arguments, settings.training, settings.teacher.task_teacher
    with training.main_process_first():
        rows, facts = read_parts(task, settings.data.source)
    texts = (text for part in rows.values() for row in part for text in task.texts(row))
    if decomposed := sum(not unicodedata.is_normalized("NFC", text) for text in texts):
        logger.info("%d texts with decomposed letters: the tokenizer composes them (NFC)", decomposed)
    task = task.adapted(rows)
    rows, facts = with_training_rows(task, settings, rows, facts)
    model = task.load_model(arguments.model_name_or_path, arguments.random_weights)
    tokenizer = load_tokenizer_of(model, arguments.model_name_or_path, "model_name_or_path")
    max_length = min(arguments.max_length, tokenizer.model_max_length)
    tokenizer.model_max_length = max_length  # what the model is scored on is what it reads later
    parts = {name: task.encode(part, tokenizer, max_length) for name, part in rows.items()}
    truncated = {name: part.truncated for name, part in parts.items()}
    if any(truncated.values()):
        texts = ", ".join(f"{count:,} texts of {part}" for part, count in truncated.items() if count)
        logger.info("cut to `max_length` %d: %s", max_length, texts)
    chooser = f"`{training.metric_for_best_model}` on the validation part"
    facts = facts | {
        "pipeline_tag": task.pipeline_tag,
        "texts": task.config.get("texts_at_once", 1),
        "model": arguments.model_name_or_path,
        "weights": files.weights_of(arguments.model_name_or_path),  # before training
        "parameters": model.num_parameters(),
        "max_length": max_length,
        "truncated": truncated,
        "chosen_by": chooser if training.load_best_model_at_end else "nothing: it is the last",
    }
    if teacher:
        facts["task_teacher"] = teach(task, teacher, parts, max_length, training)
    return Experiment(task, settings, parts, tokenizer, facts)


def with_training_rows(
    task: Task, settings: Settings, rows: dict[str, list[Row]], facts: dict[str, Any]
) -> tuple[dict, dict]:
    """Rows and facts with the texts that a task teacher labels; of these and of train at most `max_train_samples`."""
    train, file, most = rows["train"], settings.teacher.unlabelled_file, settings.arguments.max_train_samples
    train = sample(train, most or len(train))
    if len(train) < len(rows["train"]):
        logger.info("`max_train_samples`: %s of %s texts of train", f"{len(train):,}", f"{len(rows['train']):,}")
    examples = facts["examples"] | {"train": len(train)}
    if file:
        more = unlabelled_rows(task, file, getattr(settings.options, "text_column", "text"), rows)
        more = sample(more, most or len(more))
        train, examples = train + more, examples | {"unlabelled": len(more)}
    return rows | {"train": train}, facts | {"examples": examples}


@dataclass(frozen=True)
class Experiment:
    """The common part of the runs of all seeds."""

    task: Task
    settings: Settings
    parts: Mapping[str, Part]
    tokenizer: PreTrainedTokenizerBase
    facts: Mapping[str, Any]  # for the results

    def run(
        self, training: TrainingArguments, recipe: Mapping[str, Any], inputs: Mapping[str, str], checkpoint: str | None
    ) -> dict[str, Any]:
        """Train with one seed; save model, figures, and predictions; return the figures."""
        resume.start_run(training, recipe, inputs)
        set_seed(training.seed)
        arguments, folder = self.settings.arguments, Path(training.output_dir)
        trainer = TaskTrainer(
            self.task.load_model(arguments.model_name_or_path, arguments.random_weights),
            copy.copy(training),  # the trainer changes it
            task=self.task,
            tokenizer=self.tokenizer,
            train=self.parts["train"].inputs,
            validation=self.parts["validation"],
            patience=arguments.early_stopping_patience,
            weight_kl=self.settings.teacher.weight_kl,
            temperature=self.settings.teacher.temperature,
        )
        trainer.train(resume_from_checkpoint=checkpoint)
        results = dict(self.facts) | {
            "recipe": recipe,
            "seed": training.seed,
            "epochs": trainer.state.epoch,
            "best_step": trainer.state.best_global_step,
            **trainer.facts(),
        }
        for name in ("validation", "test"):
            scores, answers = trainer.measure(self.parts[name])
            results |= {f"{name}_{metric}": value for metric, value in scores.items()}
        results["intervals"] = intervals(scores, answers, 100 if self.task.per_cent else 1)
        predictions = {"test": answers}
        results |= trainer.task.config
        if submission := self.parts.get("submission"):
            predictions["submission"] = self.task.decode(submission, trainer.logits(submission.inputs))
        trainer.save_model()
        if trainer.is_world_process_zero():
            with explain_write_errors(folder):
                trainer.save_state()
                source = None if arguments.random_weights else arguments.model_name_or_path
                results |= card_facts(folder, source, self.settings.card)
                self.save(folder, results, predictions)
        return results

    def save(self, folder: Path, results: Mapping[str, Any], predictions: Mapping[str, list]) -> None:
        """Write figures, card, and predictions beside the model."""
        for part in predictions:
            lines = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in predictions[part])
            files.write_text(folder / f"{part}_predictions.jsonl", lines)
        submitted = "submission" if "submission" in predictions else "test"
        answers = [one["prediction"] for one in predictions[submitted]]
        self.task.write(folder, self.parts[submitted].rows, answers)
        if self.task.set:
            mistakes.save(folder, self.task, self.parts["test"].rows, predictions["test"])
        save_card(folder, results, self.settings.training.hub_model_id)
        files.write_json(folder / files.RESULTS, results)
        for checkpoint in checkpoints(folder):  # of no use any more
            shutil.rmtree(checkpoint)
