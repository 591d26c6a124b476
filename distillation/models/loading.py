"""Loads, checks, and saves the checkpoints of all stages. Any error of a loader becomes a UserError.

Each `load_*` takes a folder or Hub id and the key that named it, and raises UserError.
"""

import copy
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor
from transformers import AutoModelForMaskedLM, PreTrainedConfig, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer
from transformers.utils import logging as transformers_logging

from distillation.config.errors import UserError, one_line
from distillation.config.paths import why_no_model
from distillation.models.student import set_dropout
from distillation.models.tokenizer_file import as_in_file, compose_letters, fill_gaps, save_tokenizer
from distillation.runs.files import follow_umask
from distillation.vocabularies.mapping import unreadable, vocabulary_size

logger = logging.getLogger(__name__)

PROBE = "Ёлка"  # shows whether a tokenizer lower-cases or strips accents
PLACEHOLDERS = 5  # special tokens, all that transformers has if a folder has no vocabulary
MOST_UNREADABLE = 0.01  # share of a vocabulary that its own normaliser may change
BUFFERS = ("position_ids", "inv_freq")  # constants, which old checkpoints hold


@contextmanager
def explain_load_errors(key: str, name_or_path: str, problem: str = "cannot be loaded") -> Iterator[None]:
    """Raise any exception as a UserError that names the key and its value. Loaders raise many types: for a missing
    folder, a broken file, an unknown id. Their warnings are dropped: a new head is expected."""
    level = transformers_logging.get_verbosity()
    transformers_logging.set_verbosity_error()
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        absent = "" if os.path.exists(name_or_path) else "there is no such folder, and the Hub says: "
        why = why_no_model(name_or_path) or absent + one_line(error)
        raise UserError(f"`{key}` {name_or_path!r} {problem}: {why}") from None
    finally:
        transformers_logging.set_verbosity(level)


def load_config(name_or_path: str, key: str) -> PreTrainedConfig:
    """The config of a checkpoint. Outputs of hidden states and attention maps, which the configs of some distilled
    models ask for, are switched off: they cost time and memory."""
    with explain_load_errors(key, name_or_path):
        config = transformers.AutoConfig.from_pretrained(name_or_path, trust_remote_code=False)
        config.output_hidden_states = config.output_attentions = False
        config._attn_implementation = None  # whoever saved it may have used flash attention, which runs on no CPU
        return config


def load_masked_lm(
    name_or_path: str, key: str, with_maps: bool = False, dropout: float | None = None
) -> PreTrainedModel:
    """A masked LM with a trained head, ready to evaluate. It returns attention maps if it is `with_maps`.

    dropout: see `student.set_dropout`.
    """
    config = load_masked_lm_config(name_or_path, key)
    before = set_dropout(config, dropout, with_maps)
    options = dict(config=config, attn_implementation="eager" if with_maps else None)  # others return no maps
    saved = (config.architectures or ["model without a head"])[0]
    remedy = f"it was saved as a {saved}; give a masked LM, or train one by run_teacher.py with `model_name_or_path`"
    model = load_trained(AutoModelForMaskedLM, name_or_path, key, remedy, **options)
    model.config.update(before)
    return model


def load_to_continue(name_or_path: str, key: str) -> tuple[PreTrainedModel, list[str]]:
    """A masked LM with a trained encoder, and the names of new weights: those of a head that its checkpoint lacks."""
    return _load_encoder(AutoModelForMaskedLM, name_or_path, key, config=load_masked_lm_config(name_or_path, key))


def load_masked_lm_config(name_or_path: str, key: str) -> PreTrainedConfig:
    """The config of a masked LM."""
    config = load_config(name_or_path, key)
    # BART and T5 are in the mapping as well, but they generate text instead of filling it in.
    if type(config) not in AutoModelForMaskedLM._model_mapping or config.is_encoder_decoder:
        raise UserError(f"`{key}` {name_or_path!r} is not a masked language model; give one, such as a BERT")
    return config


def load_as_saved(name_or_path: str, key: str, heads: tuple[str, ...] = ("",), **options: Any) -> PreTrainedModel:
    """A model of the class that its config names. heads: the ends of accepted class names."""
    config = load_config(name_or_path, key)
    name = (config.architectures or ["model without a head"])[0]
    if not name.endswith(heads) or not hasattr(transformers, name):
        wanted = ", ".join(filter(None, heads)) or "whose config.json names a class of transformers in `architectures`"
        raise UserError(f"`{key}` {name_or_path!r} is a {name}: give a model {wanted}")
    return load_trained(getattr(transformers, name), name_or_path, key, config=config, **options)


