"""The backends that run a model, by name. torch and the runtimes are imported by the methods that use them.

Each backend builds its file in a folder once, and opens it in any process. All take numpy arrays by name. They return
the model's outputs in the order of `graph_export.OUTPUTS`, as tensors or arrays that the next call may overwrite;
`graph_export.arrays` copies them.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillation.config.errors import UserError
from finetuning.deployed.model import open_session

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Arrays = Mapping[str, Any]  # of numpy
Run = Callable[[Arrays], Sequence[Any]]


@dataclass(frozen=True)
class Backend:
    """precision: of matrix products; file: that it builds; needs: packages besides torch; runtime: the package that
    opens the file."""

    name: str
    precision: str
    file: str = ""
    needs: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)
    runtime: str = "torch"

    def check(self, device: str) -> None:
        """Raise UserError if it cannot run here."""
        absent = " ".join(package for package in self.needs if importlib.util.find_spec(package) is None)
        if absent:
            raise UserError(f"`{self.name}` needs {absent.replace(' ', ' and ')}: pip install {absent}")
        if device not in self.devices:
            where = " and ".join(self.devices)
            raise UserError(f"`device` is {device}, and `{self.name}` runs on {where} only: leave one of them out")

    def build(self, model: "PreTrainedModel", samples: Sequence[Arrays], folder: Path) -> None:
        """Write the model. samples: inputs like those to come, the first of at least (2, 2) and with padding."""

    def open(self, folder: Path, threads: int, device: str = "cpu") -> Run:
        """A built model, ready to run."""


@dataclass(frozen=True)
class PyTorch(Backend):
    """PyTorch as it is (sdpa attention), or compiled."""

    file: str = "model.safetensors"
    devices: tuple[str, ...] = ("cpu", "cuda")

    def build(self, model: "PreTrainedModel", samples: Sequence[Arrays], folder: Path) -> None:
        (model.bfloat16() if self.precision == "bf16" else model).save_pretrained(folder)

    def open(self, folder: Path, threads: int, device: str = "cpu") -> Run:
        import torch

        from benchmarks.backends.graph_export import OUTPUTS, tensors
        from distillation.models.loading import load_as_saved

        torch.set_num_threads(threads)
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        model = load_as_saved(str(folder), "models", dtype=dtype).to(device)
        run = torch.compile(model) if self.name == "compile" else model

        @torch.inference_mode()
        def call(inputs: Arrays) -> Sequence[Any]:
            outputs = run(**{name: one.to(device) for name, one in tensors(inputs).items()})
            return [outputs[name] for name in OUTPUTS if name in outputs]

        return call


@dataclass(frozen=True)
class OnnxRuntime(Backend):
    """ONNX Runtime in fp32, or with dynamically quantised int8 products."""

    runtime: str = "onnxruntime"
    file: str = "model.onnx"
    needs: tuple[str, ...] = ("onnx", "onnxscript", "onnxruntime")

    def build(self, model: "PreTrainedModel", samples: Sequence[Arrays], folder: Path) -> None:
        from benchmarks.backends.graph_export import export_onnx
        from benchmarks.backends.quantization import quantize_onnx

        path = folder / self.file
        export_onnx(model, samples[0], path)
        if self.precision == "int8":
            quantize_onnx(path, path)

    def open(self, folder: Path, threads: int, device: str = "cpu") -> Run:
        opened = open_session(folder / self.file, threads)
        return lambda inputs: opened.run(None, dict(inputs))


@dataclass(frozen=True)
class OpenVINO(Backend):
    """OpenVINO in fp32, in bf16 if the processor has it, or in int8 with scales measured on samples."""

    runtime: str = "openvino"
    file: str = "openvino_model.xml"
    needs: tuple[str, ...] = ("openvino",)

    def build(self, model: "PreTrainedModel", samples: Sequence[Arrays], folder: Path) -> None:
        import openvino

        from benchmarks.backends.graph_export import Graph, quiet, tensors

        with quiet():
            example = tuple(tensors(samples[0]).values())
            converted = openvino.convert_model(Graph(model, list(samples[0])), example_input=example)
        for port, name in zip(converted.inputs, samples[0], strict=True):
            port.get_tensor().set_names({name})
        if self.precision == "int8":
            import nncf

            data = nncf.Dataset(samples, lambda sample: tuple(sample.values()))
            converted = nncf.quantize(converted, data, model_type=nncf.ModelType.TRANSFORMER, subset_size=len(samples))
        openvino.save_model(converted, folder / self.file, compress_to_fp16=False)

    def open(self, folder: Path, threads: int, device: str = "cpu") -> Run:
        import openvino

        settings: dict[str, Any] = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
        if self.precision != "int8":  # with int8, the rest is in the processor's best precision
            settings["INFERENCE_PRECISION_HINT"] = "f32" if self.precision == "fp32" else "bf16"
        compiled = openvino.Core().compile_model(folder / self.file, "CPU", settings)
        request = compiled.create_infer_request()

        def call(inputs: Arrays) -> Sequence[Any]:
            found = request.infer(dict(inputs), share_inputs=True, share_outputs=True)
            return [found[port] for port in compiled.outputs]

        return call


BACKENDS = {
    backend.name: backend
    for backend in (
        PyTorch("torch", "fp32"),
        PyTorch("torch-bf16", "bf16"),
        PyTorch("compile", "fp32"),
        OnnxRuntime("onnx", "fp32"),
        OnnxRuntime("onnx-int8", "int8"),
        OpenVINO("openvino", "fp32"),
        OpenVINO("openvino-bf16", "bf16"),
        OpenVINO("openvino-int8", "int8", needs=("openvino", "nncf")),
    )
}
