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

from benchmarks.timing.measure import synchronise

BYTES = {"fp32": 4, "bf16": 2, "int8": 1}  # of a weight
SIDE, REPEATS = 2048, 7
COPIED = 2**28  # bytes


@dataclass(frozen=True)
class Machine:
    """flops: multiplications and additions a second, by precision; bandwidth: bytes a second."""

    flops: dict[str, float]
    bandwidth: float

    def best(self, other: "Machine") -> "Machine":
        """The better of two measurements: what else a machine does can only make it look worse."""
        flops = {name: max(m.flops.get(name, 0.0) for m in (self, other)) for name in {**self.flops, **other.flops}}
        return Machine(flops, max(self.bandwidth, other.bandwidth))

    def bound(self, flops: float, weights: float, precision: str) -> float | None:
        """Seconds for so many operations and weights; None where the precision was not measured."""
        if precision not in self.flops:
            return None
        return max(flops / self.flops[precision], weights * BYTES[precision] / self.bandwidth)


def measure_machine(precisions: set[str], device: torch.device) -> Machine:
    """What it does at its best, with the threads that torch has now: of PyTorch and ONNX Runtime the faster."""
    products: dict[str, list[Callable[[], object]]] = {precision: [] for precision in precisions}
    for precision in precisions - {"int8"}:
        dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        matrix = torch.randn(SIDE, SIDE).to(device, dtype)
        products[precision].append(lambda matrix=matrix: matrix @ matrix)
    for precision in precisions & {"fp32", "int8"} if device.type == "cpu" else ():
        products[precision].append(_product_by_onnx(precision, torch.get_num_threads()))
    seconds = {name: min(_least(call, device) for call in calls) for name, calls in products.items() if calls}
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    bandwidth = 2 * COPIED / _least(lambda: target.copy_(source), device)
    return Machine({name: 2 * SIDE**3 / least for name, least in seconds.items()}, bandwidth)


def _least(call: Callable[[], object], device: torch.device) -> float:
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        synchronise(device)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def _product_by_onnx(precision: str, threads: int) -> Callable[[], object]:
    import onnx

    from benchmarks.backends.in_onnxruntime import session

    draw = np.random.default_rng(0)
    if precision == "int8":
        kind, given, found = "MatMulInteger", "uint8", "int32"
        left, right = (draw.integers(0, 256, (SIDE, SIDE)).astype(dtype) for dtype in (np.uint8, np.int8))
    else:
        kind, given, found = "MatMul", "float", "float"
        left, right = draw.standard_normal((2, SIDE, SIDE), dtype=np.float32)
    shape = f"[{SIDE}, {SIDE}]"
    graph = f"product ({given}{shape} left) => ({found}{shape} product) {{ product = {kind}(left, right) }}"
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> {graph}')
    model.graph.initializer.append(onnx.numpy_helper.from_array(right, "right"))
    opened = session(model.SerializeToString(), threads)
    return lambda: opened.run(None, {"left": left})


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
