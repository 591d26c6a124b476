"""A sentence encoder as one module: an encoder, and how its states become a vector.

A sentence-transformers folder says so in `modules.json`. Of any other checkpoint the vector is the mean of the states.
"""

import inspect
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import ModelOutput
from transformers.utils import cached_file

from distillation.config.errors import UserError
from distillation.models.loading import explain_load_errors, load_config, load_trained
from distillation.runs.files import read_json

MODULES = "modules.json"
POOLINGS = {"mean": "mean", "mean_tokens": "mean", "cls": "cls", "cls_token": "cls"}  # by their names in all versions
ACTIVATIONS = {"Identity": nn.Identity, "Tanh": nn.Tanh, "ReLU": nn.ReLU, "GELU": nn.GELU}

logger = logging.getLogger(__name__)


class Normalize(nn.Module):
    """Vectors of length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        return F.normalize(vectors, dim=-1)


class SentenceEncoder(nn.Module):
    """pooling: `mean` of the states, or `cls`, the first; head: what follows; max_length: of its texts, in tokens, if
    it is less than the encoder reads."""

    def __init__(
        self,
        encoder: PreTrainedModel,
        pooling: str = "mean",
        head: Sequence[nn.Module] = (),
        max_length: int | None = None,
    ):
        super().__init__()
        self.encoder, self.pooling, self.head, self.max_length = encoder, pooling, nn.Sequential(*head), max_length
        self.config = encoder.config

    def forward(self, **inputs: Tensor) -> ModelOutput:
        """last_hidden_state: (batch, length, width); sentence_embedding: (batch, dimension)."""
        states = self.encoder(**inputs).last_hidden_state
        pooled = states[:, 0]
        if self.pooling == "mean":
            mask = inputs["attention_mask"][..., None].to(states.dtype)
            pooled = (states * mask).sum(1) / mask.sum(1).clamp(min=1)
        return ModelOutput(last_hidden_state=states, sentence_embedding=self.head(pooled))

    def num_parameters(self) -> int:
        return sum(weight.numel() for weight in self.parameters())

    def set_attn_implementation(self, name: str) -> None:
        self.encoder.set_attn_implementation(name)


def is_sentence_encoder(name_or_path: str, key: str) -> bool:
    """Whether a checkpoint has no head of its own: a plain encoder, or one of sentence-transformers."""
    config = load_config(name_or_path, key)
    plain = getattr(AutoModel._model_mapping.get(type(config), None), "__name__", None)
    return plain in (config.architectures or ()) or _file(name_or_path, MODULES) is not None


def load_sentence_encoder(name_or_path: str, key: str) -> SentenceEncoder:
    """The encoder of any checkpoint, with its own modules if it is one of sentence-transformers.

    Raises UserError for modules of other kinds, and for a checkpoint that is no encoder.
    """
    listed = _file(name_or_path, MODULES)
    if listed is None:
        return SentenceEncoder(load_encoder(name_or_path, key))
    with explain_load_errors(key, name_or_path, "has modules that cannot be read"):
        modules = [(one["type"].rsplit(".")[-1], one["path"]) for one in read_json(listed)]
        kinds, inner = [kind for kind, _ in modules], modules[0][1]
        if kinds[:2] != ["Transformer", "Pooling"] or {*kinds[2:]} - {"Dense", "Normalize"}:
            raise ValueError(f"{', '.join(kinds)}: give an encoder of Transformer, Pooling, Dense, and Normalize")
        pooling = _pooling(_settings(name_or_path, modules[1][1], "config.json"))
        head = [Normalize() if kind == "Normalize" else _dense(name_or_path, path) for kind, path in modules[2:]]
        own = _settings(name_or_path, inner, "sentence_bert_config.json")
        if own.get("do_lower_case"):
            raise ValueError("`do_lower_case` of sentence_bert_config.json: lower-case in its tokenizer instead")
    prompts = _settings(name_or_path, "", "config_sentence_transformers.json").get("prompts") or {}
    if any(prompts.values()):
        logger.warning(
            "`%s` %r was trained with prompts before its texts; put them there: %s", key, name_or_path, prompts
        )
    encoder = load_encoder(str(Path(name_or_path, inner)) if inner else name_or_path, key)
    return SentenceEncoder(encoder, pooling, head, own.get("max_seq_length"))


def load_encoder(name_or_path: str, key: str) -> PreTrainedModel:
    """A checkpoint without its head, and without a pooler, which few have trained. Raises UserError for any other."""
    config = load_config(name_or_path, key)
    found = AutoModel._model_mapping.get(type(config), None)
    if found is None or config.is_encoder_decoder:
        raise UserError(f"`{key}` {name_or_path!r} is no encoder: give one, such as a BERT")
    takes_it = isinstance(found, type) and "add_pooling_layer" in inspect.signature(found).parameters
    return load_trained(
        AutoModel, name_or_path, key, config=config, **{"add_pooling_layer": False} if takes_it else {}
    )


def _file(name_or_path: str, name: str) -> Path | None:
    """A file of a folder or of a repository on the Hub; None where there is none."""
    options = dict(_raise_exceptions_for_missing_entries=False, _raise_exceptions_for_connection_errors=False)
    found = cached_file(name_or_path, name, **options)
    return Path(found) if found else None


def _settings(name_or_path: str, folder: str, name: str) -> Mapping[str, Any]:
    found = _file(name_or_path, f"{folder}/{name}".lstrip("/"))
    return read_json(found) if found else {}


def _pooling(settings: Mapping[str, Any]) -> str:
    """`mean` or `cls`, by `pooling_mode`, or by the older `pooling_mode_mean_tokens` and its like."""
    old = [name.removeprefix("pooling_mode_") for name, value in settings.items() if value is True]
    modes = [settings["pooling_mode"]] if "pooling_mode" in settings else [name for name in old if "token" in name]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise ValueError(f"pooling by {' and '.join(modes)}: give an encoder with one of mean and cls")
    return POOLINGS[modes[0]]


def _dense(name_or_path: str, folder: str) -> nn.Sequential:
    settings = _settings(name_or_path, folder, "config.json")
    layer = nn.Linear(settings["in_features"], settings["out_features"], bias=settings.get("bias", True))
    path = _file(name_or_path, f"{folder}/model.safetensors")
    older = _file(name_or_path, f"{folder}/pytorch_model.bin")
    weights = load_file(path) if path else torch.load(older, weights_only=True, map_location="cpu")
    layer.load_state_dict({name.removeprefix("linear."): weight.float() for name, weight in weights.items()})
    return nn.Sequential(layer, ACTIVATIONS[settings.get("activation_function", "Tanh").rsplit(".")[-1]]())
