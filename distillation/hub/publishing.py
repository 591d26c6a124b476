"""Make a finished folder fit for others: its model card, with all that was measured of it, and its place on the Hub.

python -m distillation.hub.publishing --checkpoint outputs/tiny-5k --results outputs/finetuned speed.json \\
    --onnx deployed/tiny-5k
python -m distillation.hub.publishing --checkpoint outputs/tiny-5k --hub_model_id NAME --hub_private_repo true
"""

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import ModelCard

from distillation.config.arguments import CardArguments
from distillation.config.errors import UserError, cli_entry, one_line
from distillation.config.recipe import parse_recipe
from distillation.hub.card import model_card
from distillation.hub.measured import exported, gather, take_exported, what_is_measured
from distillation.hub.push import Repository, push, reserve
from distillation.runs.agreement import writing
from distillation.runs.files import CARD, MEASURED, RESULTS, WEIGHTS, held_out_table, write_json, write_text
from distillation.runs.result_files import read
from distillation.trainer import DistillationTrainer

FILES = (WEIGHTS, RESULTS, "config.json", "tokenizer_config.json")  # of a finished folder
LANGUAGE, LICENSE = "ru", "unknown"  # where neither the user nor the model that one was made of says another


logger = logging.getLogger(__name__)


@dataclass
class PublishArguments:
    """The finished folder, what else is known of its model, and where it goes."""

    checkpoint: str | None = field(default=None, metadata={"help": "Folder of a finished run."})
    results: list[str] = field(
        default_factory=list,
        metadata={"help": "Result files, or folders of them: fine-tuned models, Russian SuperGLUE, inference."},
    )
    onnx: str | None = field(default=None, metadata={"help": "Folder of benchmarks/export.py: its model goes along."})
    hub_model_id: str | None = field(
        default=None, metadata={"help": "Repository on the Hub; unless given, the card is written and nothing sent."}
    )
    hub_token: str | None = field(default=None, metadata={"help": "Token; HF_TOKEN or `hf auth login` unless given."})
    hub_private_repo: bool | None = field(default=None, metadata={"help": "Whether others cannot see it."})
    hub_revision: str | None = field(default=None, metadata={"help": "Branch to push to."})

    def __post_init__(self):
        if self.checkpoint is None:
            raise UserError("`checkpoint` is missing: name the folder of a finished run")


@cli_entry
def main(argv: list[str] | None = None) -> None:
    """Read, write the card, push."""
    arguments, card_args = parse_recipe(PublishArguments, CardArguments, argv=argv)
    folder = Path(arguments.checkpoint).resolve()
    results = finished(folder)
    given = {"language": card_args.language, "license": card_args.license, "base_model": card_args.base_model}
    results |= {key: value for key, value in given.items() if value}
    warn_of_licence(results.get("license"))
    measured = what_is_measured(folder)
    if arguments.results:
        measured |= gather(folder, results, [Path(path) for path in arguments.results])
    if arguments.onnx:
        measured["exported"] = exported(folder, Path(arguments.onnx))
    card_of(folder, results, measured, None)  # what cannot be told is refused before anything is written
    repository = None
    if arguments.hub_model_id:
        options = (arguments.hub_token, arguments.hub_private_repo, arguments.hub_revision, card_args.hub_overwrite)
        repository = reserve(Repository(arguments.hub_model_id, *options), folder / WEIGHTS)
    with writing(folder):
        if arguments.onnx:
            take_exported(folder, Path(arguments.onnx), measured["exported"])
        if arguments.results:
            write_json(folder / MEASURED, {key: measured[key] for key in ("scores", "speed")})
        write_json(folder / RESULTS, results)
        write_text(folder / CARD, card_of(folder, results, measured, repository and repository.name))
    print(f"card written: {folder / CARD}")
    if repository:
        print(f"pushed to {push(folder, repository)}")


