"""Models that stand in for exported ones: the original, changed by what an export could do wrong."""

import torch

from benchmarks.backends.comparison import Deployed

NAMES = ["input_ids", "token_type_ids", "attention_mask"]


def running(model, change=lambda inputs, outputs: outputs, names=NAMES):
    """The model itself, its outputs changed."""

    @torch.no_grad()
    def run(inputs):
        tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
        return change(tensors, [one.clone() for one in model(**tensors).to_tuple()])

    return Deployed(run, model, names)


def blind(model):
    """The model without its attention mask."""

    @torch.no_grad()
    def run(inputs):
        tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
        return model(**tensors | {"attention_mask": torch.ones_like(tensors["input_ids"])}).to_tuple()

    return Deployed(run, model, NAMES)


def backwards(model):
    """The opposite of what the model says."""
    return running(model, lambda inputs, outputs: [-one for one in outputs])
