"""Checkpoints: what a folder holds, and how much their models read."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from transformers import (
    AutoConfig,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from distillation.config.recipe import UserError, one_line

PROBE = "Ёлка"  # a text that any tokenizer can read
MADE_UP = 5  # special tokens, which transformers puts where there is no vocabulary


def save_pretrained(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    folder: str | Path,
    state_dict: dict[str, Tensor] | None = None,
) -> None:
    """Write what `AutoModelForMaskedLM` and `AutoTokenizer` load."""
    tokenizer = copy.deepcopy(tokenizer)  # the caller goes on with it, perhaps for another model
    fit_tokenizer(tokenizer, model)
    model.save_pretrained(folder, state_dict=state_dict)
    save_tokenizer(tokenizer, folder)


def load_config(name_or_path: str) -> PreTrainedConfig:
    """The config of a checkpoint. A distilled model's may ask for hidden states and attention maps, which costs time
    and memory and says nothing to those who use the model: here it does not."""
    config = AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
    config.output_hidden_states = config.output_attentions = False
    return config


def load_tokenizer(
    name_or_path: str, key: str, roles: Sequence[str] = ("mask_token", "pad_token")
) -> PreTrainedTokenizerBase:
    """Load a fast tokenizer with the special tokens that its use needs, by default those of masked-LM training.

    key: the recipe key that named it, for the message. Raises UserError.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
        tokenizer(PROBE)
    except Exception as error:  # the loaders raise many types; all mean that there is no usable tokenizer
        raise UserError(f"`{key}` {name_or_path!r} has no usable tokenizer: {one_line(error)}") from None
    if not tokenizer.is_fast:
        raise UserError(
            f"`{key}` {name_or_path!r} has a slow tokenizer, which cannot tell the characters behind its tokens: "
            "save its fast version (tokenizer.json) there"
        )
    for role in roles:
        if getattr(tokenizer, role) is None:
            raise UserError(
                f"the tokenizer of `{key}` {name_or_path!r} has no {role}: set one and save it, or use another's"
            )
    if len(tokenizer) <= MADE_UP:
        raise UserError(f"`{key}` {name_or_path!r} has no tokenizer: put its tokenizer.json there")
    return tokenizer


def check_numbering(tokenizer: PreTrainedTokenizerBase) -> None:
    """Raise UserError for a vocabulary with gaps, of which no model has as many rows as there are tokens."""
    tokens, numbers = len(tokenizer), 1 + max(tokenizer.get_vocab().values())
    if numbers > tokens:
        raise UserError(
            f"the tokenizer {tokenizer.name_or_path!r} has {tokens} tokens, and numbers up to {numbers}: give one "
            "whose tokens are numbered without gaps"
        )


def check_trained(model: PreTrainedModel, loading: Mapping[str, Any], name_or_path: str, key: str) -> None:
    """Raise UserError for a model of whose weights some were not in its checkpoint.

    loading: what `from_pretrained` says of that; key: the recipe key that named it.
    """
    absent = sorted(set(loading["missing_keys"]) - set(model.all_tied_weights_keys))
    absent += sorted(str(entry) for entry in loading.get("mismatched_keys", ()))
    if absent:
        raise UserError(
            f"`{key}` {name_or_path!r} lacks trained weights for {', '.join(absent[:3])}"
            f"{' and more' if len(absent) > 3 else ''}: its predictions would be random; "
            "give a checkpoint saved with its head"
        )


def check_rows(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel, name_or_path: str, key: str) -> None:
    """Raise UserError for a tokenizer with a token that its model has no embedding for.

    key: the recipe key that named both.
    """
    tokens, rows = 1 + max(tokenizer.get_vocab().values()), model.get_input_embeddings().num_embeddings
    if tokens > rows:
        raise UserError(
            f"the tokenizer of `{key}` {name_or_path!r} has {tokens} tokens, its model only {rows}: give the "
            "tokenizer that it was trained with"
        )


def fit_tokenizer(tokenizer: PreTrainedTokenizerBase, model: PreTrainedModel) -> None:
    """Make the tokenizer give what the model takes, no longer than it reads, also once it is saved."""
    names = tokenizer.model_input_names
    if getattr(model.config, "type_vocab_size", 0) < 2:  # DistilBERT, RoBERTa: the segments say nothing to them
        names = [name for name in names if name != "token_type_ids"]
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names
    tokenizer.model_max_length = min(tokenizer.model_max_length, position_count(model))


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: str | Path) -> None:
    """Write what `AutoTokenizer` loads; for WordPiece also `vocab.txt`, which transformers 5 leaves out."""
    tokenizer.save_pretrained(folder)
    if json.loads(tokenizer.backend_tokenizer.to_str())["model"]["type"] == "WordPiece":
        tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])
        Path(folder, "vocab.txt").write_text("".join(f"{token}\n" for token, _ in tokens), encoding="utf-8")


def position_count(model: PreTrainedModel) -> int:
    """How many tokens a model can read at once; 512 where its config does not say."""
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    offset = getattr(model.config, "pad_token_id", 0) + 1 if counts_from_padding(model) else 0
    return positions - offset


def counts_from_padding(model: PreTrainedModel) -> bool:
    """Whether positions are numbered behind that of padding, as RoBERTa does."""
    embeddings = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    return any(getattr(module, "padding_idx", None) is not None for module in embeddings)
