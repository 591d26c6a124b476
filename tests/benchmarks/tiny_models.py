"""Tiny models in which every token matters, their inputs, and stand-ins for their exports."""

import numpy as np
import torch
from torch import nn

from benchmarks.backends.deployment import Deployed
from benchmarks.backends.graph_export import tensors

LAYER = {"num_hidden_layers": 1}  # of models to export: PyTorch's exporter takes seconds a layer
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
VOCABULARY, POSITIONS = 2000, 128  # so many tokens that the table is most of the model
NAMES = ("input_ids", "token_type_ids", "attention_mask")


@torch.no_grad()
def lively(model_class, config):
    """The model with weights so large that a token left out, or padding let in, is seen in its logits."""
    torch.manual_seed(0)
    model = model_class(config).eval()
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            for weight in module.parameters(recurse=False):
                nn.init.normal_(weight, std=0.3)
    return model


def batch(lengths, vocabulary=VOCABULARY, names=NAMES, seed=0):
    """Random sequences of these lengths, with padding behind them, of two segments."""
    draw = np.random.default_rng(seed)
    size = (len(lengths), max(lengths))
    mask = (np.arange(max(lengths)) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask, draw.integers(5, vocabulary, size), 1)
    inputs = {"input_ids": ids, "token_type_ids": draw.integers(0, 2, size), "attention_mask": mask}
    return {name: inputs[name] for name in names}


@torch.no_grad()
def outputs_of(model, inputs):
    return [one.numpy() for one in model(**tensors(inputs)).to_tuple()]


def running(model, change=lambda inputs, outputs: outputs, read=lambda inputs: inputs):
    """The model itself, with other outputs or inputs."""

    @torch.no_grad()
    def run(inputs):
        inputs = tensors(inputs)
        return change(inputs, [one.clone() for one in model(**read(inputs)).to_tuple()])

    return Deployed(run, model, NAMES)


def blind(model):
    """The model without its attention mask."""
    return running(model, read=lambda inputs: inputs | {"attention_mask": torch.ones_like(inputs["input_ids"])})
