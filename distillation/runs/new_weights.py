"""The first steps of a model that has new weights beside trained ones."""

from collections.abc import Collection
from typing import Any

from torch import nn
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments


class NewWeightsFirst(TrainerCallback):
    """Trains the new weights alone in the first twentieth of the steps: while they are random, the gradients that pass
    through them would spoil the trained ones.

    The optimiser skips a weight without a gradient. `requires_grad` would save a little time, but DDP never averages
    the gradients of a weight that did not require one when the model was wrapped.
    """

    def __init__(self, names: Collection[str]):
        """names: of the new weights."""
        self.names = names

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: nn.Module, **_: Any
    ) -> None:
        if state.global_step < state.max_steps // 20:
            for name, weight in model.named_parameters():
                if name not in self.names:
                    weight.grad = None
