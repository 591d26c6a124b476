"""First weights of a DistilBERT student, from a teacher at least as wide.

Groups of consecutive teacher layers give one student layer each: their mean (`average`, as the DistilRuBERT authors
do) or their last (`select`). Embeddings and head are the teacher's; for another vocabulary they are means of its rows.
`narrowing.py` chooses the part that a narrower student takes.
"""

import logging
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import DistilBertConfig, DistilBertForMaskedLM, PretrainedConfig, PreTrainedModel
from transformers.activations import ACT2FN

from distillation.config.errors import UserError
from distillation.models.layer_groups import layer_groups, mean
from distillation.models.narrowing import POSITIONS, WORDS, narrow_model

logger = logging.getLogger(__name__)

COPIED = ("distilbert", "bert", "roberta", "xlm-roberta", "camembert")  # model types whose layers fit
# Parts of the names of BERT's and RoBERTa's parameters, and what DistilBERT calls them; the first match counts.
_NAMES = {
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
    "cls.predictions.transform.dense": "vocab_transform",
    "cls.predictions.transform.LayerNorm": "vocab_layer_norm",
    "cls.predictions.bias": "vocab_projector.bias",
    "lm_head.dense": "vocab_transform",
    "lm_head.layer_norm": "vocab_layer_norm",
    "lm_head.bias": "vocab_projector.bias",
}
_EMBEDDINGS, _LAYER, _BIAS = "distilbert.embeddings", "distilbert.transformer.layer", "vocab_projector.bias"


@torch.no_grad()
def initialise(
    student: DistilBertForMaskedLM, teacher: PreTrainedModel, how: str, projection: str | None = None, vocabulary=None
) -> None:
    """Overwrite the student's random weights.

    how: `average` or `select`; `embeddings` takes only embeddings and the head's bias; `random` takes nothing.
    projection: what a narrower student takes, `pca` or `crop`; None chooses (see `narrow_model`).
    vocabulary: the student's in terms of the teacher's (see `translate`); None where they share one.

    Raises UserError where the student is larger. A teacher with other layers (ModernBERT, DeBERTa) gives its word
    embeddings only, or nothing where these are narrower than the student (as in some ELECTRA and ALBERT models); a
    warning says so.
    """
    if how == "random":
        return
    config, shape = student.config, teacher.config
    fits = shape.model_type in COPIED
    with_layers = fits and how != "embeddings"
    _check_shape(config, shape, how, with_layers)
    weights = {WORDS: teacher.get_input_embeddings().weight}
    is_wide = weights[WORDS].shape[1] >= config.dim
    if not fits:
        logger.warning(
            "layers of a %s teacher cannot be copied into a DistilBERT student: %s layers and head start random",
            shape.model_type,
            "word embeddings are;" if is_wide else "word embeddings (of another width than its layers),",
        )
    if not is_wide:
        return
    if fits:
        source = _student_names(teacher)
        taken = (f"{_EMBEDDINGS}.LayerNorm.", _BIAS) + ("vocab_transform.", "vocab_layer_norm.") * with_layers
        weights |= {name: weight for name, weight in source.items() if name.startswith(taken)}
        weights[POSITIONS] = _positions(source, config.max_position_embeddings)
    if with_layers:
        weights |= _layers(source, shape.num_hidden_layers, config.n_layers, how)
    if vocabulary is not None:
        weights |= _translated(weights, vocabulary)
    weights = narrow_model(weights, config, getattr(shape, "num_attention_heads", config.n_heads), projection)
    missing, unexpected = student.load_state_dict(weights, strict=False)
    assert not unexpected, unexpected
    assert not with_layers or set(missing) <= {"vocab_projector.weight"}, missing  # the tied matrix


def translate(rows: Tensor, vocabulary) -> tuple[Tensor, Tensor]:
    """Rows (teacher tokens, n) of one vocabulary as rows (student tokens, n) of another, and which are known.

    A token that both have, or that `special_ids` pairs, takes its row. Any other takes the mean row of the
    teacher tokens that have it as a piece, weighted with how often they do. A piece of no teacher token is unknown.

    vocabulary: `pieces`, sparse (teacher tokens, student tokens), how often each student token is in the spelling of
    each teacher token; `shared_student_ids` and `shared_teacher_ids`, entry by entry the same token; and
    `special_ids`, pairs of a student and a teacher id.
    """
    pieces = vocabulary.pieces.to(rows.dtype).t()
    rows = rows[: pieces.shape[1]]  # some models have more rows than their tokenizer has tokens
    counts = pieces @ rows.new_ones(len(rows), 1)
    translated = pieces @ rows / counts.clamp(min=1)
    known = counts[:, 0] > 0
    firsts = dict(reversed(vocabulary.special_ids))  # a token may have several partners: by role, then by name
    special = torch.tensor(list(firsts.items()), dtype=torch.long).reshape(-1, 2)
    student_ids = torch.cat([vocabulary.shared_student_ids, special[:, 0]])
    teacher_ids = torch.cat([vocabulary.shared_teacher_ids, special[:, 1]])
    # A byte-level teacher has some tokens twice, with and without a space before them: take the mean of both.
    same = rows.new_zeros(len(translated), rows.shape[1]).index_add(0, student_ids, rows[teacher_ids])
    translated[student_ids] = same[student_ids] / torch.bincount(student_ids)[student_ids, None]
    known[student_ids] = True
    return translated, known


