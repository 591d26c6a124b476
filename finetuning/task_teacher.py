"""The second step of distillation: a model fine-tuned on the task gives its logits for each training example.

It runs once, before training: the examples stay the same and the teacher has no dropout, so that every epoch would
give the same logits.
"""

import copy
import dataclasses
from collections.abc import MutableMapping
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import TrainingArguments

from distillation.config.errors import UserError
from distillation.models.loading import load_tokenizer_of, load_trained
from finetuning.tasks.base import Part, Task
from finetuning.trainer import TaskTrainer

KEY = "task_teacher"


def teach(
    task: Task, teacher: str, parts: MutableMapping[str, Part], max_length: int, training: TrainingArguments
) -> dict[str, Any]:
    """Add the logits of the teacher to the inputs of `train`; return its own figures on `validation`.
    Raises UserError for a model that cannot teach this task, or not with its tokenizer."""
    model = load_trained(task.model_class, teacher, KEY, f"fine-tune it on {task.name} first")
    labels = tuple(label for _, label in sorted(model.config.id2label.items())) if task.labels else ()
    if set(labels) != set(task.labels):
        raise UserError(
            f"`{KEY}` {teacher!r} predicts {', '.join(sorted(labels))}, and {task.name} has {', '.join(task.labels)}: "
            "give a model fine-tuned on this very task"
        )
    tokenizer = load_tokenizer_of(model, teacher, KEY)
    length = min(max_length, tokenizer.model_max_length)
    teacher_task = dataclasses.replace(task, labels=labels)  # its order may differ from the student's
    train, validation = (teacher_task.encode(parts[name].rows, tokenizer, length) for name in ("train", "validation"))
    inputs = parts["train"].inputs
    if task.needs_one_tokenizer and not train.inputs.data["input_ids"].equals(inputs.data["input_ids"]):
        raise UserError(
            f"`{KEY}` {teacher!r} reads the texts as other tokens than the student: {task.needs_one_tokenizer}; give "
            "a teacher with the student's tokenizer and as many positions"
        )
    trainer = TaskTrainer(model, copy.copy(training), task=teacher_task, validation=validation, tokenizer=tokenizer)
    scores, _ = trainer.measure(validation)
    logits = trainer.logits(train.inputs)
    if task.labels:
        logits = [one[..., [labels.index(label) for label in task.labels]] for one in logits]
    column = Dataset.from_dict({"teacher_logits": task.teacher_logits(train, logits, parts["train"])})
    parts["train"] = dataclasses.replace(parts["train"], inputs=concatenate_datasets([inputs, column], axis=1))
    return {"model": teacher} | {f"validation_{metric}": value for metric, value in scores.items()}
