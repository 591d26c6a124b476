"""The module that trains: the student, and projections to the teacher's width if that differs."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from distillation.models.mlm_head import Outputs, Runner

HIDDEN_DROPOUT = ("dropout", "hidden_dropout_prob", "embedding_dropout", "mlp_dropout")
ATTENTION_DROPOUT = ("attention_dropout", "attention_probs_dropout_prob")  # names in configs


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

    # What the Trainer calls on its model for `gradient_checkpointing: true`, before and from transformers 5.23 on.

    def gradient_checkpointing_enable(self, **options: Any) -> None:
        self.model.gradient_checkpointing_enable(**options)

    def activation_checkpointing_enable(self, **options: Any) -> None:
        self.model.activation_checkpointing_enable(**options)

    def forward(
        self, inputs: Mapping[str, Tensor], positions: Tensor, hidden_states: bool, attentions: bool, rows: int
    ) -> Outputs:
        """Logits at `positions` (n,) of the flattened batch; for its last `rows`, attention maps and hidden states, in
        the teacher's width."""
        outputs = self.runner(inputs, positions, hidden_states, attentions)
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