def intermediate_size(config: PretrainedConfig) -> int:
    """The width inside a model's feed-forward layers, by the names that architectures have for it; XLM has none."""
    names = ("hidden_dim", "intermediate_size", "d_inner", "feed_forward_size")
    return next((getattr(config, name) for name in names if hasattr(config, name)), 4 * config.hidden_size)


def activation(config: PretrainedConfig) -> str:
    """The nonlinearity of a model's feed-forward layers, by the names that architectures have for it; GELU where a
    config says none (ESM, XLM)."""
    found = (getattr(config, name, None) for name in ("activation", "hidden_activation", "hidden_act"))
    return next((name for name in found if name in ACT2FN), "gelu")


def _check_shape(student: DistilBertConfig, teacher: PretrainedConfig, how: str, with_layers: bool) -> None:
    checks = [("hidden_size", "width", student.dim, teacher.hidden_size)]
    if with_layers:
        heads, inner = teacher.num_attention_heads, intermediate_size(teacher)
        checks += [
            ("attention_heads", "number of heads", student.n_heads, heads),
            ("attention_heads", "width of a head", student.dim // student.n_heads, teacher.hidden_size // heads),
            ("intermediate_size", "width inside feed-forward layers", student.hidden_dim, inner),
        ]
    for key, what, own, available in checks:
        if own > available:
            raise UserError(
                f"`student_initialisation: {how}` can only take parts of the teacher, but with this `student_{key}` "
                f"the student's {what} is {own} and the teacher's {available}: change it, or set "
                f"`student_initialisation: {'random' if key == 'hidden_size' else 'embeddings'}`"
            )


def _student_names(teacher: PreTrainedModel) -> dict[str, Tensor]:
    """The teacher's weights by the names of a DistilBERT."""
    named = {}
    for name, weight in teacher.state_dict().items():
        part = next((part for part in _NAMES if part in name), "")
        name = name.replace(part, _NAMES.get(part, "")).replace(".encoder.layer.", ".transformer.layer.")
        named[name.replace(f"{teacher.base_model_prefix}.", "distilbert.", 1)] = weight
    return named


def _positions(source: Mapping[str, Tensor], count: int) -> Tensor:
    position = source[POSITIONS][-count:]  # RoBERTa's first rows are for padding
    token_type = source.get(f"{_EMBEDDINGS}.token_type_embeddings.weight")
    if token_type is not None:
        position = position + token_type[0]  # DistilBERT has no token types
    return position


def _layers(source: Mapping[str, Tensor], teacher_layers: int, student_layers: int, how: str) -> dict[str, Tensor]:
    parts = [name.removeprefix(f"{_LAYER}.0.") for name in source if name.startswith(f"{_LAYER}.0.")]
    weights = {}
    for k, group in enumerate(layer_groups(teacher_layers, student_layers)):
        chosen = group if how == "average" else group[-1:]
        weights |= {f"{_LAYER}.{k}.{part}": mean([source[f"{_LAYER}.{n}.{part}"] for n in chosen]) for part in parts}
    return weights


def _translated(weights: Mapping[str, Tensor], vocabulary) -> dict[str, Tensor]:
    """The weights for the student's tokens. Unknown ones have random rows with the mean and deviation of the others.
    They have the smallest bias, so that they are hardly ever predicted."""
    words, known = translate(weights[WORDS], vocabulary)
    deviation, mean_row = torch.std_mean(words[known], dim=0)
    words[~known] = mean_row + deviation * torch.randn_like(words[~known])
    translated = {WORDS: words}
    if _BIAS in weights:
        bias = translate(weights[_BIAS][:, None], vocabulary)[0][:, 0]
        translated[_BIAS] = bias.where(known, bias[known].min())
    return translated
