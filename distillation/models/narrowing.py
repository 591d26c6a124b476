"""Weights of a DistilBERT for a narrower one: a part of the coordinates, of each head, and of the feed-forward units.

`crop` takes the first of them, `pca` the most important. A basis P (width, narrower width) with orthonormal columns
maps the residual stream: a state x (a row) becomes x P. Weights are (out, in), as in `nn.Linear`.

No choice keeps the teacher's logits: a part of each state is lost. What `crop` keeps works as before. `pca` loses
less, but the gains of LayerNorm and the nonlinearity of the head act on single coordinates, and it mixes these.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import DistilBertConfig

_EMBEDDINGS = ("word_embeddings", "position_embeddings")
WORDS, POSITIONS = (f"distilbert.embeddings.{name}.weight" for name in _EMBEDDINGS)
_READERS = (*_EMBEDDINGS, "q_lin", "k_lin", "v_lin", "lin1", "vocab_transform")  # their columns are coordinates
_WRITERS = ("out_lin", "lin2", "vocab_transform")  # their rows are
# Share of the width from which the first coordinates are the better start. After 300 steps the held-out loss per
# character is 1.876 with them and 1.890 with the principal ones at a share of 0.85; 1.910 and 1.906 at 0.69; 2.004 and
# 1.980 at 0.5 (benchmarks/results/first_weights.md).
CROPPED = 0.75


def narrow_model(
    weights: Mapping[str, Tensor], config: DistilBertConfig, heads: int, how: str | None = None
) -> dict[str, Tensor]:
    """Weights of a DistilBERT with `heads` heads, all or some (word embeddings at least), in the shapes of `config`.

    how: `crop` or `pca`; unless given `pca`, but `crop` for the residual stream from a share of `CROPPED` on.

    Where the residual stream gets narrower, word embeddings are centred and get the deviation of new ones. Weights
    of equal shapes do not change.
    """
    width = weights[WORDS].shape[1]
    narrower = config.dim < width
    if narrower:
        # The words' mean is often larger than their differences. Moved to the positions, it leaves the sums of word
        # and position as they are, and changes the tied decoder's logits by one number for all tokens.
        middle = weights[WORDS].mean(0)
        moved = {WORDS: -middle, POSITIONS: middle}
        weights = {name: weight + moved[name] if name in moved else weight for name, weight in weights.items()}
    basis = residual_basis(weights[WORDS], config.dim, how or ("pca" if config.dim < CROPPED * width else "crop"))
    how = how or "pca"
    narrowed = {name: _residual(name, weight, basis) for name, weight in weights.items()}
    for k in range(config.n_layers):
        prefix = f"distilbert.transformer.layer.{k}"
        if f"{prefix}.ffn.lin1.weight" in weights:
            _narrow_attention(narrowed, f"{prefix}.attention", config, heads, how)
            _narrow_feed_forward(narrowed, f"{prefix}.ffn", config.hidden_dim, how)
    return _rescaled(narrowed, config.initializer_range) if narrower else narrowed


def residual_basis(rows: Tensor, width: int, how: str) -> Tensor:
    """P (rows' width, width) for rows (tokens, rows' width).

    pca: the principal directions of the rows, which keep their inner products best. One direction is reserved for the
    constant vector, which P maps to the constant vector. LayerNorm subtracts it. Apart from its gain and the norm of
    the part that is lost, LayerNorm then commutes with P.
    """
    full = rows.shape[1]
    if how == "crop" or width == full:
        return torch.eye(full, width, dtype=rows.dtype)
    rest = rows.double() - rows.double().mean(1, keepdim=True)  # without the constant vector
    gram = rest.T @ rest
    constant = torch.full((full,), full**-0.5, dtype=torch.float64)
    # The constant vector has the only negative eigenvalue, so it comes last even if the rows have a low rank.
    _, directions = torch.linalg.eigh(gram - (1 + gram.trace()) * constant.outer(constant))
    directions = directions[:, 1 - width :].flip(1)
    # The sign of an eigenvector is free, and differs between machines: the largest coordinate becomes positive.
    directions *= directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
    basis = torch.cat([constant[:, None], directions], dim=1)
    normal = torch.full((width,), width**-0.5, dtype=torch.float64)  # of a reflection of (1, 0, ...) to the constant
    normal[0] -= 1
    return (basis - (basis @ normal).outer(normal) * (2 / normal.dot(normal))).to(rows.dtype)


def narrow_heads(
    query: Tensor, key: Tensor, value: Tensor, output: Tensor, width: int, how: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Heads of another width. query, key, value: (heads, head width, inputs + 1), the bias last, as the weight of an
    input that is always 1; output: (heads, outputs, head width).

    pca: the nearest query @ key and output @ value of rank `width`, because a head depends on these products alone.
    The student divides its logits by sqrt(width), the teacher by sqrt(head width).
    """
    full = query.shape[1]
    if how == "crop" or width == full:
        return query[:, :width], key[:, :width], value[:, :width], output[..., :width]
    query, key = factors(query.mT, key, width)
    scale = (width / full) ** 0.25  # on query and on key, so that their product gets sqrt(width / full)
    output, value = factors(output, value, width)
    return scale * query.mT, scale * key, value, output


