"""Fine-tune on ParaPhraser: whether two headlines say the same.

python finetuning/run_paraphraser.py --model_name_or_path outputs/tiny-5k --data_dir PARAPHRASER

PARAPHRASER holds paraphrases.xml and paraphrases_gold.xml, or is merionum/ru_paraphraser on the Hub.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.errors import cli_entry
from finetuning.arguments import parse
from finetuning.sets import paraphraser


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Fine-tune, score, save."""
    settings = parse("paraphraser", paraphraser.Options, argv)
    from finetuning.experiment import run  # heavy imports only where the arguments are right

    run(paraphraser.task(settings.options), settings)


if __name__ == "__main__":
    main()
