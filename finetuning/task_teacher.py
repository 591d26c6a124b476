"""The second step of distillation: a model fine-tuned on the task says what it thinks of each training example.

It is asked once, before training: the examples stay as they are and the teacher has no dropout, so that its answers
would be the same in every epoch.
"""

import copy
import dataclasses
import logging
from collections.abc import MutableMapping
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import PreTrainedModel, TrainingArguments

from distillation.config.errors import UserError
from distillation.models.loading import load_tokenizer_of, load_trained
from finetuning.arguments import TaskTeacherArguments
from finetuning.splits import Part
from finetuning.tasks.base import Task
from finetuning.trainer import TaskTrainer

KEY = "task_teacher"

logger = logging.getLogger(__name__)


def teach(
    task: Task,
    arguments: TaskTeacherArguments,
    parts: MutableMapping[str, Part],
    max_length: int,
    training: TrainingArguments,
) -> dict[str, Any]:
    """Put the teacher's logits into the inputs of `train`; how well the teacher itself does on `validation`.

    Raises UserError for a model that cannot teach this task, or not with its tokenizer.
    """
    name = arguments.task_teacher
    model = load_trained(task.model_class, name, KEY, f"fine-tune it on {task.name} first")
    check_labels(model, task, name)
    tokenizer = load_tokenizer_of(model, name, KEY)
    length = min(max_length, tokenizer.model_max_length)
    # Its labels may stand in another order.
    its_task = dataclasses.replace(task, labels=tuple(model.config.id2label[i] for i in range(len(task.labels))))
    its_parts = {
        which: Part(parts[which].rows, its_task.encode(parts[which].rows, tokenizer, length))
        for which in ("train", "validation")
    }
    theirs, ours = its_parts["train"].encoded, parts["train"].encoded
    if task.needs_one_tokenizer and not theirs.inputs.data["input_ids"].equals(ours.inputs.data["input_ids"]):
        raise UserError(
            f"`{KEY}` {name!r} reads the texts as other tokens than the student: {task.needs_one_tokenizer}; give "
            "a teacher with the student's tokenizer and as many positions"
        )
    trainer = TaskTrainer(
        model,
        copy.copy(training),
        task=its_task,
        train=None,
        validation=its_parts["validation"],
        tokenizer=tokenizer,
    )
    scores, _ = trainer.measure(its_parts["validation"])
    logger.info("task teacher on the validation part: %s", {key: round(value, 4) for key, value in scores.items()})
    logits = trainer.logits(theirs.inputs)
    if task.labels:
        logits = [one[..., [its_task.labels.index(label) for label in task.labels]] for one in logits]
    column = Dataset.from_dict({"teacher_logits": its_task.teacher_logits(theirs, logits, ours)})
    taught = concatenate_datasets([ours.inputs, column], axis=1)
    parts["train"] = Part(parts["train"].rows, dataclasses.replace(ours, inputs=taught))
    return {"model": name} | {f"validation_{metric}": value for metric, value in scores.items()}


def check_labels(model: PreTrainedModel, task: Task, name: str) -> None:
    """Raise UserError for a model that predicts other labels than the task has."""
    known = set(model.config.id2label.values())
    if task.labels and known != set(task.labels):
        raise UserError(
            f"`{KEY}` {name!r} predicts {', '.join(sorted(known))}, and {task.name} has {', '.join(task.labels)}: "
            "give a model fine-tuned on this very task"
        )
