"""A lower bound of the time that a machine needs for a model, from the machine's best measured rates.

A forward pass takes at least the time of its products at the rate of a large matrix product, and at least the time to
read its weights once at the rate of a large copy. Everything else is left out, so the bound cannot be reached.
"""

import timeit
from collections.abc import Callable, Sequence
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

    def bound(self, flops: float, weights: float, precision: str) -> float | None:
        """Seconds for so many operations and weights; None where the precision was not measured."""
        rate = self.flops.get(precision)
        return rate and max(flops / rate, weights * BYTES[precision] / self.bandwidth)


def best(measured: Sequence[Machine]) -> Machine:
    """The best rates of several rounds: other work of a machine can only make it look slower."""
    flops = {name: max(one.flops[name] for one in measured) for name in measured[0].flops}
    return Machine(flops, max(one.bandwidth for one in measured))


def measure_machine(precisions: set[str], device: torch.device) -> Machine:
    """The best rates with torch's present threads; for products the faster of PyTorch and ONNX Runtime."""

    def least(call: Callable[[], object]) -> float:
        return min(timeit.repeat(lambda: (call(), synchronise(device)), number=1, repeat=REPEATS))

    rates: dict[str, float] = {}
    for precision in precisions:
        products: list[Callable[[], object]] = []
        if precision != "int8":
            dtype = torch.bfloat16 if precision == "bf16" else torch.float32
            matrix = torch.randn(SIDE, SIDE).to(device, dtype)
            products.append(lambda matrix=matrix: matrix @ matrix)
        if precision != "bf16" and device.type == "cpu":
            products.append(_product_by_onnx(precision))
        if products:
            rates[precision] = 2 * SIDE**3 / min(map(least, products))
    source = torch.ones(COPIED // 4, device=device)
    target = torch.empty_like(source)
    return Machine(rates, 2 * COPIED / least(lambda: target.copy_(source)))


def _product_by_onnx(precision: str) -> Callable[[], object]:
    import onnx

    from finetuning.deployed.model import open_session

    kinds = {"fp32": ("MatMul", "float", "float", "f4", "f4"), "int8": ("MatMulInteger", "uint8", "int32", "u1", "i1")}
    kind, given, found, *types = kinds[precision]
    left, right = (np.ones((SIDE, SIDE), dtype) for dtype in types)
    shape = f"[{SIDE}, {SIDE}]"
    graph = f"product ({given}{shape} left) => ({found}{shape} product) {{ product = {kind}(left, right) }}"
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["": 20]> {graph}')
    model.graph.initializer.append(onnx.numpy_helper.from_array(right, "right"))
    opened = open_session(model.SerializeToString(), torch.get_num_threads())
    return lambda: opened.run(None, {"left": left})


def work(model: PreTrainedModel, batch_size: int, length: int) -> tuple[int, int]:
    """Operations of a model's matrix products, attention included, and the number of weights that they read.

    model: on the `meta` device, from `System.skeleton`, because torch does not count the attention kernel of a CPU.
    Look-ups of embedding rows are not counted.
    """
    ids = torch.zeros(batch_size, length, dtype=torch.long, device=model.device)
    padding, model.config.pad_token_id = model.config.pad_token_id, None  # else some look for it in the ids
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids)
    model.config.pad_token_id = padding
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    multiplied = {id(module.weight) for module in model.modules() if isinstance(module, nn.Linear)}
    read = [weight.numel() for weight in model.parameters() if id(weight) not in tables or id(weight) in multiplied]
    return counter.get_total_flops(), sum(read)
