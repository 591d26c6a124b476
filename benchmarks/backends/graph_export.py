"""Exports a model as an ONNX graph, with attention as one node wherever ONNX Runtime has a kernel for it.

PyTorch's exporter writes attention as a dozen nodes that pass maps of heads x length x length through memory several
times. ONNX Runtime's `MultiHeadAttention` runs over blocks that stay in the cache, but only without a mask. So padding
is encoded as one extra dimension of queries and keys: 1 in each query, and in each key 0, or a large negative number
for padding. The product of query and key adds this number to the score.
"""

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel

from benchmarks.backends.registry import Arrays
from distillation.config.errors import UserError, one_line

if TYPE_CHECKING:
    from onnx import ModelProto

OUTPUTS = ("last_hidden_state", "logits", "start_logits", "end_logits", "sentence_embedding")
OPSET = 20  # the first with Gelu
FUSED = "onnx_multi_head_attention"
HIDDEN = -1e5  # score of padding

logger = logging.getLogger(__name__)


class Graph(nn.Module):
    """A model as a function of tensors in a fixed order, which exporters take; it gives a tuple of tensors."""

    def __init__(self, model: PreTrainedModel, inputs: Sequence[str]):
        super().__init__()
        self.model, self.inputs = model, inputs

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(**dict(zip(self.inputs, values, strict=True)))
        return tuple(outputs[name] for name in OUTPUTS if name in outputs)


def tensors(inputs: Arrays) -> dict[str, Tensor]:
    """Arrays as tensors on the CPU."""
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def arrays(outputs: Sequence[Any]) -> list[np.ndarray]:
    """Outputs of a run, copied as fp32 arrays."""
    return [torch.as_tensor(output).float().cpu().numpy().copy() for output in outputs]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence an exporter's warnings about packages that are not needed."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def export_onnx(model: PreTrainedModel, example: Arrays, path: Path) -> None:
    """Write the model as one file, for any batch and length.

    example: inputs with padding, of shape (2, 2) at least, or (2, 2, 2) for multiple choice. The graph's inputs have
    their names. Its outputs have the model's: `logits`, or `start_logits` and `end_logits`, or `last_hidden_state`. A
    sentence encoder's `sentence_embedding` comes behind it.

    Raises UserError for a model that the exporter does not take.
    """
    inputs = tensors(example)
    with torch.no_grad():
        outputs = model.eval()(**inputs)
    axes = {axis: torch.export.Dim.DYNAMIC for axis in range(next(iter(inputs.values())).dim())}
    before = model.config._attn_implementation
    try:
        fuse_attention(model, inputs)
        with quiet():
            torch.onnx.export(
                Graph(model, list(inputs)),
                tuple(inputs.values()),
                path,
                dynamo=True,
                opset_version=OPSET,
                input_names=list(inputs),
                output_names=[name for name in OUTPUTS if name in outputs],
                dynamic_shapes=(tuple(axes for _ in inputs),),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        reason = one_line(error.__cause__ or error)  # the error itself is about writing models
        raise UserError(
            f"a {type(model).__name__} cannot be exported to ONNX ({reason}): give a model of another architecture"
        ) from None
    finally:
        model.set_attn_implementation(before)
    _strip(path)


def _strip(path: Path) -> None:
    """Remove the exporter's metadata of each node, a quarter of a megabyte with paths of this machine; make the graph
    fit older runtimes."""
    import onnx

    model = onnx.load(path)
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        del part.metadata_props[:]
    for_older_runtimes(model)
    onnx.save(model, path)


def for_older_runtimes(model: "ModelProto") -> None:
    """Make a graph fit ONNX Runtime 1.17 and 1.18.

    Remove the shapes between nodes, which 1.18 gets wrong. Declare the oldest format that has the operators: 1.17
    opens no newer one. Give each layer norm without a bias (ModernBERT's) one of zeros: both would abort the process.
    """
    from onnx import helper, numpy_helper

    graph = model.graph
    del graph.value_info[:]
    weights = {one.name: one for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "LayerNormalization" and len(node.input) == 2:
            bias = f"{node.input[1]}.zeros"
            node.input.append(bias)
            if bias not in weights:
                weights[bias] = numpy_helper.from_array(0 * numpy_helper.to_array(weights[node.input[1]]), bias)
                graph.initializer.append(weights[bias])
    model.ir_version = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)


def fuse_attention(model: PreTrainedModel, inputs: dict[str, Tensor]) -> None:
    """Make attention one node, unless the kernel lacks a feature, such as ModernBERT's window. (Models with their own
    attention code, such as DeBERTa, keep it.)"""
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(FUSED)
        with torch.no_grad():
            model(**inputs)
    except NotImplementedError as error:
        logger.info("attention stays as PyTorch exports it, because it has %s", error)
        model.set_attn_implementation(before)


def _fused(module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, **options: Any):
    special = [name for name in ("sliding_window", "softcap", "s_aux") if options.get(name) is not None]
    if special or query.shape != key.shape or attention_mask.dim() != 2:
        raise NotImplementedError(", ".join(special) or "masks of its own")
    batch, heads, length, width = query.shape
    scale = options.get("scaling") or width**-0.5
    # From here on (batch, length, heads, width), as the projections give them: so nothing has to be turned around.
    query, key, value = (tensor.transpose(1, 2) for tensor in (query, key, value))
    # Divided by the scale, by which the kernel multiplies the product.
    hidden = ((1 - attention_mask.to(query.dtype)) * (HIDDEN / scale))[:, :, None, None]
    query = torch.cat([query, torch.ones_like(query[..., :1])], dim=-1)
    key = torch.cat([key, hidden.expand(batch, length, heads, 1)], dim=-1)
    mixed = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        tuple(tensor.reshape(batch, length, -1) for tensor in (query, key, value)),
        attrs={"num_heads": heads, "scale": scale},
        dtype=query.dtype,
        shape=(batch, length, heads * width),
        version=1,
    )
    return mixed.reshape(batch, length, heads, width), None


AttentionInterface.register(FUSED, _fused)
AttentionMaskInterface.register(FUSED, lambda *_, attention_mask=None, **__: attention_mask)  # the padding itself
