"""The frozen teacher, and what a student is compared with: its predictions, and means of its layers."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from distillation.config.arguments import ObjectiveArguments
from distillation.models.layer_groups import means_of
from distillation.models.mlm_head import Outputs, Runner


@dataclass
class Targets:
    """What the terms compare a student with.

    * `logits`: (positions, vocabulary); or, across vocabularies and in a cache, the states that enter the last layer;
      None in a cache without KL;
    * `hidden_states`: for each way to compare layers (`ObjectiveArguments.hidden_views`), tensors (batch, length,
      width);
    * `attentions`: the mean maps (batch, heads, length, length) of each student layer's group.
    """

    logits: Tensor | None
    hidden_states: dict[str, list[Tensor]]
    attentions: list[Tensor]


def targets_of(outputs: Outputs, objective: ObjectiveArguments, student_layers: int) -> Targets:
    """The means of a teacher's layers that the terms ask for."""
    states = {view: means_of(outputs.hidden_states, view, student_layers) for view in objective.hidden_views}
    maps = [] if outputs.attentions is None else means_of(outputs.attentions, "groups", student_layers)
    return Targets(outputs.logits, states, maps)


class Teacher:
    """Runs the teacher, without gradients, with its head at chosen positions."""

    def __init__(self, model: PreTrainedModel, objective: ObjectiveArguments, student_layers: int, logits: bool):
        """logits: False to get the states that enter the last layer in their place (see `Runner`)."""
        self.model = model.eval().requires_grad_(False)
        self.objective = objective
        self.student_layers = student_layers
        self.runner = Runner(model, logits)

    @property
    def projection(self) -> torch.nn.Linear | None:
        """The last layer, which is left out where the targets have the states that enter it."""
        name = self.runner.projection
        return None if name is None else self.model.get_submodule(name)

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, Tensor], positions: Tensor) -> Targets:
        """positions: indices (n,) into the flattened batch x length."""
        objective = self.objective
        outputs = self.runner(inputs, positions, objective.needs_hidden_states, objective.needs_attentions)
        return targets_of(outputs, objective, self.student_layers)
