"""Masked-LM logits at chosen positions only.

The vocabulary projection is most of a small model's arithmetic (86 % of the forward pass of a 2-layer student with
119,547 tokens), and the objective needs it at few positions. The selection happens where the head starts, so the
complete head runs on the chosen positions.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distillation.config.errors import UserError
from distillation.config.terms import keys_of


def _no_head(model: PreTrainedModel) -> UserError:
    return UserError(
        f"the model {model.name_or_path!r} is a {type(model).__name__}, whose masked-LM head cannot be evaluated at "
        "chosen positions: give a model of another architecture, such as a BERT"
    )


@dataclass
class Outputs:
    """The outputs of a masked LM for a batch. `hidden_states` and `attentions` have one entry a layer, without the
    embeddings. If the `Runner` leaves out the last layer, `logits` holds the states that enter it."""

    logits: Tensor | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class Runner:
    """Runs a masked LM, student or teacher, with its head at chosen positions."""

    def __init__(self, model: PreTrainedModel, without: str | None = None):
        """without: the name of a last layer to leave out; see `vocabulary_projection`."""
        self.model = model
        # Where hidden states enter the head: the first module outside the encoder that runs.
        outside = {module: name for name, module in model.named_children() if name != model.base_model_prefix}
        calls, _ = _trace(model, outside)
        if not calls:
            raise _no_head(model)
        self.head = outside[calls[0][0]]
        self.without = without

    def __call__(
        self, inputs: Mapping[str, Tensor], positions: Tensor, hidden_states: bool, attentions: bool
    ) -> Outputs:
        """positions: indices (n,) into the flattened batch x length."""

        def select(module: nn.Module, arguments: tuple) -> tuple:
            return (arguments[0].flatten(0, 1)[positions], *arguments[1:])

        model, layers = self.model, self.model.config.num_hidden_layers
        if self.without is not None:  # replaced as a module, not by its weights: FSDP puts those back
            projection = model.get_submodule(self.without)
            model.set_submodule(self.without, nn.Identity())
        handle = model.get_submodule(self.head).register_forward_pre_hook(select)  # Funnel's is the projection itself
        try:
            outputs = model(**inputs, output_hidden_states=hidden_states, output_attentions=attentions)
        finally:
            handle.remove()
            if self.without is not None:
                model.set_submodule(self.without, projection)
        # Implementations other than eager give an empty tuple, whose sum would be a loss of zero. Longformer
        # gives maps of a window, ConvBERT maps of half of its heads.
        shape = (getattr(model.config, "num_attention_heads", 0), *2 * inputs["input_ids"].shape[1:])
        maps = [one for one in outputs.attentions or () if torch.is_tensor(one) and one.shape[1:] == shape]
        if attentions and len(maps) != layers:
            raise UserError(
                f"{keys_of('maps')}: attention maps (heads x length x length) are compared, but a "
                f"{type(model).__name__} gives {len(maps)} such maps for {layers} layers: set the weight to 0, or "
                "give a model of another architecture"
            )
        return Outputs(
            outputs.logits,
            outputs.hidden_states[-layers:] if hidden_states else None,
            tuple(maps) if attentions else None,
        )

    @torch.no_grad()
    def check(self, sample: Mapping[str, Tensor], attentions: bool, hidden_states: bool = False) -> None:
        """Raise UserError unless selecting before the head gives the logits that selecting after it gives, and the
        maps and states that are asked for have the shapes that the terms compare."""
        last = sample["input_ids"].numel() - 1
        positions = torch.arange(last, -1, -1, device=sample["input_ids"].device)  # reversed: order matters too
        full = self.model(**sample).logits.flatten(0, 1)[positions]
        outputs = self(sample, positions, hidden_states, attentions)
        chosen = outputs.logits
        if chosen.shape != full.shape or not torch.allclose(chosen.float(), full.float(), rtol=1e-3, atol=1e-3):
            raise _no_head(self.model)
        for maps in outputs.attentions or ():
            if (maps < 0).any() or not torch.allclose(maps.float().sum(-1), torch.ones(()).to(maps.device), atol=1e-2):
                raise UserError(
                    f"{keys_of('maps')}: a {type(self.model).__name__} gives scores in place of attention "
                    "probabilities: set the weight to 0, or give a model of another architecture"
                )
        shape = (*sample["input_ids"].shape, self.model.config.hidden_size)
        if any(states.shape != shape for states in outputs.hidden_states or ()):
            raise UserError(
                f"{keys_of('states')}: a state of each token is compared, which the layers of a "
                f"{type(self.model).__name__} do not give: set these weights to 0, or give a model of another "
                "architecture"
            )


def vocabulary_projection(model: PreTrainedModel) -> str | None:
    """The name of the linear layer that the model ends in, from states to logits; None if there is none.

    `get_output_embeddings` would not do: for some architectures it returns a layer that the forward pass leaves out.
    """
    names = {module: name for name, module in model.named_modules() if isinstance(module, nn.Linear)}
    calls, logits = _trace(model, names)
    layer, output = calls[-1]
    return names[layer] if output.shape == logits.shape and torch.equal(output, logits) else None


@torch.no_grad()
def _trace(model: PreTrainedModel, modules: Iterable[nn.Module]) -> tuple[list[tuple[nn.Module, Any]], Tensor]:
    """The calls of these modules, with their outputs, and the logits when the model reads eight tokens."""
    calls: list[tuple[nn.Module, Any]] = []
    handles = [m.register_forward_hook(lambda m, _, output: calls.append((m, output))) for m in modules]
    try:
        ids = torch.zeros(1, 8, dtype=torch.long, device=model.device)
        return calls, model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    finally:
        for handle in handles:
            handle.remove()
