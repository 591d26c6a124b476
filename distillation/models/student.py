"""The module that trains: the student and, for a narrower one, the projections to the teacher's width."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from distillation.models.layer_groups import Projections, check_maps
from distillation.models.mlm_head import forward_at, head_entry, vocabulary_projection


@dataclass
class Outputs:
    """What the terms compare. `hidden_states` and `attentions` have one entry a layer, without the embeddings.

    In place of `logits` a teacher of another vocabulary has the states that enter its projection to that.
    """

    logits: Tensor | None
    hidden_states: tuple[Tensor, ...] | None
    attentions: tuple[Tensor, ...] | None


class Student(nn.Module):
    """Wraps the student so that one forward pass, the one that DDP synchronises, gives all that the terms need."""

    def __init__(self, model: PreTrainedModel, projections: Projections):
        super().__init__()
        self.model = model
        self.projections = projections
        self.runner = Runner(model)

    @property
    def config(self):
        return self.model.config

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        """What the Trainer calls on its model for `gradient_checkpointing: true`."""
        self.model.gradient_checkpointing_enable(**options)

    def forward(
        self, inputs: Mapping[str, Tensor], positions: Tensor, hidden_states: bool, attentions: bool, rows: int
    ) -> Outputs:
        """Logits at `positions` (n,) of the flattened batch; of its last `rows`, the hidden states in the teacher's
        width and the attention maps."""
        outputs = self.runner(inputs, positions, hidden_states, attentions)
        if hidden_states:
            outputs.hidden_states = tuple(self.projections(k, s[-rows:]) for k, s in enumerate(outputs.hidden_states))
        if attentions:
            outputs.attentions = tuple(maps[-rows:] for maps in outputs.attentions)
        return outputs


class Runner:
    """Runs a masked LM, student or teacher, with its head at chosen positions."""

    def __init__(self, model: PreTrainedModel, logits: bool = True):
        """logits: False to have the states that enter the projection to the vocabulary in their place, where the
        model has such a layer (`projection` is its name, or None)."""
        self.model = model
        sample = {"input_ids": torch.zeros(1, 2, dtype=torch.long, device=model.device)}
        self.entry = head_entry(model, sample)
        self.projection = None if logits else vocabulary_projection(model, sample)

    def __call__(
        self, inputs: Mapping[str, Tensor], positions: Tensor, hidden_states: bool, attentions: bool
    ) -> Outputs:
        outputs = forward_at(
            self.model,
            self.entry,
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
