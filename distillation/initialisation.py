"""First weights of a DistilBERT student, from a teacher of the same width.

Groups of consecutive teacher layers give one student layer each: their mean (`average`, as the DistilRuBERT authors
do) or their last (`select`). Embeddings and head are the teacher's.
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import DistilBertForMaskedLM, PretrainedConfig, PreTrainedModel

from distillation.layers import layer_groups, mean
from distillation.recipe import RecipeError

logger = logging.getLogger(__name__)

# Where the parts of a DistilBERT layer stand in a BERT or RoBERTa layer.
_BERT_LAYER = {
    "attention.q_lin": "attention.self.query",
    "attention.k_lin": "attention.self.key",
    "attention.v_lin": "attention.self.value",
    "attention.out_lin": "attention.output.dense",
    "sa_layer_norm": "attention.output.LayerNorm",
    "ffn.lin1": "intermediate.dense",
    "ffn.lin2": "output.dense",
    "output_layer_norm": "output.LayerNorm",
}
_DISTILBERT_LAYER = {part: part for part in _BERT_LAYER}
_LAYERS = {
    "distilbert": ("distilbert.transformer.layer", _DISTILBERT_LAYER),
    "bert": ("bert.encoder.layer", _BERT_LAYER),
    "roberta": ("roberta.encoder.layer", _BERT_LAYER),
    "xlm-roberta": ("roberta.encoder.layer", _BERT_LAYER),
    "camembert": ("roberta.encoder.layer", _BERT_LAYER),
}
# The head: a linear layer, a layer norm, and the bias over the vocabulary, by the student's names.
_HEADS = {
    "bert": ("cls.predictions.transform.dense", "cls.predictions.transform.LayerNorm", "cls.predictions.bias"),
    "roberta": ("lm_head.dense", "lm_head.layer_norm", "lm_head.bias"),
    "distilbert": ("vocab_transform", "vocab_layer_norm", "vocab_projector.bias"),
}


@torch.no_grad()
def initialise(student: DistilBertForMaskedLM, teacher: PreTrainedModel, how: str) -> None:
    """Overwrite the student's random weights. how: `average`, `select`, or `random` (nothing is taken).

    Raises RecipeError where the widths differ. A teacher whose layers are built otherwise (ModernBERT, DeBERTa) gives
    its word embeddings only, or nothing where these have a width of their own (ELECTRA, ALBERT); a warning says so.
    """
    if how == "random":
        return
    ours, theirs = student.config, teacher.config
    inner = intermediate_size(theirs)
    if (ours.dim, ours.hidden_dim) != (theirs.hidden_size, inner):
        raise RecipeError(
            f"`student_initialisation: {how}` copies whole matrices, but the student is {ours.dim} wide "
            f"({ours.hidden_dim} inside) and the teacher {theirs.hidden_size} ({inner}): leave "
            "`student_hidden_size` and `student_intermediate_size` out, or set `student_initialisation: random`"
        )
    words = teacher.get_input_embeddings().weight
    weights = {"distilbert.embeddings.word_embeddings.weight": words} if words.shape[1] == ours.dim else {}
    source = teacher.state_dict()
    if theirs.model_type in _LAYERS:
        weights |= _embeddings(source, teacher, ours.max_position_embeddings)
        weights |= _layers(source, theirs, ours.n_layers, how)
        weights |= _head(source)
    else:
        logger.warning(
            "layers of a %s teacher cannot be copied into a DistilBERT student: %s, layers and head start random",
            theirs.model_type,
            "only its word embeddings are" if weights else "word embeddings (of another width than its layers)",
        )
    missing, unexpected = student.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert theirs.model_type not in _LAYERS or set(missing) <= {"vocab_projector.weight"}, missing  # the tied matrix


def intermediate_size(config: PretrainedConfig) -> int:
    """The width inside a model's feed-forward layers, which DistilBERT calls `hidden_dim`."""
    return config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size


def activation(config: PretrainedConfig) -> str:
    """The nonlinearity of a model's feed-forward layers, which DistilBERT and ModernBERT name otherwise."""
    names = {"distilbert": "activation", "modernbert": "hidden_activation"}
    return getattr(config, names.get(config.model_type, "hidden_act"))


def _embeddings(source: Mapping[str, Tensor], teacher: PreTrainedModel, positions: int) -> dict[str, Tensor]:
    prefix = f"{teacher.base_model_prefix}.embeddings"
    position = source[f"{prefix}.position_embeddings.weight"][-positions:]  # RoBERTa's first rows stand for padding
    token_type = source.get(f"{prefix}.token_type_embeddings.weight")
    if token_type is not None:
        position = position + token_type[0]  # DistilBERT has no token types
    norm = {f"LayerNorm.{kind}": source[f"{prefix}.LayerNorm.{kind}"] for kind in ("weight", "bias")}
    parts = {"position_embeddings.weight": position} | norm
    return {f"distilbert.embeddings.{name}": weight for name, weight in parts.items()}


def _layers(
    source: Mapping[str, Tensor], config: PretrainedConfig, student_layers: int, how: str
) -> dict[str, Tensor]:
    root, names = _LAYERS[config.model_type]
    weights = {}
    for k, group in enumerate(layer_groups(config.num_hidden_layers, student_layers)):
        chosen = group if how == "average" else group[-1:]
        for part, name in names.items():
            for kind in ("weight", "bias"):
                parts = [source[f"{root}.{layer}.{name}.{kind}"] for layer in chosen]
                weights[f"distilbert.transformer.layer.{k}.{part}.{kind}"] = mean(parts)
    return weights


def _head(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    dense, norm, bias = next(names for names in _HEADS.values() if names[2] in source)
    weights = {"vocab_projector.bias": source[bias]}
    for ours, theirs in (("vocab_transform", dense), ("vocab_layer_norm", norm)):
        weights |= {f"{ours}.{kind}": source[f"{theirs}.{kind}"] for kind in ("weight", "bias")}
    return weights
