"""Fine-tune on RuSentiment: the sentiment of posts in a social network, five classes.

python finetuning/run_rusentiment.py --model_name_or_path outputs/tiny-5k --data_dir RUSENTIMENT

RUSENTIMENT holds rusentiment_random_posts.csv, rusentiment_test.csv, and perhaps rusentiment_preselected_posts.csv.
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
from finetuning.sets import rusentiment
from finetuning.tasks.classification import TextClassification


@dataclass
class RuSentimentArguments:
    """Which posts to train on."""

    train_parts: list[str] = key(["random"], "Of `random` and `preselected`, the posts to train on.")

    def __post_init__(self):
        if sorted(self.train_parts) not in (["random"], ["preselected"], ["preselected", "random"]):
            raise UserError(f"`train_parts` is {self.train_parts}; name `random`, `preselected`, or both")


OPTIONS = (RuSentimentArguments,)


def task(arguments: RuSentimentArguments) -> TextClassification:
    """RuSentiment. Its own metric is F1 over the five classes, weighted by their size."""
    return TextClassification(
        name="rusentiment",
        labels=rusentiment.LABELS,
        read=functools.partial(rusentiment.read, parts=tuple(arguments.train_parts)),
        write=rusentiment.write,
        metric=LabelScores(rusentiment.LABELS, averages=("weighted", "macro")),
        selects="f1_weighted",
    )


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, save."""
    finetune(task, "rusentiment", argv, *OPTIONS)


if __name__ == "__main__":
    main()
