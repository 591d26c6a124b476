"""Masked-LM logits at chosen positions only.

The vocabulary projection is most of a small model's arithmetic (86 % of the forward pass of a 2-layer student with
119,547 tokens), and the objective needs it at few positions. The selection happens where the head begins, so the
whole head runs on the chosen positions.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel


def head_entry(model: PreTrainedModel, sample: Mapping[str, Tensor]) -> nn.Module:
    """The first module outside the encoder that `model(**sample)` calls: where hidden states enter the head."""
    called: list[nn.Module] = []
    handles = [
        module.register_forward_pre_hook(lambda module, _: called.append(module))
        for name, module in model.named_children()
        if name != model.base_model_prefix
    ]
    try:
        with torch.no_grad():
            model(**sample)
    finally:
        for handle in handles:
            handle.remove()
    return called[0]


def forward_at(
    model: PreTrainedModel, entry: nn.Module, positions: Tensor, projection: str | None = None, **inputs: Any
) -> Any:
    """`model(**inputs)` with logits (positions, vocabulary) instead of (batch, length, vocabulary).

    entry: what `head_entry` found; positions: indices (n,) into the flattened batch x length; projection: what
    `vocabulary_projection` found, to have (positions, width) that enter it in place of the logits.
    """

    def select(module: nn.Module, arguments: tuple) -> tuple:
        return (arguments[0].flatten(0, 1)[positions], *arguments[1:])

    handle = entry.register_forward_pre_hook(select)
    try:
        return model(**inputs) if projection is None else _without_projection(model, projection, inputs)
    finally:
        handle.remove()


def vocabulary_projection(model: PreTrainedModel, sample: Mapping[str, Tensor]) -> str | None:
    """The name of the linear layer that `model(**sample)` ends in, from states to logits; None if there is none.

    `get_output_embeddings` does not tell: for some architectures it names a layer that the forward pass leaves out.
    """
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    ends: list[tuple[nn.Module, Tensor]] = []
    handles = [m.register_forward_hook(lambda m, _, output: ends.append((m, output))) for m in names]
    try:
        with torch.no_grad():
            logits = model(**sample).logits
    finally:
        for handle in handles:
            handle.remove()
    layer, output = ends[-1]
    return names[layer] if output.shape == logits.shape and torch.equal(output, logits) else None


def _without_projection(model: PreTrainedModel, name: str, inputs: Mapping[str, Any]) -> Any:
    projection = model.get_submodule(name)
    model.set_submodule(name, nn.Identity())  # its weights in their place would not do: FSDP puts them back
    try:
        return model(**inputs)
    finally:
        model.set_submodule(name, projection)


def check_entry(model: PreTrainedModel, entry: nn.Module, sample: Mapping[str, Tensor]) -> None:
    """Raise RuntimeError unless selecting before the head gives the logits that selecting after it gives."""
    count = sample["input_ids"].numel()
    positions = torch.arange(count - 1, -1, -1, device=sample["input_ids"].device)  # reversed: order matters too
    with torch.no_grad():
        whole = model(**sample).logits.flatten(0, 1)[positions]
        chosen = forward_at(model, entry, positions, **sample).logits
    if chosen.shape != whole.shape or not torch.allclose(chosen.float(), whole.float(), rtol=1e-3, atol=1e-3):
        raise RuntimeError(f"{type(model).__name__}: the masked-LM head cannot be evaluated at chosen positions")
