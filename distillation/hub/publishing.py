"""The end of a training run: its results, its model card, its place on the Hub."""

import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from huggingface_hub import hf_hub_download
from huggingface_hub.repocard import REGEX_YAML_BLOCK

from distillation.hub.card import base_model_of, model_card
from distillation.hub.measured import read_measured
from distillation.hub.push import UNKNOWN, push, reserve
from distillation.runs import files
from distillation.runs.resume import is_resumed

if TYPE_CHECKING:  # a finished folder is published without them
    from transformers import Trainer, TrainingArguments

    from distillation.config.arguments import CardArguments, PushArguments

LANGUAGE = "ru"  # where neither the user nor the base model says another
ABSENT = ("", "~", "null", "Null", "NULL")  # of a key without a value in YAML
OF_LICENSE = ("license_name", "license_link")  # what `license: other` means


def publish(
    trainer: "Trainer",
    results: Mapping[str, Any],
    held_out: Mapping[str, Mapping[str, float]],
    recipe: Mapping[str, Any],
    card_args: "PushArguments",
) -> None:
    """Write `all_results.json`, `README.md`, and `trainer_state.json`; print the figures; push where asked.

    Only the main process calls it, after the model is saved. results: what was measured in training, and the sizes of
    the models; held_out: for each model the figures of `evaluate_masked_lm`; recipe: of `recipe_of`.
    """
    folder, training = Path(trainer.args.output_dir), trainer.args
    flat = {f"{model}_heldout_{name}": value for model, figures in held_out.items() for name, value in figures.items()}
    everything = {**results, **flat, "pipeline_tag": "fill-mask", "dataset": dataset_of(recipe)}
    everything |= card_facts(folder, base_model_of(recipe), card_args) | {"recipe": recipe}
    trainer.save_state()
    save_card(folder, everything, training.hub_model_id)
    files.write_json(folder / files.RESULTS, everything)  # the last: it says that the run is finished
    print(f"{files.held_out_table(held_out)}\nsaved to {folder}")
    if trainer.push_wanted:
        print(f"pushed to {push(folder, training, card_args.hub_overwrite)}")


def check_push(training: "TrainingArguments", card_args: "PushArguments") -> None:
    """Reserve the repository that a run will be pushed to, before the run."""
    if training.push_to_hub and training.process_index == 0:
        # A resumed run may have been pushed before: whether it replaces another model is known at the end.
        reserve(training, card_args.hub_overwrite or is_resumed(training))


def card_facts(folder: Path, source: str | None, card_args: "CardArguments") -> dict[str, Any]:
    """The facts of a card besides figures. Languages, licence, and Hub id are those of `source`, the teacher or the
    checkpoint that was fine-tuned (None for neither), unless the user gives others."""
    base = _front_matter(source) if source else {}
    license = card_args.license or base.get("license") or UNKNOWN
    terms = {} if card_args.license else {key: base[key] for key in OF_LICENSE if key in base}
    if "://" not in terms.get("license_link", "://") and on_hub(source):  # a file beside the base model's card
        terms["license_link"] = f"https://huggingface.co/{source}/blob/main/{terms['license_link']}"
    return {
        "model_bytes": (folder / files.WEIGHTS).stat().st_size,
        "language": card_args.language or base.get("language") or LANGUAGE,
        "license": license,
        **terms,
        "base_model": card_args.base_model or (source if source and on_hub(source) else None),
        "versions": {library: version(library) for library in ("torch", "transformers")},
    }


def dataset_of(recipe: Mapping[str, Any]) -> str | None:
    """The data set on the Hub that a recipe names, if it names one."""
    name = recipe["dataset_name"]
    return name if name and on_hub(name) else None


def on_hub(name: str) -> bool:
    """Whether a name can be a repository's, and no file or folder on this machine has it."""
    return not Path(name).exists() and re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) is not None


def _front_matter(source: str) -> dict[str, Any]:
    """The front matter of another model's card, all values as text: YAML 1.1 reads the language `no` as false. Empty
    if there is none; without keys that have no value."""
    try:
        path = Path(source, files.CARD) if Path(source).exists() else hf_hub_download(source, files.CARD)
        card = Path(path).read_text(encoding="utf-8-sig", errors="replace")
        found = dict(yaml.load(REGEX_YAML_BLOCK.search(card)[2], yaml.BaseLoader))
        texts = {key: value.strip() if isinstance(value, str) else value for key, value in found.items()}
        return {key: value for key, value in texts.items() if value not in ABSENT}
    except Exception:  # no network, no card, a broken card: nothing depends on it
        return {}


def card_of(folder: Path, results: Mapping[str, Any], measured: Mapping[str, Any], name: str | None) -> str:
    """The card of a folder's model. name: of the repository; None takes the folder's.

    Raises UserError for results that are not as this version writes them.
    """
    tokenizer, config = (files.read_json(folder / name) for name in ("tokenizer_config.json", "config.json"))
    with files.explain_bad_results(folder / files.RESULTS):
        config |= {"model_max_length": tokenizer["model_max_length"], "mask_token": tokenizer.get("mask_token")}
        return model_card(name or folder.resolve().name, results, config, measured)


def save_card(folder: Path, results: Mapping[str, Any], name: str | None) -> None:
    """Write `README.md` from what the folder holds. name: of the repository."""
    files.write_text(folder / files.CARD, card_of(folder, results, read_measured(folder), name))
