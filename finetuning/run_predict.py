"""Answer a file of texts, of any length, by an exported folder or a checkpoint.

python finetuning/run_predict.py --model_name_or_path deployed/rusentiment --input texts.csv --output answers.csv
python finetuning/run_predict.py --model_name_or_path deployed/sberquad --text_column question \\
    --text_pair_column context --input questions.jsonl --output answers.jsonl

The output has all rows and columns of the input, in their order, and columns with the answers. A folder made by
`benchmarks/export.py` needs neither torch nor transformers.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe
from finetuning.deployed.arguments import PredictArguments


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Answer all rows."""
    (arguments,) = parse_recipe(PredictArguments, argv=argv)
    from finetuning.deployed.bulk import predict  # numpy, pyarrow, and by the model torch

    predict(arguments)


if __name__ == "__main__":
    main()
