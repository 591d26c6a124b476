"""The least time that a machine needs for a model, from what it was measured to do at its best.

A forward pass multiplies matrices, and reads its weights once: it cannot be faster than the first takes at the rate of
a large matrix product, nor than the second at that of a large copy. Everything else (softmax, activations, attention
maps in memory) is left out, so the bound cannot be reached.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import PreTrainedModel

from benchmarks.measure import synchronise

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}  # of a weight
SIDE, REPEATS = 2048, 7
COPIED = 2**28  # bytes


@dataclass(frozen=True)
class Machine:
    """flops: multiplications and additions a second, by precision; bandwidth: bytes a second."""

    flops: dict[str, float]
    bandwidth: float

    def bound(self, flops: float, weights: float, precision: str) -> float | None:
        """Seconds for so many operations and weights; None where the precision was not measured."""
        if precision not in self.flops:
            return None
        return max(flops / self.flops[precision], weights * BYTES[precision] / self.bandwidth)


def measure_machine(precisions: set[str], device: torch.device) -> Machine:
    """What it does at its best, with the threads that torch has now."""
    products: dict[str, Callable[[], object]] = {}
    for precision in precisions - {"int8"}:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        matrix = torch.randn(SIDE, SIDE).to(device, dtype)
        products[precision] = lambda matrix=matrix: matrix @ matrix
    if "int8" in precisions and device.type == "cpu":
        products["int8"] = _integer_product(torch.get_num_threads())
    flops = {precision: 2 * SIDE**3 / _least(call, device) for precision, call in products.items()}
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    return Machine(flops, 2 * COPIED / _least(lambda: target.copy_(source), device))


def _least(call: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _integer_product(threads: int) -> Callable[[], object]:
    """By ONNX Runtime, as in the int8 models."""
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    generator = np.random.default_rng(0)
    left = generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8)
    right = generator.integers(-128, 128, (SIDE, SIDE), dtype=np.int8)
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["left", "right"], ["product"])],
        "product",
        [helper.make_tensor_value_info("left", TensorProto.UINT8, [SIDE, SIDE])],
        [helper.make_tensor_value_info("product", TensorProto.INT32, [SIDE, SIDE])],
        [numpy_helper.from_array(right, "right")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"left": left})


def work(model: PreTrainedModel, batch_size: int, length: int) -> tuple[int, int]:
    """Operations of a model's matrix products, attention's included, and how many weights they read.

    model: on the `meta` device, as `System.skeleton` has it; on a CPU attention is a kernel that torch does not
    count. Rows of embeddings that are looked up count for nothing.
    """
    ids = torch.zeros(batch_size, length, dtype=torch.long, device=model.device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids)
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    multiplied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    read = [weight.numel() for weight in model.parameters() if id(weight) not in tables or id(weight) in multiplied]
    return counter.get_total_flops(), sum(read)
