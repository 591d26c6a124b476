"""Compare masked LMs on held-out text: every model fills in the same hidden words.

python distillation/run_evaluation.py --model_name_or_path outputs/student outputs/teacher --validation_file lines.txt
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.command_line import REQUIRED, key
from distillation.config.corpus import TextArguments
from distillation.config.errors import cli_entry
from distillation.config.recipe import parse_recipe


@dataclass
class EvaluationArguments:
    """Which models, and where the figures go."""

    model_name_or_path: list[str] = key(REQUIRED, "Masked LMs: Hub ids or folders, one or more.", path="model")
    batch_size: int = key(64, "Examples in a forward pass.", least=1)
    output: str | None = key(None, "JSON file for the figures.", path="output")


@cli_entry
def main(argv: list[str] | None = None) -> dict[str, dict[str, float]]:
    """Parse, load, evaluate, print a table and one line of JSON."""
    arguments, data_args = parse_recipe(EvaluationArguments, TextArguments, argv=argv)
    names = arguments.model_name_or_path
    import torch  # heavy imports only where the arguments are right

    from distillation.demo.resolve import resolve_demo
    from distillation.evaluation import evaluate_masked_lm, held_out_examples
    from distillation.models.loading import check_rows, load_masked_lm, load_tokenizer
    from distillation.runs.files import held_out_table, write_json
    from distillation.text.sampling import load_held_out

    resolve_demo(data_args)
    lines = load_held_out(data_args)
    models = [load_masked_lm(name, "model_name_or_path") for name in names]
    tokenizers = [load_tokenizer(name, "model_name_or_path") for name in names]
    for name, model, tokenizer in zip(names, models, tokenizers, strict=True):
        check_rows(tokenizer, model, name, "model_name_or_path", data_args.max_length)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    figures = {}
    examples = held_out_examples(lines, tokenizers, data_args.max_length)
    for name, model, tokenizer, rows in zip(names, models, tokenizers, examples, strict=True):
        figures[name] = evaluate_masked_lm(model.to(device), tokenizer, rows, arguments.batch_size)
        model.cpu()
    print(held_out_table(figures))
    print(json.dumps(figures, ensure_ascii=False))
    if arguments.output:
        write_json(Path(arguments.output), figures)
    return figures


if __name__ == "__main__":
    main()
