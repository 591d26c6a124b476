"""Fine-tune on ParaPhraser: whether two headlines say the same.

python finetuning/run_paraphraser.py --model_name_or_path outputs/tiny-5k --data_dir PARAPHRASER

PARAPHRASER holds paraphrases.xml and paraphrases_gold.xml, or is merionum/ru_paraphraser on the Hub.
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.recipe import UserError, cli_entry
from finetuning.arguments import key
from finetuning.experiment import finetune
from finetuning.metrics import LabelScores
from finetuning.sets import paraphraser
from finetuning.tasks.classification import TextClassification


@dataclass
class ParaPhraserArguments:
    """Which of the two tasks."""

    classes: int = key(2, "2: paraphrase or not. 3: strict, loose, or no paraphrase.")

    def __post_init__(self):
        if self.classes not in paraphraser.LABELS:
            raise UserError(f"`classes` is {self.classes}; choose 2 or 3")


OPTIONS = (ParaPhraserArguments,)


def task(arguments: ParaPhraserArguments) -> TextClassification:
    """ParaPhraser. Both of its tasks count accuracy; besides, two classes F1 of paraphrases, three macro F1."""
    labels = paraphraser.LABELS[arguments.classes]
    two = arguments.classes == 2
    return TextClassification(
        name="paraphraser",
        labels=labels,
        read=functools.partial(paraphraser.read, classes=arguments.classes),
        write=paraphraser.write,
        metric=LabelScores(labels, averages=("binary",) if two else ("macro",)),
        selects="f1" if two else "f1_macro",
    )


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, save."""
    finetune(task, "paraphraser", argv, *OPTIONS)


if __name__ == "__main__":
    main()