def load_with_head(
    model_class: Any, name_or_path: str, key: str, labels: Sequence[str] | None = None, random_weights: bool = False
) -> PreTrainedModel:
    """A checkpoint with the head of a class: its own if that fits, else a new one. It must hold a trained encoder.

    labels: of the head; () for the two of question answering, which have no names; None for those in the config.
    """
    config = load_config(name_or_path, key)
    if labels is not None:  # a checkpoint of another task has its own, or is multi-label
        config.id2label = dict(enumerate(labels or ("LABEL_0", "LABEL_1")))
        config.label2id = {label: number for number, label in config.id2label.items()}
        config.problem_type = None
    if random_weights:
        with explain_load_errors(key, name_or_path):
            return model_class.from_config(config, dtype=torch.float32, trust_remote_code=False)
    return _load_encoder(model_class, name_or_path, key, config=config)[0]


def _load_encoder(
    model_class: Any, name_or_path: str, key: str, config: PreTrainedConfig
) -> tuple[PreTrainedModel, list[str]]:
    """A model whose checkpoint holds a trained encoder, and the names of the weights of a new head."""
    model, absent = _load(model_class, name_or_path, key, config=config)
    absent = [name for name in absent if "pooler." not in name]  # new where the checkpoint was a masked LM
    for name in absent:
        if model.base_model is model or name.startswith(f"{model.base_model_prefix}."):
            raise UserError(f"`{key}` {name_or_path!r} lacks trained weights for {name}: give a complete checkpoint")
    return model, absent


def load_trained(
    model_class: Any, name_or_path: str, key: str, remedy: str = "give a checkpoint with its head", **options: Any
) -> PreTrainedModel:
    """A model from a checkpoint that has all of its weights; else raises UserError. One without a pooler gets none."""
    model, absent = _load(model_class, name_or_path, key, **options)
    parts = {name.split(".")[0] for name in absent}
    if parts == {"pooler"} and "add_pooling_layer" in signature(type(model)).parameters:
        model.pooler, absent = None, []  # a sentence encoder is saved without it
    if not absent:
        return model
    names = ", ".join(absent[:3]) + " and more" * (len(absent) > 3)
    raise UserError(
        f"`{key}` {name_or_path!r} lacks trained weights for {names} (of the shape that its config.json says): "
        f"its predictions would be random; {remedy}"
    )


def _load(model_class: Any, name_or_path: str, key: str, **options: Any) -> tuple[PreTrainedModel, list[str]]:
    """A model in fp32, ready to evaluate; names of weights that its checkpoint lacks or has in another shape.

    Raises UserError for a checkpoint with weights inside layers that the model does not read: its outputs would not be
    those of the trained model. A warning names other unread weights of the encoder.
    """
    options = {"dtype": torch.float32, "output_loading_info": True, "trust_remote_code": False} | options
    options["ignore_mismatched_sizes"] = True  # they are reported as absent
    with explain_load_errors(key, name_or_path):
        model, loading = model_class.from_pretrained(name_or_path, **options)
    unread = [name for name in sorted(loading["unexpected_keys"]) if _is_of_encoder(name, model)]
    if layers := [name for name in unread if re.search(r"\.\d+\.", name)]:
        raise UserError(
            f"`{key}` {name_or_path!r} has {len(layers)} weights in its layers that a {type(model).__name__} of its "
            f"config does not read, such as {layers[0]}: mend the number of layers in its config.json, or, if this "
            "version of transformers lacks a part of it, such as relative positions, give another model"
        )
    if unread:
        logger.warning("`%s` %r: the model does not use its weights %s", key, name_or_path, ", ".join(unread))
    absent = set(loading["missing_keys"]) - set(model.all_tied_weights_keys)
    return model.eval(), sorted(absent | {name for name, *_ in loading["mismatched_keys"]})


def _is_of_encoder(name: str, model: PreTrainedModel) -> bool:
    """Whether a weight belongs to the encoder. Those of heads, poolers among them, and constants do not count."""
    inside = name.split(".")[0] in {model.base_model_prefix, *dict(model.base_model.named_children())}
    return inside and "pooler." not in name and not name.endswith(BUFFERS)