def finished(folder: Path) -> dict[str, Any]:
    """The results of a finished folder. Raises UserError for any other."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        raise UserError(f"`checkpoint` {str(folder)!r} has no {missing[0]}: name the folder of one finished run")
    if (folder / CARD).is_dir():
        raise UserError(f"`checkpoint` {str(folder)!r}: its {CARD} is a folder, where the card has to be")
    results = read(folder / RESULTS, True)
    if not isinstance(results, dict) or "seeds" in results:
        raise UserError(f"`checkpoint` {str(folder)!r}: its {RESULTS} is not of one run; name the folder of one")
    return results


def card_of(folder: Path, results: Mapping[str, Any], measured: Mapping[str, Any], name: str | None) -> str:
    """The card of a folder's model; name: of the repository, that of the folder if there is none.

    Raises UserError for results that are not as this version writes them.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        tokenizer = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        config["model_max_length"] = tokenizer["model_max_length"]
        return model_card(name or folder.resolve().name, results, config, measured)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise UserError(
            f"{folder}: its result files are not as this version writes them ({one_line(repr(error))}): run again"
        ) from None


def publish(
    trainer: DistillationTrainer,
    results: Mapping[str, Any],
    held_out: Mapping[str, Mapping[str, float]],
    recipe: Mapping[str, Any],
    card_args: CardArguments,
) -> None:
    """Write `all_results.json`, `README.md`, and `trainer_state.json`; print the figures; push where asked.

    Only the main process calls it, after the model is saved. results: of `DistillationTrainer.measured` with the sizes
    of the models; held_out: for each model the figures of `evaluate_masked_lm`; recipe: of `recipe_of`.
    """
    folder, training = Path(trainer.args.output_dir), trainer.args
    flat = {f"{model}_heldout_{name}": value for model, figures in held_out.items() for name, value in figures.items()}
    everything = {
        **results,
        **flat,
        "pipeline_tag": "fill-mask",
        "dataset": recipe["dataset_name"] if recipe["dataset_name"] and on_hub(recipe["dataset_name"]) else None,
        **card_facts(folder, recipe.get("teacher_name_or_path"), card_args),
        "recipe": recipe,
    }
    trainer.save_state()
    write_json(folder / RESULTS, everything)
    save_card(folder, everything, training.hub_model_id)
    print(held_out_table(held_out))
    print(f"saved to {folder}")
    if trainer.push_wanted:
        print(f"pushed to {push(folder, Repository.of(training, card_args.hub_overwrite))}")


def check_push(training: transformers.TrainingArguments, card_args: CardArguments) -> None:
    """Before a run: make sure of the repository that it is to be pushed to, and complete its name."""
    if training.push_to_hub and training.process_index == 0:
        # What goes on may have been pushed before: whether it replaces another model is known at the end.
        overwrite = card_args.hub_overwrite or bool(training.resume_from_checkpoint)
        training.hub_model_id = reserve(Repository.of(training, overwrite)).name


def card_facts(folder: Path, source: str | None, card_args: CardArguments) -> dict[str, Any]:
    """What a card says besides figures: the languages, licence, and Hub id of the model that this one was made of,
    unless the user says otherwise; the size of its weights; the versions of the libraries.

    source: the teacher, or the checkpoint that was fine-tuned; None for neither.
    """
    theirs = known_of(source) if source else {}
    license = card_args.license or theirs.get("license") or LICENSE
    warn_of_licence(license)
    return {
        "model_bytes": (folder / WEIGHTS).stat().st_size,
        "language": card_args.language or theirs.get("language") or LANGUAGE,
        "license": license,
        "base_model": card_args.base_model or (source if source and on_hub(source) else None),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def warn_of_licence(license: Any) -> None:
    """Tell that nobody has said under which licence a model is."""
    if license == LICENSE:
        logger.warning("the card says `license: %s`: say the model's, as in `--license apache-2.0`", LICENSE)


def on_hub(name: str) -> bool:
    """Whether a name is that of a repository, and not of something on this machine."""
    return not Path(name).exists() and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None


def known_of(source: str) -> dict[str, Any]:
    """The front matter of another model's card; empty where there is none."""
    path = Path(source, "README.md")
    if Path(source).exists() and not path.is_file():
        return {}
    try:
        return ModelCard.load(path if path.is_file() else source).data.to_dict()
    except Exception:  # no network, no card, a card that is no card: nothing depends on it
        return {}


def save_card(folder: Path, results: Mapping[str, Any], name: str | None) -> None:
    """Write `README.md` from what the folder holds; name: of the repository."""
    write_text(folder / CARD, card_of(folder, results, what_is_measured(folder), name))


if __name__ == "__main__":
    main()
