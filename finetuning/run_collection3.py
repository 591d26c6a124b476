"""Fine-tune on Collection-3: persons, organisations, and places in news.

python finetuning/run_collection3.py --model_name_or_path outputs/tiny-5k --data_dir COLLECTION3

COLLECTION3 holds train.txt, valid.txt, test.txt, or brat files (.txt with .ann), or is RCC-MSU/collection3 on the Hub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.errors import cli_entry
from finetuning.experiment import finetune
from finetuning.sets import collection3

OPTIONS = (collection3.Options,)
task = collection3.task


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, save."""
    finetune(task, "collection3", argv, *OPTIONS)


if __name__ == "__main__":
    main()
