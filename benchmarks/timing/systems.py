"""What is measured: a checkpoint, a recipe, or a shape, with one of three heads."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import yaml
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    DistilBertConfig,
    PreTrainedConfig,
    PreTrainedModel,
    set_seed,
)

from distillation.config.arguments import ModelArguments
from distillation.config.errors import UserError, one_line
from distillation.models.loading import explained, load_config, load_with_head
from distillation.models.shapes import student_config

HEADS = {
    "encoder": AutoModel,
    "masked-lm": AutoModelForMaskedLM,
    "classification": AutoModelForSequenceClassification,
}
KEY = "models"  # that names them
SHAPES = Path(__file__).parents[1] / "shapes"
RECIPES = Path(__file__).parents[2] / "distillation" / "recipes"
PUBLISHED = (  # the systems of the model cards, largest first
    SHAPES / "rubert-base-cased-conversational.yaml",
    RECIPES / "distilrubert-base-cased-conversational.yaml",
    RECIPES / "distilrubert-small-cased-conversational.yaml",
    SHAPES / "rubert-tiny2.yaml",
    SHAPES / "rubert-tiny.yaml",
    RECIPES / "distilrubert-tiny-cased-conversational-v1.yaml",
    RECIPES / "distilrubert-tiny-cased-conversational-5k.yaml",
)


@dataclass(frozen=True)
class System:
    """A model to measure: its name in the table, and where it comes from (a folder, a Hub id, or a YAML file)."""

    name: str
    source: str

    def load(self, head: str) -> PreTrainedModel:
        """The model with a head of `HEADS`; random weights where there are no trained ones.

        Raises UserError for what cannot be opened.
        """
        set_seed(0)
        if not self.source.endswith(".yaml"):
            return load_with_head(HEADS[head], self.source, KEY)
        with explained(KEY, self.source):
            return HEADS[head].from_config(self.config(), trust_remote_code=False).eval()

    def skeleton(self, head: str) -> PreTrainedModel:
        """The model without weights. Raises UserError like `load`."""
        with explained(KEY, self.source, f"has no head for {head}"), torch.device("meta"):
            return HEADS[head].from_config(self.config(), trust_remote_code=False).eval()

    def config(self) -> PreTrainedConfig:
        """The shape. Raises UserError for what cannot be opened."""
        if self.source.endswith(".yaml"):
            return shape(Path(self.source))
        return load_config(self.source, KEY)


def systems(sources: Sequence[str]) -> list[System]:
    """Named by the last part of their paths where that tells them apart."""
    last = Counter(_name(source) for source in sources)
    return [System(_name(source) if last[_name(source)] == 1 else source, source) for source in sources]


def _name(source: str) -> str:
    return Path(source).stem if source.endswith(".yaml") else Path(source).name


def shape(path: Path) -> PreTrainedConfig:
    """The config of a YAML file: of a shape (with `model_type`), or of the student that a recipe describes.

    Raises UserError for a file that is neither, or contradicts itself.
    """
    try:
        keys = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{path} cannot be read: {one_line(error)}") from None
    if not isinstance(keys, dict) or not {"model_type", "student_layers"} & keys.keys():
        raise UserError(f"{path} is neither a recipe (`student_layers`) nor a shape (`model_type`)")
    try:
        if "model_type" in keys:
            return AutoConfig.for_model(**keys)
        fields = ModelArguments.__dataclass_fields__
        return _student(ModelArguments(**{key: value for key, value in keys.items() if key in fields}), path)
    except UserError:
        raise
    except Exception as error:  # an unknown type, a word where a number belongs
        raise UserError(f"{path} describes no model: {one_line(error)}") from None


def _student(arguments: ModelArguments, path: Path) -> DistilBertConfig:
    teacher = arguments.teacher_name_or_path
    if teacher is None:
        raise UserError(f"{path} names no `teacher_name_or_path`, whose shape the student shares")
    known = SHAPES / f"{teacher.split('/')[-1]}.yaml"  # so that a recipe needs no network
    config = shape(known) if known.exists() else load_config(teacher, "teacher_name_or_path")
    size = config.vocab_size
    if arguments.student_vocabulary is not None:
        size = _vocabulary_size(arguments.student_vocabulary, path)
    return student_config(arguments, config, size, config.max_position_embeddings, config.pad_token_id)


def _vocabulary_size(vocabulary: str, path: Path) -> int:
    """By its folder's name, as of the recipes: `outputs/vocabulary-5000`."""
    digits = vocabulary.rsplit("-", 1)[-1]
    if not digits.isdigit():
        raise UserError(f"`student_vocabulary` {vocabulary!r} of {path} does not tell its size: name it NAME-SIZE")
    return int(digits)
