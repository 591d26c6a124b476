"""The nine tasks as what a model is trained on: which head reads what."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from transformers import PreTrainedTokenizerBase

from finetuning.russian_superglue import metrics, readers
from finetuning.russian_superglue.rucos import PLACEHOLDER
from finetuning.russian_superglue.submission import write_task
from finetuning.russian_superglue.tasks import LABELS
from finetuning.tasks.base import Encoded, Row, Task
from finetuning.tasks.classification import TextClassification
from finetuning.tasks.marked_words import MarkedWords
from finetuning.tasks.multiple_choice import MultipleChoice
from finetuning.tasks.text_pairs import asked_limit, shortened

ASKED = {"cause": "Что было причиной?", "effect": "Что случилось в результате?"}


def make_task(name: str) -> Task:
    """A task by its name in lower case."""
    kind, options = TextClassification, {}
    if name == "muserc":
        kind = AnswerToQuestion
    elif name in ("russe", "rwsd"):
        # What is asked about is two words. Marks around them need no head of their own, as pooled spans would, so
        # that any sequence classifier of any architecture will do.
        kind = MarkedWords
    elif name == "parus":
        # Two sentences compete, and which is likelier is asked: one score each, and a softmax over both.
        kind = MultipleChoice
        options = {"pairs": premise_and_choices, "answer": number, "right": right_number}
    elif name == "rucos":
        # The candidates are the entities of the passage, as many as there are: the query with each in its gap.
        kind = MultipleChoice
        options = {"pairs": filled_queries, "answer": entity, "right": right_entities}
    # TERRa, RCB, DaNetQA: a class of a pair of texts.
    if name in ("danetqa", "muserc", "rucos"):
        options["first_is_asked"] = True  # about a passage, which is what may be cut
    return kind(
        name=name,
        labels=() if kind is MultipleChoice else LABELS[name],
        read=functools.partial(read, name),
        write=functools.partial(write, name),
        metric=metrics.metric(name),
        selects=metrics.METRICS[name][0],
        split="validation",  # the labels of the test part are kept secret
        **options,
    )


def read(name: str, data_dir: str) -> dict[str, list[Row]]:
    """The parts of a task. LiDiRus has nothing to train on: as the benchmark has it, the model of TERRa answers it."""
    parts = readers.read(name, data_dir)
    if name == "lidirus":
        parts["train"] = readers.read("terra", data_dir)["train"]
    return parts


def write(name: str, folder: Path, rows: Sequence[Row], predictions: Sequence[Any]) -> Path:
    """Write the predictions as the leaderboard takes them."""
    return write_task(folder, name, rows, predictions)


@dataclass(frozen=True, kw_only=True)
class AnswerToQuestion(TextClassification):
    """MuSeRC: whether an answer to a question about a passage is right, each answer on its own, as several may be."""

    texts_are_examples: ClassVar[bool] = False

    def texts(self, row: Row) -> tuple[str]:
        """The passage: many questions share it."""
        return (row["text_2"],)

    def encode(self, rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
        """An input a row: question and answer, then the passage. Of a long question the end goes, never the answer."""
        answers, _ = shortened([row["answer"] for row in rows], tokenizer, 4 * asked_limit(max_length) // 5)
        lengths = [len(ids) for ids in tokenizer(answers, add_special_tokens=False)["input_ids"]]
        left = [asked_limit(max_length) - length for length in lengths]
        questions, _ = shortened([row["text"] for row in rows], tokenizer, left)
        asked = [
            {**row, "text": f"{question} {answer}"}
            for row, question, answer in zip(rows, questions, answers, strict=True)
        ]
        return super().encode(asked, tokenizer, max_length)

    def references(self, rows: Sequence[Row]) -> list[dict[str, str]]:
        """Labels, and whose question they are of."""
        return metrics.references("muserc", rows)


def premise_and_choices(row: Row) -> list[tuple[str, str]]:
    """PARus: the premise with the question in words, and each choice."""
    return [(f"{row['text']} {ASKED[row['question']]}", choice) for choice in row["choices"]]


def filled_queries(row: Row) -> list[tuple[str, str]]:
    """RuCoS: the query with each entity in its gap, and the passage, which is what is cut."""
    return [(row["query"].replace(PLACEHOLDER, choice), row["text"]) for choice in row["choices"]]


def number(row: Row, choice: int) -> str:
    """The number of a choice."""
    return str(choice)


def right_number(row: Row) -> str:
    """The number of the right choice."""
    return str(row["label"])


def entity(row: Row, choice: int) -> str:
    """The text of a choice."""
    return row["choices"][choice]


def right_entities(row: Row) -> list[str]:
    """The texts of the right choices."""
    return row["answers"]
