"""Checkpoints: what a folder holds, and how much their models read."""

import copy
import json
from pathlib import Path

from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


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
