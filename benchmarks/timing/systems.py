"""Models to measure: a checkpoint, a recipe, or a shape, with one of three heads."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from benchmarks.timing import RECIPES, SHAPES
from distillation.config.arguments import ModelArguments
from distillation.config.errors import UserError
from distillation.config.recipe import read_recipe
from distillation.models.loading import explain_load_errors, load_config, load_with_head
from distillation.models.shapes import student_config

SYSTEMS = [str(path) for path in (*sorted(SHAPES.glob("*.yaml")), *sorted(RECIPES.glob("distilrubert-*.yaml")))]
KEY = "models"
HEADS = {
    "encoder": transformers.AutoModel,
    "masked-lm": transformers.AutoModelForMaskedLM,
    "classification": transformers.AutoModelForSequenceClassification,
}


class System(NamedTuple):
    """A model to measure: its name in the table, and where it comes from (a folder, a Hub id, or a YAML file).

    Its methods raise UserError for a model that cannot be opened, or has no such head.
    """

    name: str
    source: str

    def load(self, head: str) -> PreTrainedModel:
        """The model with a head of `HEADS`; random weights where there are no trained ones."""
        transformers.set_seed(0)
        if self.source.endswith(".yaml"):
            return self.skeleton(head, "cpu")
        return load_with_head(HEADS[head], self.source, KEY)

    def skeleton(self, head: str, device: str = "meta") -> PreTrainedModel:
        """The model without trained weights; on `meta` without any."""
        with explain_load_errors(KEY, self.source, f"has no head for {head}"), torch.device(device):
            return HEADS[head].from_config(shape(self.source), trust_remote_code=False).eval()


def systems(sources: Sequence[str]) -> list[System]:
    """The models of some sources, named by the last part of their paths if no two have the same."""
    names = [Path(source).stem if source.endswith(".yaml") else Path(source).name for source in sources]
    count = Counter(names)
    return [System(name if count[name] == 1 else source, source) for name, source in zip(names, sources, strict=True)]


def shape(source: str) -> PreTrainedConfig:
    """The config of a checkpoint or of a YAML file: a shape (with `model_type`), or the student of a recipe.

    Raises UserError for a file that is neither, or contradicts itself.
    """
    if not source.endswith(".yaml"):
        return load_config(source, KEY)
    path = Path(source)
    keys = read_recipe(path, KEY)
    if not {"model_type", "student_layers"} & keys.keys():
        raise UserError(f"{path} is neither a recipe (`student_layers`) nor a shape (`model_type`)")
    with explain_load_errors(KEY, source, "describes no model"):  # an unknown type, a word where a number belongs
        if "model_type" in keys:
            return transformers.AutoConfig.for_model(**keys)
        fields = ModelArguments.__dataclass_fields__
        arguments = ModelArguments(**{key: value for key, value in keys.items() if key in fields})
        teacher, vocabulary = arguments.teacher_name_or_path, arguments.student_vocabulary
        if teacher is None:
            raise UserError(f"{path} names no `teacher_name_or_path`, whose shape the student shares")
        known = SHAPES / f"{teacher.split('/')[-1]}.yaml"  # so that a recipe needs no network
        config = shape(str(known)) if known.exists() else load_config(teacher, "teacher_name_or_path")
        size = vocabulary.rsplit("-", 1)[-1] if vocabulary else str(config.vocab_size)  # outputs/vocabulary-5000
        if not size.isdigit():
            raise UserError(f"`student_vocabulary` {vocabulary!r} of {path} must end in its size: name it NAME-SIZE")
        return student_config(arguments, config, int(size), config.max_position_embeddings, config.pad_token_id)
