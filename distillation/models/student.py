"""The module that trains: the student, and projections to the teacher's width if that differs."""

import copy
import functools
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from distillation.models.mlm_head import Outputs, Runner, vocabulary_projection

# Names in configs.
HIDDEN_DROPOUT = (
    "dropout",
    "hidden_dropout",
    "hidden_dropout_prob",
    "activation_dropout",
    "embedding_dropout",
    "mlp_dropout",
)
ATTENTION_DROPOUT = ("attention_dropout", "attention_probs_dropout_prob")


class Projections(nn.ModuleDict):
    """One learned linear map for each student layer that is compared with a teacher of another width."""

    def __init__(self, layers: Sequence[int] = (), student_width: int = 0, teacher_width: int = 0):
        needed = layers if student_width != teacher_width else ()
        super().__init__({str(layer): nn.Linear(student_width, teacher_width) for layer in needed})

    def forward(self, layer: int, states: Tensor) -> Tensor:
        """Student states (..., student width) of a layer as (..., teacher width); unchanged if the widths agree."""
        return self[str(layer)](states) if str(layer) in self else states


class Student(nn.Module):
    """Wraps the student: one forward pass, which DDP synchronises, gives all outputs that the terms need."""

    def __init__(self, model: PreTrainedModel, projections: Projections):
        super().__init__()
        self.model = model
        self.projections = projections
        self.runner = Runner(model)

    @property
    def config(self) -> PreTrainedConfig:
        return self.model.config

    @functools.cached_property
    def last_layer(self) -> str | None:
        """The name of the linear layer that the model ends in. As a module it would be saved twice."""
        return vocabulary_projection(self.model)

    @functools.cached_property
    def headless(self) -> Runner:
        """The runner without that layer."""
        runner = copy.copy(self.runner)
        runner.without = self.last_layer
        return runner

    @property
    def vocabulary_size(self) -> int:
        """The number of tokens that candidates can be drawn from; 0 if the model does not end in a linear layer."""
        return 0 if self.last_layer is None else self.model.get_submodule(self.last_layer).out_features

    @torch.no_grad()
    def predict_counts(self, counts: np.ndarray, new: Collection[str]) -> None:
        """Let a new head begin with the frequencies of tokens; to learn them takes thousands of steps, as a step moves
        a bias by the learning rate at most. counts: (vocabulary_size,); new: names of the model's new weights."""
        bias = self.model.get_submodule(self.last_layer).bias
        if any(self.model.get_parameter(name) is bias for name in new):
            bias.copy_(torch.from_numpy(np.log(np.maximum(counts, 1))))

    # What the Trainer calls on its model for `gradient_checkpointing: true`, before and from transformers 5.23 on.

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        self.model.gradient_checkpointing_enable(**options)

    def activation_checkpointing_enable(self, **options: Any) -> None:
        self.model.activation_checkpointing_enable(**options)

    def forward(
        self,
        inputs: Mapping[str, Tensor],
        positions: Tensor,
        hidden_states: bool,
        attentions: bool,
        rows: int,
        candidates: tuple[Tensor, Tensor] | None = None,
    ) -> Outputs:
        """Logits at `positions` (n,) of the flattened batch; for its last `rows`, attention maps and hidden states, in
        the teacher's width. candidates: of `SampledSoftmax`; the logits are of these tokens, less the logarithms."""
        runner = self.runner if candidates is None else self.headless
        outputs = runner(inputs, positions, hidden_states, attentions)
        if candidates is not None:
            (ids, log_probability), layer = candidates, self.model.get_submodule(self.last_layer)
            bias = None if layer.bias is None else layer.bias[ids]
            outputs.logits = F.linear(outputs.logits, layer.weight[ids], bias) - log_probability
        if hidden_states:
            outputs.hidden_states = tuple(self.projections(k, s[-rows:]) for k, s in enumerate(outputs.hidden_states))
        if attentions:
            outputs.attentions = tuple(maps[-rows:] for maps in outputs.attentions)
        return outputs


def set_dropout(config: PreTrainedConfig, rate: float | None, with_maps: bool) -> dict[str, float]:
    """Set the dropout that a model of this config is made with, and return the values before, for its own config.

    rate: of hidden states and attention; None leaves it. with_maps: no dropout of attention, because transformers
    returns maps after dropout: the term would compare noise.
    """
    rates = {} if rate is None else dict.fromkeys(HIDDEN_DROPOUT + ATTENTION_DROPOUT, rate)
    rates |= dict.fromkeys(ATTENTION_DROPOUT, 0.0) if with_maps else {}
    before = {name: getattr(config, name) for name in rates if hasattr(config, name)}
    config.update({name: rates[name] for name in before})
    return before
