"""Tiny models in which every token tells, what they are asked, and what stands in for their exports."""

import numpy as np
import torch
from torch import nn

from benchmarks.backends.comparison import Deployed

SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
VOCABULARY, POSITIONS = 2000, 128  # so many tokens that the table is most of the model
NAMES = ("input_ids", "token_type_ids", "attention_mask")


def lively(model_class, config):
    """The model with weights so large that a token left out, or padding let in, is seen in its logits."""
    torch.manual_seed(0)
    model = model_class(config).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.3)
                if getattr(module, "bias", None) is not None:
                    nn.init.normal_(module.bias, std=0.3)
    return model


def batch(lengths, vocabulary=VOCABULARY, names=NAMES, seed=0):
    """Random sequences of these lengths, with padding behind them, of two segments."""
    draw = np.random.default_rng(seed)
    size = (len(lengths), max(lengths))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    whole = {
        "input_ids": np.where(mask, draw.integers(5, vocabulary, size), 1),
        "token_type_ids": draw.integers(0, 2, size),
        "attention_mask": mask,
    }
    return {name: whole[name] for name in names}


@torch.no_grad()
def outputs_of(model, inputs):
    """What PyTorch has for them."""
    return [one.numpy() for one in model(**{name: torch.from_numpy(one) for name, one in inputs.items()}).to_tuple()]


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