def factors(left: Tensor, right: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """The best factors (..., m, rank) and (..., rank, n), equally large, of left (..., m, k) @ right (..., k, n)."""
    (rows, left_core), (columns, right_core) = torch.linalg.qr(left.double()), torch.linalg.qr(right.double().mT)
    u, values, v = torch.linalg.svd(left_core @ right_core.mT)  # small, and with the singular values of the product
    roots = values[..., :rank].sqrt()
    return rows @ (u[..., :rank] * roots[..., None, :]), (roots[..., None] * v[..., :rank, :]) @ columns.mT


def select_ffn_units(first: Tensor, second: Tensor, count: int, how: str) -> Tensor:
    """Which units of a feed-forward layer stay. first: (units, width); second: (width, units).

    pca: those with the largest product of the norms of what they read and what they write.
    """
    if how == "crop":
        return torch.arange(count)
    return (first.norm(dim=1) * second.norm(dim=0)).topk(count).indices.sort().values


def _residual(name: str, weight: Tensor, basis: Tensor) -> Tensor:
    """One parameter in the student's coordinates of the residual stream.

    The head counts as part of the stream: its linear parts are kept, its nonlinearity acts on other coordinates.
    """
    module, kind = name.split(".")[-2:]
    norm = module.endswith(("layer_norm", "LayerNorm"))
    if norm and kind == "weight":
        return (basis**2).T @ weight  # the diagonal of P^T diag(gain) P, which is not diagonal
    if norm or module in _WRITERS:
        weight = basis.T @ weight
    return weight @ basis if module in _READERS and kind == "weight" else weight


def _narrow_attention(
    weights: dict[str, Tensor], prefix: str, config: DistilBertConfig, teacher_heads: int, how: str
) -> None:
    names, last = [f"{prefix}.{name}" for name in ("q_lin", "k_lin", "v_lin")], f"{prefix}.out_lin.weight"
    parts = [torch.cat([weights[f"{n}.weight"], weights[f"{n}.bias"][:, None]], dim=1) for n in names]
    parts = [part.unflatten(0, (teacher_heads, -1)) for part in parts]
    parts.append(weights[last].unflatten(1, (teacher_heads, -1)).movedim(1, 0))
    *parts, output = narrow_heads(*(p[: config.n_heads] for p in parts), config.dim // config.n_heads, how)
    for name, part in zip(names, parts, strict=True):
        weights[f"{name}.weight"], weights[f"{name}.bias"] = part[..., :-1].flatten(0, 1), part[..., -1].flatten()
    weights[last] = output.movedim(0, 1).flatten(1)


def _narrow_feed_forward(weights: dict[str, Tensor], prefix: str, count: int, how: str) -> None:
    first, bias, second = (f"{prefix}.{name}" for name in ("lin1.weight", "lin1.bias", "lin2.weight"))
    units = select_ffn_units(weights[first], weights[second], count, how)
    weights |= {first: weights[first][units], bias: weights[bias][units], second: weights[second][:, units]}


def _rescaled(weights: Mapping[str, Tensor], deviation: float) -> dict[str, Tensor]:
    """Scale the word embeddings to a standard deviation, without a change of what the given weights compute.

    The LayerNorm of the embeddings undoes a factor of words and positions together. The tied decoder multiplies by
    the words again, so the head's LayerNorm, where it is given, takes the factor back.
    """
    factor = deviation / weights[WORDS].std()
    changed = dict.fromkeys((WORDS, POSITIONS), factor)
    changed |= dict.fromkeys(("vocab_layer_norm.weight", "vocab_layer_norm.bias"), 1 / factor)
    return {name: weight * changed.get(name, 1) for name, weight in weights.items()}
