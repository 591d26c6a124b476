"""A model of fewer tokens: the kept rows of its embeddings, of its output layer, and of that layer's bias."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from distillation.config.errors import UserError
from distillation.models.loading import check_rows, load_as_saved, load_config, load_tokenizer


def load_trimmable(name_or_path: str, key: str) -> tuple[PreTrainedModel, Tokenizer]:
    """A checkpoint as it was saved, head and dtype included, and its tokenizer. Raises UserError for one whose rows
    are packed, or lie in another model."""
    if Path(name_or_path, "adapter_config.json").exists():
        raise UserError(f"`{key}` {name_or_path!r} is an adapter: merge it into its model, and give that")
    if getattr(load_config(name_or_path, key), "quantization_config", None):
        raise UserError(f"`{key}` {name_or_path!r} is quantised: give the model that it was made of")
    model = load_as_saved(name_or_path, key, dtype="auto")
    tokenizer = load_tokenizer(name_or_path, key, roles=())
    check_rows(tokenizer, model, name_or_path, key)
    return model, tokenizer


def keep_rows(model: PreTrainedModel, kept: Sequence[int]) -> PreTrainedModel:
    """The same model, in its own dtype, of the tokens `kept`: token `kept[i]` gets row i.

    What has a row a token is what changes its shape with the config's `vocab_size`; all else stays as it is. Raises
    UserError for a model whose shapes do not follow its `vocab_size`.
    """
    rows = model.config.vocab_size
    smaller = type(model)._from_config(_config_of(model.config, kept), dtype=model.dtype)
    weights, numbers = model.state_dict(), torch.tensor(kept)
    for name, new in smaller.state_dict().items():
        old = weights[name]
        if new.shape != old.shape:
            if (len(old), len(new), old.shape[1:]) != (rows, len(kept), new.shape[1:]):
                raise UserError(f"a {type(model).__name__} cannot be trimmed: {name} does not have a row a token")
            weights[name] = old[numbers]
    if len(smaller.get_input_embeddings().weight) != len(kept):
        raise UserError(f"a {type(model).__name__} cannot be trimmed: its embeddings do not follow `vocab_size`")
    smaller.load_state_dict(weights)
    return smaller.eval()


def _config_of(config: PreTrainedConfig, kept: Sequence[int]) -> PreTrainedConfig:
    """A config of as many tokens, and the new numbers of those that it names; None for one that went."""
    smaller, new = copy.deepcopy(config), {old: number for number, old in enumerate(kept)}
    smaller.vocab_size = len(kept)
    for name, value in config.to_dict().items():
        if name.endswith("_token_id") and isinstance(value, int):
            setattr(smaller, name, new.get(value))
    return smaller
