"""Write the model card of a finished folder, with everything measured about its model, and push it to the Hub.

python distillation/run_publish.py --checkpoint outputs/tiny-5k --results outputs/scores speed.json \\
    --onnx deployed/tiny-5k
python distillation/run_publish.py --checkpoint outputs/tiny-5k --hub_model_id NAME --hub_private_repo true
"""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the repository root

from distillation.config.arguments import PushArguments
from distillation.config.command_line import REQUIRED, key
from distillation.config.errors import UserError, cli_entry
from distillation.config.recipe import parse_recipe
from distillation.runs.files import CARD, MEASURED, RESULTS, WEIGHTS, read_json, write_json, write_text

FILES = (WEIGHTS, RESULTS, "config.json", "tokenizer_config.json")  # of a finished folder


@dataclass
class PublishArguments:
    """The finished folder, further measurements of its model, and the repository."""

    checkpoint: Path = key(REQUIRED, "Folder of a finished run.", path="local")
    results: list[Path] = key(
        [],
        "Scores and speed for the card: folders of fine-tuned models, russian_superglue.json, or files of "
        "benchmarks/inference.py.",
        path="local",
    )
    onnx: Path | None = key(None, "Folder of benchmarks/export.py: its model is published too.", path="local")
    hub_model_id: str | None = key(None, "Repository on the Hub; without it the card is written and nothing is sent.")
    hub_token: str | None = key(None, "Token of the Hub; by default HF_TOKEN, or that of `hf auth login`.")
    hub_private_repo: bool | None = key(None, "Whether the repository is private.")
    hub_revision: str | None = key(None, "Branch to push to.")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Read, write the card, push."""
    arguments, card_args = parse_recipe(PublishArguments, PushArguments, argv=argv)
    folder, results = finished(arguments.checkpoint)
    from distillation.hub.measured import copy_exported, exported, gather, read_measured
    from distillation.hub.publishing import OF_LICENSE, card_of
    from distillation.hub.push import push, reserve

    results |= {key: value for key in ("language", "license", "base_model") if (value := getattr(card_args, key))}
    if card_args.license:
        results = {key: value for key, value in results.items() if key not in OF_LICENSE}
    measured = read_measured(folder)
    if arguments.results:
        measured |= gather(folder, results, arguments.results)
    if arguments.onnx:
        measured["exported"] = exported(folder, results, arguments.onnx)
    card_of(folder, results, measured, None)  # a card that cannot be made is refused before anything is written
    if arguments.hub_model_id:
        reserve(arguments, card_args.hub_overwrite, folder / WEIGHTS)
    write_text(folder / CARD, card_of(folder, results, measured, arguments.hub_model_id))
    if arguments.onnx:
        copy_exported(folder, arguments.onnx, measured["exported"])
    if arguments.results:
        write_json(folder / MEASURED, {key: measured.get(key, []) for key in ("scores", "speed")})
    write_json(folder / RESULTS, results)
    print(f"card written: {folder / CARD}")
    if arguments.hub_model_id:
        print(f"pushed to {push(folder, arguments, card_args.hub_overwrite)}")


def finished(checkpoint: Path) -> tuple[Path, dict[str, Any]]:
    """A finished folder and its results. Raises UserError for any other."""
    folder = Path(os.path.abspath(checkpoint))
    if missing := [name for name in FILES if not os.path.isfile(folder / name)]:
        raise UserError(f"`checkpoint` {str(checkpoint)!r} has no {missing[0]}: name the folder of one finished run")
    results = read_json(folder / RESULTS)
    if not isinstance(results, dict) or not isinstance(results.get("recipe"), dict) or "seeds" in results:
        raise UserError(f"`checkpoint` {str(checkpoint)!r}: its {RESULTS} is not from a single run; name one run")
    return folder, results


if __name__ == "__main__":
    main()
