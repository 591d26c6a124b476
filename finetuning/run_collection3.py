"""Fine-tune on Collection-3: persons, organisations, and places in news.

python finetuning/run_collection3.py --model_name_or_path outputs/tiny-5k --data_dir COLLECTION3

COLLECTION3 holds train.txt, valid.txt, test.txt, or brat files (.txt with .ann), or is RCC-MSU/collection3 on the Hub.
"""

import functools
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.recipe import UserError, cli_entry
from finetuning.arguments import key
from finetuning.experiment import finetune
from finetuning.metrics import EntityScores
from finetuning.sets import collection3
from finetuning.tasks.tagging import Tagging


@dataclass
class Collection3Arguments:
    """Which entities."""

    entity_types: int = key(3, "3: PER, ORG, LOC, the benchmark. 5: GEOPOLIT and MEDIA apart from LOC and ORG.")

    def __post_init__(self):
        if self.entity_types not in collection3.TYPES:
            raise UserError(f"`entity_types` is {self.entity_types}; choose 3 or 5")


OPTIONS = (Collection3Arguments,)


def task(arguments: Collection3Arguments) -> Tagging:
    """Collection-3. Its metric is F1 of whole entities."""
    return Tagging(
        name="collection3",
        labels=collection3.tags(arguments.entity_types),
        read=functools.partial(collection3.read, types=arguments.entity_types),
        write=collection3.write,
        metric=EntityScores(collection3.TYPES[arguments.entity_types]),
        selects="f1",
    )


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, save."""
    finetune(task, "collection3", argv, *OPTIONS)


if __name__ == "__main__":
    main()
