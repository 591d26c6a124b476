"""SberQuAD: questions about paragraphs, in SQuAD's format."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from finetuning.formats import squad
from finetuning.formats.locate import find, from_hub, local_folder

if TYPE_CHECKING:
    from finetuning.tasks.question_answering import QuestionAnswering

HUB = "kuznetsoffandrey/sberquad"
# Training and test file, by the first pair of which one is there: SQuAD's names, SberQuAD's, and those of flat rows.
FILES = (
    {"train": "train-v1.1.json", "test": "dev-v1.1.json"},
    {"train": "train_v1.0.json", "test": "dev_v1.0.json"},
    {"train": "train.jsonl", "test": "validation.jsonl"},
)


@dataclass
class Options:
    """It has no keys of its own."""


def task(options: Options) -> "QuestionAnswering":
    """SberQuAD. The dev part is what is reported, as published scores are, so a part of train serves to validate."""
    from finetuning.metrics import AnswerScores
    from finetuning.tasks.question_answering import QuestionAnswering

    return QuestionAnswering(
        name="sberquad",
        read=read,
        write=squad.write,
        metric=AnswerScores(),
        primary_metric="f1",
        per_cent=True,
        split="validation",
    )


def read(data_dir: str) -> dict[str, list[dict]]:
    """The splits "train" and "test", the part for development, as answers of the test part proper are hidden. Rows as
    `squad.rows` has them. data_dir: a folder with one pair of FILES, or a Hub id such as HUB.
    Raises UserError for a missing file, and for what is wrong in one.
    """
    folder = local_folder(data_dir, "sberquad", HUB, *FILES[0].values())
    if folder is None:
        sources = from_hub(data_dir, {"train": "train", "test": "validation"})
        return {part: squad.rows(*source) for part, source in sources.items()}
    files = next((names for names in FILES if any(folder.glob(f"{names['train']}*"))), FILES[0])
    return {part: squad.read(path) for part, path in find(folder, files).items()}
