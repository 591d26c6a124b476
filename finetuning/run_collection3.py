"""Fine-tune on Collection-3: persons, organisations, and places in news.

python finetuning/run_collection3.py --model_name_or_path outputs/tiny-5k --data_dir COLLECTION3

COLLECTION3 holds train.txt, valid.txt, test.txt, or brat files (.txt with .ann), or is RCC-MSU/collection3 on the Hub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.errors import cli_entry
from finetuning.arguments import parse
from finetuning.sets import collection3


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, save."""
    settings = parse("collection3", collection3.Options, argv)
    from finetuning.experiment import run  # heavy imports only where the arguments are right

    run(collection3.task(settings.options), settings)


if __name__ == "__main__":
    main()
