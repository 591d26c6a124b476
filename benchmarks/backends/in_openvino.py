"""OpenVINO: fp32, bf16 where the processor has it, or int8 with scales measured on samples."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import openvino
import torch
from transformers import PreTrainedModel

from benchmarks.backends.graph import Graph, quiet
from benchmarks.backends.registry import Arrays, Backend, Run


def build(backend: Backend, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
    """See `Backend`."""
    samples = list(samples)
    names = list(samples[0])
    example = tuple(torch.from_numpy(array) for array in samples[0].values())
    with quiet():
        converted = openvino.convert_model(Graph(model, names), example_input=example)
    for port, name in zip(converted.inputs, names, strict=True):
        port.get_tensor().set_names({name})
    if backend.precision == "int8":
        import nncf

        data = nncf.Dataset(samples, lambda sample: tuple(sample.values()))
        converted = nncf.quantize(converted, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples))
    openvino.save_model(converted, folder / backend.file, compress_to_fp16=False)


def open_model(backend: Backend, folder: Path, threads: int, device: str) -> Run:
    """See `Backend`."""
    settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    if backend.precision != "int8":  # what is not int8 is then in what the processor does best
        settings["INFERENCE_PRECISION_HINT"] = "f32" if backend.precision == "fp32" else "bf16"
    compiled = openvino.Core().compile_model(folder / backend.file, "CPU", settings)
    request = compiled.create_infer_request()

    def call(inputs: Arrays) -> Sequence[Any]:
        found = request.infer(dict(inputs), share_inputs=True, share_outputs=True)
        return [found[port] for port in compiled.outputs]

    return call
