"""First weights of a DistilBERT student, from a teacher at least as wide.

Groups of consecutive teacher layers give one student layer each: their mean (`average`, as the DistilRuBERT authors
do) or their last (`select`). Embeddings and head are the teacher's, for another vocabulary the means of its rows. What
a narrower student keeps of all this is the matter of `projection.py`.
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import DistilBertConfig, DistilBertForMaskedLM, PretrainedConfig, PreTrainedModel

from distillation.config.errors import UserError
from distillation.models.layer_groups import layer_groups, mean
from distillation.models.narrowing import narrow_model

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
def initialise(
    student: DistilBertForMaskedLM, teacher: PreTrainedModel, how: str, projection: str = "pca", vocabulary=None
) -> None:
    """Overwrite the student's random weights.

    how: `average` or `select`; `embeddings` takes these and the head's bias; `random` takes nothing.
    projection: what a narrower student keeps, `pca` or `crop`.
    vocabulary: the student's in terms of the teacher's (see `translate`); None where they share one.

    Raises UserError where the student is larger. A teacher whose layers are built otherwise (ModernBERT, DeBERTa)
    gives its word embeddings only, or nothing where these are narrower than the student (as ELECTRA's and ALBERT's
    may be); a warning says so.
    """
    if how == "random":
        return
    ours, theirs = student.config, teacher.config
    fits = theirs.model_type in _LAYERS
    with_layers = fits and how != "embeddings"
    _check_shape(ours, theirs, how, with_layers)
    words = teacher.get_input_embeddings().weight
    enough = words.shape[1] >= ours.dim
    if not fits:
        logger.warning(
            "layers of a %s teacher cannot be copied into a DistilBERT student: %s, layers and head start random",
            theirs.model_type,
            "only its word embeddings are" if enough else "word embeddings (of another width than its layers)",
        )
    if not enough:
        return
    source = teacher.state_dict()
    weights = {"distilbert.embeddings.word_embeddings.weight": words}
    if fits:
        weights |= _embeddings(source, teacher, ours.max_position_embeddings)
        weights["vocab_projector.bias"] = source[_head_names(source)[-1]]
    if with_layers:
        weights |= _layers(source, theirs, ours.n_layers, how) | _head(source)
    if vocabulary is not None:
        weights |= _translated(weights, vocabulary)
    weights = narrow_model(weights, ours, theirs.num_attention_heads, projection)
    missing, unexpected = student.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert not with_layers or set(missing) <= {"vocab_projector.weight"}, missing  # the tied matrix


def translate(rows: Tensor, vocabulary) -> tuple[Tensor, Tensor]:
    """Rows (teacher tokens, n) of one vocabulary as rows (student tokens, n) of another, and which are known.

    A token that both have, or that has the same special role, keeps its row. Any other gets the mean row of the
    teacher tokens that it helps to spell, weighted with how often it does; of no such token nothing is known.

    vocabulary: `pieces`, sparse (teacher tokens, student tokens), the number of times a student token stands in the
    spelling of a teacher token; `shared_student_ids` and `shared_teacher_ids`, entry by entry the same token; and
    `special_ids`, pairs of a student and a teacher id.
    """
    spelt = vocabulary.pieces.to_sparse_coo().to(rows.dtype).t()
    rows = rows[: spelt.shape[1]]  # some models have more rows than their tokenizer has tokens
    counts = spelt @ rows.new_ones(len(rows), 1)
    translated = spelt @ rows / counts.clamp(min=1)
    known = counts[:, 0] > 0
    special = torch.tensor(list(dict(vocabulary.special_ids).items()), dtype=torch.long).reshape(-1, 2)
    ours = torch.cat([vocabulary.shared_student_ids, special[:, 0]])
    theirs = torch.cat([vocabulary.shared_teacher_ids, special[:, 1]])
    # A teacher of bytes has some tokens twice, with and without a space before them: the mean of both.
    same = rows.new_zeros(len(translated), rows.shape[1]).index_add(0, ours, rows[theirs])
    translated[ours], known[ours] = same[ours] / torch.bincount(ours)[ours, None], True
    return translated, known


def intermediate_size(config: PretrainedConfig) -> int:
    """The width inside a model's feed-forward layers, which DistilBERT calls `hidden_dim`."""
    return config.hidden_dim if config.model_type == "distilbert" else config.intermediate_size


def activation(config: PretrainedConfig) -> str:
    """The nonlinearity of a model's feed-forward layers, which DistilBERT and ModernBERT name otherwise."""
    names = {"distilbert": "activation", "modernbert": "hidden_activation"}
    return getattr(config, names.get(config.model_type, "hidden_act"))


def _check_shape(ours: DistilBertConfig, theirs: PretrainedConfig, how: str, with_layers: bool) -> None:
    checks = [("student_hidden_size", "width", ours.dim, theirs.hidden_size, "random")]
    if with_layers:
        heads, inner = theirs.num_attention_heads, intermediate_size(theirs)
        widths = (ours.dim // ours.n_heads, theirs.hidden_size // heads)
        checks += [
            ("student_attention_heads", "number of heads", ours.n_heads, heads, "embeddings"),
            ("student_attention_heads", "width of a head", *widths, "embeddings"),
            ("student_intermediate_size", "width inside feed-forward layers", ours.hidden_dim, inner, "embeddings"),
        ]
    for key, what, our, their, remedy in checks:
        if our > their:
            raise UserError(
                f"`student_initialisation: {how}` can only take parts of the teacher, but with this `{key}` the "
                f"student's {what} is {our} and the teacher's {their}: change it, or set "
                f"`student_initialisation: {remedy}`"
            )


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


def _head_names(source: Mapping[str, Tensor]) -> tuple[str, str, str]:
    return next(names for names in _HEADS.values() if names[-1] in source)


def _head(source: Mapping[str, Tensor]) -> dict[str, Tensor]:
    dense, norm, _ = _head_names(source)
    pairs = (("vocab_transform", dense), ("vocab_layer_norm", norm))
    return {f"{ours}.{kind}": source[f"{theirs}.{kind}"] for ours, theirs in pairs for kind in ("weight", "bias")}


def _translated(weights: Mapping[str, Tensor], vocabulary) -> dict[str, Tensor]:
    """The weights with one entry for each token; what is unknown is drawn like the rest, and hardly ever predicted."""
    words, known = translate(weights["distilbert.embeddings.word_embeddings.weight"], vocabulary)
    deviation, mean_row = torch.std_mean(words[known], dim=0)
    words[~known] = mean_row + deviation * torch.randn_like(words[~known])
    translated = {"distilbert.embeddings.word_embeddings.weight": words}
    if "vocab_projector.bias" in weights:
        bias = translate(weights["vocab_projector.bias"][:, None], vocabulary)[0][:, 0]
        translated["vocab_projector.bias"] = bias.where(known, bias[known].min())
    return translated
