"""What the runs of all seeds and learning rates share, made of the data; and one of these runs."""

import copy
import json
import logging
import shutil
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase, TrainingArguments, set_seed

from distillation.hub.publishing import card_facts, save_card
from distillation.models.loading import load_tokenizer_of
from distillation.runs import files, resume
from distillation.runs.checkpoint import checkpoints, explain_write_errors
from finetuning.arguments import Settings
from finetuning.significance import intervals
from finetuning.splits import read_parts, sample
from finetuning.task_teacher import teach, unlabelled_rows
from finetuning.tasks import mistakes
from finetuning.tasks.base import Part, Row, Task
from finetuning.trainer import TaskTrainer

logger = logging.getLogger(__name__)


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
