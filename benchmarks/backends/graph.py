"""A model as a function of tensors in a fixed order, for those that turn models into graphs."""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

OUTPUTS = ("last_hidden_state", "logits", "start_logits", "end_logits")


class Graph(nn.Module):
    """A model of positional tensors that gives a tuple of tensors."""

    def __init__(self, model: PreTrainedModel, inputs: list[str]):
        super().__init__()
        self.model, self.inputs = model, inputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(outputs[name] for name in OUTPUTS if name in outputs)

    @torch.no_grad()
    def names(self, inputs: dict[str, Tensor]) -> list[str]:
        """Which outputs the model has."""
        outputs = self.model(**inputs)
        return [name for name in OUTPUTS if name in outputs]


def arrays(outputs: Sequence[Any]) -> list[np.ndarray]:
    """Outputs of a run as arrays of their own, in fp32."""
    return [torch.as_tensor(output).float().cpu().numpy().copy() for output in outputs]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the exporter's notes about packages that are not needed."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
