"""Models as they are used: answers for texts, from an exported folder or a checkpoint."""

from pathlib import Path

OPENVINO = "openvino_model.xml"  # the model file of a folder for OpenVINO


def exported_graph(name_or_path: str) -> Path | None:
    """The model file of a folder that `benchmarks/export.py` made; None for any other. A checkpoint may have a copy of
    itself in `onnx`."""
    from finetuning.deployed.model import GRAPHS  # with numpy

    if any(any(Path(name_or_path).glob(name)) for name in ("*.safetensors*", "pytorch_model*")):
        return None
    return next(filter(Path.is_file, (Path(name_or_path, name) for name in GRAPHS)), None)
