"""SberQuAD: questions about paragraphs, in SQuAD's format."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetuning.formats import squad

if TYPE_CHECKING:
    from finetuning.tasks.question_answering import QuestionAnswering


@dataclass
class Options:
    """It has no keys of its own."""


def task(options: Options) -> "QuestionAnswering":
    """SberQuAD. The dev part is what is reported, as published scores are, so a part of train serves to validate."""
    from finetuning.metrics import AnswerScores
    from finetuning.tasks.question_answering import QuestionAnswering

    return QuestionAnswering(
        name="sberquad",
        read=squad.read,
        write=squad.write,
        metric=AnswerScores(),
        primary_metric="f1",
        per_cent=True,
        split="validation",
    )
