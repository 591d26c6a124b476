"""Make a finished folder fit for others: its model card, with all that was measured of it, and its place on the Hub.

python -m distillation.publish --checkpoint outputs/tiny-5k --results outputs/finetuned speed.json \\
    --onnx deployed/tiny-5k
python -m distillation.publish --checkpoint outputs/tiny-5k --hub_model_id NAME --hub_private_repo true
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub import ModelCard

from distillation.arguments import CardArguments
from distillation.card import model_card
from distillation.evaluation import held_out_table
from distillation.hub import Repository, check, push
from distillation.measured import MEASURED, gather, take_exported, what_is_measured
from distillation.recipe import RecipeError, command, parse_recipe
from distillation.results import RESULTS, write, write_json
from distillation.trainer import DistillationTrainer

LANGUAGE, LICENSE = "ru", "apache-2.0"  # where neither the user nor the model that one was made of says another


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
            raise RecipeError("`checkpoint` is missing: name the folder of a finished run")


@command
def main(argv: list[str] | None = None) -> None:
    """Read, write the card, push."""
    arguments, card_args = parse_recipe(PublishArguments, CardArguments, argv=argv)
    folder = Path(arguments.checkpoint)
    results = finished(folder)
    facts = {"language": card_args.language, "license": card_args.license, "base_model": card_args.base_model}
    results |= {key: value for key, value in facts.items() if value}
    paths = [Path(path) for path in arguments.results]
    measured = gather(folder, results, paths) if paths else None
    repository = name = None
    if arguments.hub_model_id:
        options = (arguments.hub_token, arguments.hub_private_repo, arguments.hub_revision, card_args.hub_overwrite)
        repository = Repository(arguments.hub_model_id, *options)
        name = check(repository, folder / "model.safetensors")
    if arguments.onnx:
        take_exported(folder, Path(arguments.onnx), results)
    if measured:
        write_json(folder / MEASURED, measured)
    write_json(folder / RESULTS, results)
    save_card(folder, results, name)
    print(f"card written: {folder / 'README.md'}")
    if repository:
        print(f"pushed to {push(folder, repository)}")


def finished(folder: Path) -> dict[str, Any]:
    """The results of a finished folder. Raises RecipeError for any other."""
    try:
        results = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        whole = "pipeline_tag" in results and (folder / "model.safetensors").is_file()
    except (OSError, ValueError, TypeError):
        whole = False
    if not whole:
        raise RecipeError(f"`checkpoint` {str(folder)!r} is no folder of a finished run, with a model and {RESULTS}")
    return results


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
        "dataset": recipe["dataset_name"],
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
    # What goes on may have been pushed before: what it would replace is known at the end.
    if training.push_to_hub and training.process_index == 0 and not training.resume_from_checkpoint:
        training.hub_model_id = check(Repository.of(training, card_args.hub_overwrite))


def card_facts(folder: Path, source: str | None, card_args: CardArguments) -> dict[str, Any]:
    """What a card says besides figures: the languages, licence, and Hub id of the model that this one was made of,
    unless the user says otherwise; the size of its weights; the versions of the libraries.

    source: the teacher, or the checkpoint that was fine-tuned; None for neither.
    """
    on_hub = source is not None and not Path(source).exists()
    theirs = known_of(source) if source else {}
    return {
        "model_bytes": (folder / "model.safetensors").stat().st_size,
        "language": card_args.language or theirs.get("language") or LANGUAGE,
        "license": card_args.license or theirs.get("license") or LICENSE,
        "base_model": card_args.base_model or (source if on_hub else None),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


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
    """Write `README.md` from what the folder holds; name: of the repository, that of the folder if there is none."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    card = model_card(name or folder.resolve().name, results, config, what_is_measured(folder))
    write(folder / "README.md", card)


if __name__ == "__main__":
    main()
