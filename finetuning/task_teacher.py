"""The second step of distillation: a model fine-tuned on the task gives its logits for each training example.

It runs once, before training: the examples stay the same and the teacher has no dropout, so that every epoch would
give the same logits.
"""

import copy
import dataclasses
import logging
import unicodedata
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from datasets import Dataset, concatenate_datasets
from transformers import TrainingArguments

from distillation.config.corpus import CorpusArguments
from distillation.config.errors import UserError
from distillation.models.loading import load_tokenizer_of, load_trained
from distillation.text.reading import load_lines
from finetuning.tasks.base import Part, Row, Task
from finetuning.tasks.bio_spans import words_of
from finetuning.tasks.multi_label import MultiLabel
from finetuning.trainer import TaskTrainer

KEY = "task_teacher"

logger = logging.getLogger(__name__)


def teach(
    task: Task, teacher: str, parts: MutableMapping[str, Part], max_length: int, training: TrainingArguments
) -> dict[str, Any]:
    """Add the logits of the teacher to the inputs of `train`; return its own figures on `validation`.
    Raises UserError for a model that cannot teach this task, or not with its tokenizer."""
    model = load_trained(task.model_class, teacher, KEY, f"fine-tune it on {task.name} first")
    labels = tuple(label for _, label in sorted(model.config.id2label.items())) if task.labels else ()
    several = model.config.problem_type == "multi_label_classification"
    if set(labels) != set(task.labels) or several != isinstance(task, MultiLabel):
        raise UserError(
            f"`{KEY}` {teacher!r} predicts {', '.join(sorted(labels))}{', several a text' * several}, and {task.name} "
            f"has {', '.join(task.labels)}: give a model fine-tuned on this very task"
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
    logger.info("%s answers %s texts to learn from: once, before training", teacher, f"{len(parts['train'].rows):,}")
    trainer = TaskTrainer(model, copy.copy(training), task=teacher_task, validation=validation, tokenizer=tokenizer)
    scores, _ = trainer.measure(validation)
    logits = trainer.logits(train.inputs)
    if task.labels:
        logits = [one[..., [labels.index(label) for label in task.labels]] for one in logits]
    column = Dataset.from_dict({"teacher_logits": task.teacher_logits(train, logits, parts["train"])})
    parts["train"] = dataclasses.replace(parts["train"], inputs=concatenate_datasets([inputs, column], axis=1))
    return {"model": teacher} | {f"validation_{metric}": value for metric, value in scores.items()}


def unlabelled_rows(task: Task, file: str, text_column: str, parts: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Rows of texts that no part has, each once, without labels. file: a corpus.
    Raises UserError for a task whose examples are more than a text, and for a corpus that cannot be read."""
    fields = parts["train"][0].keys() - {"place"}
    if fields not in ({"id", "text", "label"}, {"id", "text", "words", "tags"}):
        raise UserError(f"`unlabelled_file` has texts alone, and an example of {task.name} is more than a text")
    lines = load_lines(CorpusArguments(text_column=text_column), file, None)["text"][:]
    own = (row["text"] for part in parts.values() for row in part)
    known = {without_spaces(line) for text in own for line in (text, *text.splitlines())}
    texts = [text for text in dict.fromkeys(lines) if without_spaces(text) not in known]
    if not texts:
        raise UserError(f"`unlabelled_file` {file!r} has no text that is not in train, validation, or test")
    kept, left_out = f"{len(texts):,}", f"{len(lines) - len(texts):,}"
    logger.info("%s texts without labels; left out: %s repeats or known ones", kept, left_out)
    rows = [{"id": f"unlabelled-{number}", "text": text} for number, text in enumerate(texts, start=1)]
    if "label" in fields:
        return [row | {"label": None} for row in rows]
    words = map(words_of, texts)
    return [row | {"words": found, "tags": [None] * len(found)} for row, found in zip(rows, words, strict=True)]


def without_spaces(text: str) -> str:
    """What two texts share that differ in white space alone, as a text and its tokens with spaces between them do."""
    return "".join(unicodedata.normalize("NFC", text).split())
