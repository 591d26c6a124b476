"""ONNX Runtime, in fp32 or with dynamically quantised int8 products."""

from collections.abc import Iterable
from pathlib import Path

import onnxruntime
import torch
from transformers import PreTrainedModel

from benchmarks.backends.graph_export import export_onnx
from benchmarks.backends.quantization import quantize_onnx
from benchmarks.backends.registry import Arrays, Backend, Run
from benchmarks.timing.measure import instructions


def build(backend: Backend, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
    """See `Backend`."""
    path = folder / backend.file
    export_onnx(model, {name: torch.from_numpy(array) for name, array in next(iter(samples)).items()}, path)
    if backend.precision == "int8":
        quantize_onnx(path, path)


def open_model(backend: Backend, folder: Path, threads: int, device: str) -> Run:
    """See `Backend`."""
    found = session(folder / backend.file, threads)
    return lambda inputs: found.run(None, dict(inputs))


def session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """On the CPU, and right in int8 on any processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not any("vnni" in name for name in instructions()):  # without VNNI int8 overflows; with it this takes longer
        options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
