"""All ways to run a model run the same model, and say what they need."""

import importlib.util
from contextlib import nullcontext

import numpy as np
import pytest

from benchmarks.backends import in_onnxruntime
from benchmarks.backends.graph import arrays
from benchmarks.backends.registry import BACKENDS
from distillation.config.errors import UserError
from tests.benchmarks.tiny_models import batch, outputs_of

# Largest error of the logits, as a share of their size.
CLOSE = {"torch": 1e-6, "torch-bf16": 0.05, "onnx": 1e-5, "onnx-int8": 0.05}
CLOSE |= {"openvino": 1e-4, "openvino-bf16": 0.05, "openvino-int8": 0.2}


@pytest.mark.parametrize("name", CLOSE)
def test_all_say_the_same(name, built, masked_lm):
    """At several lengths, and whatever a later call leaves in the memory of an earlier one."""
    for package in BACKENDS[name].needs:
        pytest.importorskip(package)
    folder = built(name.removesuffix("-bf16"))  # which is only another way to run it
    assert (folder / BACKENDS[name].file).is_file()
    run = BACKENDS[name].open(folder, 1)
    questions = [batch((16, 11)), batch((16, 11), seed=1), batch((40, 13, 5)), batch((8,))]
    answers = [arrays(run(inputs)) for inputs in questions]
    for inputs, (ours,) in zip(questions, answers, strict=True):
        real = inputs["attention_mask"].astype(bool)
        (theirs,) = outputs_of(masked_lm, inputs)
        assert ours.shape == theirs.shape and ours.dtype == np.float32
        error = np.linalg.norm((ours - theirs)[real]) / np.linalg.norm(theirs[real])
        assert error <= CLOSE[name]
        assert error > 1e-3 or name not in ("torch-bf16", "onnx-int8", "openvino-int8")  # it would be another's time


@pytest.mark.parametrize(
    ("name", "absent", "message"),
    [
        ("onnx", ["onnxscript"], r"^`onnx` needs onnxscript: pip install onnxscript$"),
        ("openvino", ["nncf"], None),
        ("openvino-int8", ["openvino", "nncf"], "`openvino-int8` needs openvino and nncf: pip install openvino nncf"),
        ("torch", ["onnx", "onnxruntime", "onnxscript", "openvino", "nncf"], None),
    ],
)
def test_packages_that_are_not_there(name, absent, message, monkeypatch):
    """One sentence before anything is measured, and only from those who need them."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None if package in absent else "here")
    if message is None:
        return BACKENDS[name].check("cpu")
    with pytest.raises(UserError, match=message):
        BACKENDS[name].check("cpu")


def test_devices(monkeypatch):
    """On a GPU runs what PyTorch runs."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: "here")
    for name, backend in BACKENDS.items():
        backend.check("cpu")
        if name in ("torch", "torch-bf16", "compile"):
            backend.check("cuda")
        else:
            with pytest.raises(UserError, match=f"`{name}` runs on cpu only"):
                backend.check("cuda")


@pytest.mark.parametrize(("known", "precise"), [(["avx2"], True), (["avx2", "avx512_vnni"], False)])
def test_int8_overflows_nowhere(known, precise, built, monkeypatch):
    """Without VNNI sums of products saturate, unless the session is asked not to; with it that only takes longer."""
    monkeypatch.setattr(in_onnxruntime, "instructions", lambda: known)
    options = in_onnxruntime.session(built("onnx-int8") / "model.onnx", 1).get_session_options()
    with nullcontext() if precise else pytest.raises(RuntimeError, match="does not have"):
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