def load_tokenizer(name_or_path: str, key: str, roles: Sequence[str] = ("mask_token", "pad_token")) -> Tokenizer:
    """A fast tokenizer. roles: special tokens that it must have; by default those that masked-LM training needs."""
    with explain_load_errors(key, name_or_path, "has no usable tokenizer"):
        tokenizer = transformers.AutoTokenizer.from_pretrained(name_or_path, trust_remote_code=False)
        if tokenizer.is_fast:
            tokenizer = as_in_file(tokenizer, name_or_path)
            fill_gaps(tokenizer, name_or_path)
        tokenizer(PROBE)
        if not tokenizer.model_max_length >= 1:
            raise ValueError(f"model_max_length is {tokenizer.model_max_length}")
        tokenizer.model_max_length = int(tokenizer.model_max_length)  # the file may have a float
    if not tokenizer.is_fast:
        raise UserError(f"`{key}` {name_or_path!r} has a slow tokenizer: save its fast one (tokenizer.json) there")
    for role in roles:
        if getattr(tokenizer, role) is None:
            raise UserError(f"`{key}` {name_or_path!r} has no {role}: set one in its tokenizer and save it")
    if len(tokenizer) <= PLACEHOLDERS:
        raise UserError(f"`{key}` {name_or_path!r} has no tokenizer: put its tokenizer.json there")
    unread = unreadable(tokenizer)
    if len(unread) > MOST_UNREADABLE * len(tokenizer):
        logger.warning(
            "`%s` %r: %s of its %s tokens can never occur, such as %r: its tokenizer changes case, accents, or "
            "characters first; unless the model was trained with it, set `do_lower_case` and `strip_accents` to false "
            "in its tokenizer_config.json",
            *(key, name_or_path, f"{len(unread):,}", f"{len(tokenizer):,}", unread[len(unread) // 2]),
        )
    return tokenizer


def load_tokenizer_of(
    model: PreTrainedModel, name_or_path: str, key: str, roles: Sequence[str] = ("pad_token",)
) -> Tokenizer:
    """The tokenizer of a checkpoint, as its model needs it."""
    tokenizer = load_tokenizer(name_or_path, key, roles)
    check_rows(tokenizer, model, name_or_path, key)
    if counts_from_padding(model) and tokenizer.pad_token_id != model.config.pad_token_id:
        raise UserError(
            f"`{key}` {name_or_path!r} has padding token {tokenizer.pad_token_id} in its tokenizer and "
            f"{model.config.pad_token_id} in its config, from which positions are counted: make them equal"
        )
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    fit_tokenizer(tokenizer, model)
    compose_letters(tokenizer)
    return tokenizer


def check_rows(tokenizer: Tokenizer, model: PreTrainedModel, name_or_path: str, key: str, max_length: int = 0) -> None:
    """Raise UserError for a tokenizer with a token that its model has no embedding for, and for a model that has fewer
    than `max_length` positions; `key` named both."""
    embeddings, named = model.get_input_embeddings(), f"`{key}` {name_or_path!r}"
    if not hasattr(embeddings, "weight"):  # Perceiver
        raise UserError(
            f"{named} is a {type(model).__name__}, which has no embeddings of words: give a model of another "
            "architecture, such as a BERT"
        )
    tokens, rows = vocabulary_size(tokenizer), len(embeddings.weight)
    if tokens > rows:
        raise UserError(
            f"the tokenizer of {named} has {tokens} tokens, its model only {rows}: give the tokenizer that it was "
            "trained with"
        )
    if max_length and max_length > (positions := position_count(model)):
        raise UserError(f"`max_length` {max_length} exceeds the {positions} positions of {named}; lower it")


def fit_tokenizer(tokenizer: Tokenizer, model: PreTrainedModel) -> None:
    """Make the tokenizer return the inputs of the model, and at most as many tokens as it reads; also once saved."""
    names = tokenizer.model_input_names
    if getattr(model.config, "type_vocab_size", 0) < 2:  # DistilBERT, RoBERTa: they ignore segments
        names = [name for name in names if name != "token_type_ids"]
    tokenizer.model_input_names = tokenizer.init_kwargs["model_input_names"] = names
    tokenizer.model_max_length = min(tokenizer.model_max_length, position_count(model))


def position_count(model: PreTrainedModel) -> int:
    """How many tokens a model can read at once; 512 where its config does not say."""
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    return positions - (getattr(model.config, "pad_token_id", 0) + 1 if counts_from_padding(model) else 0)


def counts_from_padding(model: PreTrainedModel) -> bool:
    """Whether positions start after the padding position, as in RoBERTa."""
    embeddings = [module for name, module in model.named_modules() if name.endswith("position_embeddings")]
    return any(getattr(module, "padding_idx", None) is not None for module in embeddings)


def save_pretrained(
    model: PreTrainedModel, tokenizer: Tokenizer, folder: str | Path, state_dict: dict[str, Tensor] | None = None
) -> None:
    """Write what `AutoModelFor...` and `AutoTokenizer` load, readable as the umask says.

    state_dict: gathered weights, written in place of the model's own.
    """
    tokenizer = copy.deepcopy(tokenizer)  # the caller may use it with another model
    fit_tokenizer(tokenizer, model)
    # With the model's own names of weights. transformers would write the names in the original checkpoint, such as
    # `LayerNorm.gamma`, which `load_state_dict` does not know.
    model.save_pretrained(folder, state_dict=state_dict, save_original_format=False)
    for weights in Path(folder).glob("*.safetensors"):
        follow_umask(weights)
    save_tokenizer(tokenizer, folder)
