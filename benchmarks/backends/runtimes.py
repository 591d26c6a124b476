"""Ways to run a model: each builds what it needs in a folder, once, and opens that in any process.

All take numpy arrays by name. What they give are the model's outputs in its order, as the backend has them (tensors or
arrays, perhaps overwritten by the next call); `arrays` makes copies of them.
"""

import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel

from benchmarks.backends.graph import OUTPUTS, Graph, quiet
from distillation.config.errors import UserError
from distillation.models.loading import load_as_saved

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when ONNX Runtime is imported; else it reports home

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], Sequence[Any]]


def arrays(outputs: Sequence[Any]) -> list[np.ndarray]:
    """Outputs of a run as arrays of their own, in fp32."""
    return [torch.as_tensor(output).float().cpu().numpy().copy() for output in outputs]


class Backend(ABC):
    """precision: in which matrices are multiplied (`fp32`, `bf16`, `int8`); needs: packages besides torch."""

    file = ""  # what it builds
    needs: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)

    def __init__(self, precision: str):
        self.precision = precision

    def check(self, name: str, device: str) -> None:
        """Raise UserError where it cannot run."""
        absent = [package for package in self.needs if importlib.util.find_spec(package) is None]
        if absent:
            raise UserError(f"`{name}` needs {' and '.join(absent)}: pip install {' '.join(absent)}")
        if device not in self.devices:
            raise UserError(f"`{name}` runs on {' and '.join(self.devices)} only")

    @abstractmethod
    def build(self, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
        """Write the model. samples: inputs like those to come, the first of at least (2, 2)."""

    @abstractmethod
    def open(self, folder: Path, threads: int, device: str) -> Run:
        """A built model, ready to run."""


class Torch(Backend):
    """PyTorch as it is (sdpa attention), or compiled."""

    file = "model.safetensors"
    devices = ("cpu", "cuda")

    def __init__(self, precision: str, compiled: bool = False):
        super().__init__(precision)
        self.compiled = compiled
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def build(self, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
        model.to(self.dtype).save_pretrained(folder)

    def open(self, folder: Path, threads: int, device: str) -> Run:
        torch.set_num_threads(threads)
        model = load_as_saved(str(folder), "folder", dtype=self.dtype).to(device)
        run = torch.compile(model) if self.compiled else model

        @torch.inference_mode()
        def call(inputs: Arrays) -> Sequence[Any]:
            outputs = run(**{name: torch.from_numpy(array).to(device) for name, array in inputs.items()})
            return [outputs[name] for name in OUTPUTS if name in outputs]

        return call


def onnx_session(model: Path | bytes, threads: int) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU that is right in int8 on any processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.x64quantprecision", "1")  # without VNNI int8 overflows otherwise
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class OnnxRuntime(Backend):
    """ONNX Runtime, in fp32 or with dynamically quantised int8 products."""

    file = "model.onnx"
    needs = ("onnx", "onnxscript", "onnxruntime")

    def build(self, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
        from benchmarks.backends.graph_export import export_onnx
        from benchmarks.backends.quantization import quantize_onnx

        path = folder / self.file
        export_onnx(model, {name: torch.from_numpy(array) for name, array in next(iter(samples)).items()}, path)
        if self.precision == "int8":
            quantize_onnx(path, path)

    def open(self, folder: Path, threads: int, device: str) -> Run:
        session = onnx_session(folder / self.file, threads)
        return lambda inputs: session.run(None, dict(inputs))


class OpenVino(Backend):
    """OpenVINO: fp32, bf16 where the processor has it, or int8 with scales measured on samples."""

    file = "openvino_model.xml"
    needs = ("openvino",)

    def __init__(self, precision: str):
        super().__init__(precision)
        if precision == "int8":
            self.needs = ("openvino", "nncf")

    def build(self, model: PreTrainedModel, samples: Iterable[Arrays], folder: Path) -> None:
        import openvino

        samples = list(samples)
        names = list(samples[0])
        example = tuple(torch.from_numpy(array) for array in samples[0].values())
        with quiet():
            converted = openvino.convert_model(Graph(model, names), example_input=example)
        for port, name in zip(converted.inputs, names, strict=True):
            port.get_tensor().set_names({name})
        if self.precision == "int8":
            import nncf

            data = nncf.Dataset(samples, lambda sample: tuple(sample.values()))
            converted = nncf.quantize(converted, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples))
        openvino.save_model(converted, folder / self.file, compress_to_fp16=False)

    def open(self, folder: Path, threads: int, device: str) -> Run:
        import openvino

        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if self.precision != "int8":  # what is not int8 is then in what the processor does best
            settings["INFERENCE_PRECISION_HINT"] = "f32" if self.precision == "fp32" else "bf16"
        compiled = openvino.Core().compile_model(folder / self.file, "CPU", settings)
        request = compiled.create_infer_request()

        def call(inputs: Arrays) -> Sequence[Any]:
            found = request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            return [found[port] for port in compiled.outputs]

        return call


BACKENDS: dict[str, Backend] = {
    "torch": Torch("fp32"),
    "torch-bf16": Torch("bf16"),
    "compile": Torch("fp32", compiled=True),
    "onnx": OnnxRuntime("fp32"),
    "onnx-int8": OnnxRuntime("int8"),
    "openvino": OpenVino("fp32"),
    "openvino-bf16": OpenVino("bf16"),
    "openvino-int8": OpenVino("int8"),
}
