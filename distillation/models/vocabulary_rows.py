"""Makes a model with fewer tokens: it keeps their rows of the embeddings, the output layer, and its bias."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from distillation.config.errors import UserError
from distillation.models.loading import check_rows, explain_load_errors, load_as_saved, load_config, load_tokenizer


def load_trimmable(name_or_path: str, key: str) -> tuple[PreTrainedModel, Tokenizer]:
    """A checkpoint with its own head and dtype, and its tokenizer. Raises UserError for a quantised model, whose rows
    are packed, for an adapter, whose rows are in another model, and for a model that does not read a text alone."""
    if Path(name_or_path, "adapter_config.json").exists():
        raise UserError(f"`{key}` {name_or_path!r} is an adapter: merge it into its model, and give that")
    if getattr(load_config(name_or_path, key), "quantization_config", None):
        raise UserError(f"`{key}` {name_or_path!r} is quantised: give the model that it was made of")
    model = load_as_saved(name_or_path, key, dtype="auto")
    tokenizer = load_tokenizer(name_or_path, key, roles=())
    check_rows(tokenizer, model, name_or_path, key)
    with torch.inference_mode(), explain_load_errors(key, name_or_path, "does not read a text alone, as it is timed"):
        model(**tokenizer("а", return_tensors="pt"))
    return model, tokenizer


def keep_rows(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """The same model with the tokens `kept` alone, in the same dtype. Token `kept[i]` gets row i.

    A weight has a row for each token if its shape changes with the config's `vocab_size`. All other weights stay as
    they are. Raises UserError for a model whose shapes do not follow its `vocab_size`.
    """
    rows = model.config.vocab_size
    refused = f"`model_name_or_path`: a {type(model).__name__} cannot be trimmed, because"
    smaller = type(model)._from_config(_config_of(model.config, kept), dtype=model.dtype)
    if hasattr(model, "pooler") and model.pooler is None:
        smaller.pooler = None
    weights, numbers = model.state_dict(), torch.tensor(kept)
    for name, new in smaller.state_dict().items():
        old = weights[name]
        if new.shape != old.shape:
            if (len(old), len(new), old.shape[1:]) != (rows, len(kept), new.shape[1:]):
                raise UserError(f"{refused} {name} does not have a row for each token: give a model of another kind")
            weights[name] = old[numbers]
    if len(smaller.get_input_embeddings().weight) != len(kept):
        raise UserError(f"{refused} its embeddings do not follow `vocab_size`: give a model of another kind")
    smaller.load_state_dict(weights)
    return smaller.eval()


def _config_of(config: PreTrainedConfig, kept: Sequence[int]) -> PreTrainedConfig:
    """The config with the new number of tokens, and the new ids of those that it names; None for a token that went."""
    smaller, new = copy.deepcopy(config), {old: number for number, old in enumerate(kept)}
    smaller.vocab_size = len(kept)
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(smaller, name, new.get(value))
    return smaller
