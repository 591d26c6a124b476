"""Masked-LM logits at chosen positions only.

The vocabulary projection is most of a small model's arithmetic (86 % of the forward pass of a 2-layer student with
119,547 tokens), and the objective needs it at few positions. The selection happens where the head begins, so the
whole head runs on the chosen positions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distillation.config.errors import UserError


@dataclass
class Outputs:
    """What the terms compare. `hidden_states` and `attentions` have one entry a layer, without the embeddings.

    In place of `logits` a teacher of another vocabulary has the states that enter its projection to that.
    """

    logits: Tensor | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class Runner:
    """Runs a masked LM, student or teacher, with its head at chosen positions."""

    def __init__(self, model: PreTrainedModel, logits: bool = True):
        """logits: False to have the states that enter the projection to the vocabulary in their place, where the
        model has such a layer (`projection` is its name, or None)."""
        self.model = model
        sample = {"input_ids": torch.zeros(1, 2, dtype=torch.long, device=model.device)}
        self.head = find_head(model, sample)
        self.projection = None if logits else vocabulary_projection(model, sample)

    def __call__(
        self, inputs: Mapping[str, Tensor], positions: Tensor, hidden_states: bool, attentions: bool
    ) -> Outputs:
        """positions: indices (n,) into the flattened batch x length."""
        outputs = forward_at_positions(
            self.model,
            self.head,
            positions,
            self.projection,
            output_hidden_states=hidden_states,
            output_attentions=attentions,
            **inputs,
        )
        layers = self.model.config.num_hidden_layers
        if attentions:
            check_maps(outputs.attentions, layers, type(self.model).__name__)
        return Outputs(
            outputs.logits,
            outputs.hidden_states[-layers:] if hidden_states else None,
            outputs.attentions if attentions else None,
        )

    @torch.no_grad()
    def check(self, sample: Mapping[str, Tensor], attentions: bool) -> None:
        """Raise UserError unless selecting before the head gives the logits that selecting after it gives."""
        last = sample["input_ids"].numel() - 1
        positions = torch.arange(last, -1, -1, device=sample["input_ids"].device)  # reversed: order matters too
        full = self.model(**sample).logits.flatten(0, 1)[positions]
        chosen = self(sample, positions, hidden_states=False, attentions=attentions).logits
        if chosen.shape != full.shape or not torch.allclose(chosen.float(), full.float(), rtol=1e-3, atol=1e-3):
            raise UserError(
                f"the masked-LM head of a {type(self.model).__name__} cannot be evaluated at chosen positions: give a "
                "model of another architecture, such as a BERT"
            )


def find_head(model: PreTrainedModel, sample: Mapping[str, Tensor]) -> nn.Module:
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


def forward_at_positions(
    model: PreTrainedModel, head: nn.Module, positions: Tensor, projection: str | None = None, **inputs: Any
) -> Any:
    """`model(**inputs)` with logits (positions, vocabulary) instead of (batch, length, vocabulary).

    head: what `find_head` found; positions: indices (n,) into the flattened batch x length; projection: what
    `vocabulary_projection` found, to have (positions, width) that enter it in place of the logits.
    """

    def select(module: nn.Module, arguments: tuple) -> tuple:
        return (arguments[0].flatten(0, 1)[positions], *arguments[1:])

    handle = head.register_forward_pre_hook(select)
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


def check_maps(attentions: Sequence[Tensor] | None, layers: int, who: str) -> None:
    """Raise UserError unless there is one attention map for each layer.

    Implementations other than eager return an empty tuple, and a sum over it would be a loss of zero.
    """
    found = sum(torch.is_tensor(maps) for maps in attentions or ())
    if found != layers:
        raise UserError(
            f"`weight_attention` compares attention maps, but a {who} gives {found} of them for {layers} layers: set "
            "`weight_attention: 0`, or give a model of another architecture"
        )
