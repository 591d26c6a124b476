"""Ways to run a model, by name. Imports neither torch nor a runtime: those come with the module of a backend.

Each backend builds what it needs in a folder, once, and opens that in any process. All take numpy arrays by name. They
give the model's outputs in its order (`graph.OUTPUTS`), as tensors or arrays that the next call may overwrite;
`graph.arrays` makes copies of them.
"""

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distillation.config.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Arrays = Mapping[str, Any]  # of numpy
Run = Callable[[Arrays], Sequence[Any]]


@dataclass(frozen=True)
class Backend:
    """precision: in which matrices are multiplied; file: what it builds; needs: packages besides torch."""

    name: str
    module: str  # of this package
    precision: str
    file: str
    needs: tuple[str, ...] = ()
    devices: tuple[str, ...] = ("cpu",)

    def check(self, device: str) -> None:
        """Raise UserError where it cannot run."""
        absent = " ".join(package for package in self.needs if importlib.util.find_spec(package) is None)
        if absent:
            raise UserError(f"`{self.name}` needs {absent.replace(' ', ' and ')}: pip install {absent}")
        if device not in self.devices:
            raise UserError(f"`{self.name}` runs on {' and '.join(self.devices)} only")

    def build(self, model: "PreTrainedModel", samples: Iterable[Arrays], folder: Path) -> None:
        """Write the model. samples: inputs like those to come, the first of at least (2, 2) and with padding."""
        self._module().build(self, model, samples, folder)

    def open(self, folder: Path, threads: int, device: str = "cpu") -> Run:
        """A built model, ready to run."""
        return self._module().open_model(self, folder, threads, device)

    def _module(self) -> Any:
        return importlib.import_module(f"benchmarks.backends.{self.module}")


PYTORCH = {"module": "in_pytorch", "file": "model.safetensors", "devices": ("cpu", "cuda")}
ONNX = {"module": "in_onnxruntime", "file": "model.onnx", "needs": ("onnx", "onnxscript", "onnxruntime")}
OPENVINO = {"module": "in_openvino", "file": "openvino_model.xml", "needs": ("openvino",)}
BACKENDS = {
    backend.name: backend
    for backend in (
        Backend("torch", precision="fp32", **PYTORCH),
        Backend("torch-bf16", precision="bf16", **PYTORCH),
        Backend("compile", precision="fp32", **PYTORCH),
        Backend("onnx", precision="fp32", **ONNX),
        Backend("onnx-int8", precision="int8", **ONNX),
        Backend("openvino", precision="fp32", **OPENVINO),
        Backend("openvino-bf16", precision="bf16", **OPENVINO),
        Backend("openvino-int8", precision="int8", **OPENVINO | {"needs": ("openvino", "nncf")}),
    )
}
