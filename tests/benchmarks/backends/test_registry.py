"""All ways to run a model run the same model, and say what they need."""

import importlib.util
from contextlib import nullcontext

import numpy as np
import pytest

from benchmarks.backends.graph_export import arrays
from benchmarks.backends.registry import BACKENDS
from distillation.config.errors import UserError
from finetuning.deployed import model
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
    run = BACKENDS[name].open(folder, 1)
    questions = [batch((16, 11)), batch((16, 11), seed=1), batch((40, 13, 5)), batch((8,))]
    answers = [arrays(run(inputs)) for inputs in questions]
    for inputs, (found,) in zip(questions, answers, strict=True):
        (right,), real = outputs_of(masked_lm, inputs), inputs["attention_mask"].astype(bool)
        assert found.shape == right.shape and found.dtype == np.float32
        error = np.linalg.norm((found - right)[real]) / np.linalg.norm(right[real])
        assert error <= CLOSE[name]
        assert error > 1e-3 or name not in ("torch-bf16", "onnx-int8", "openvino-int8")  # it would be another's time


@pytest.mark.parametrize("name", BACKENDS)
def test_packages_and_devices(name, monkeypatch):
    """PyTorch needs no other package and runs on a GPU; all others need some, and run on the CPU."""
    own = name in ("torch", "torch-bf16", "compile")
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: "here")
    with nullcontext() if own else pytest.raises(UserError, match=f"`{name}` runs on cpu only"):
        BACKENDS[name].check("cuda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with nullcontext() if own else pytest.raises(UserError, match=f"`{name}` needs .*: pip install (onnx|openvino)"):
        BACKENDS[name].check("cpu")


@pytest.mark.parametrize(("known", "precise"), [("avx2", True), ("avx2 avx512_vnni", False)])
def test_int8_overflows_nowhere(known, precise, built, monkeypatch, tmp_path):
    """Without VNNI sums of products saturate, unless the session is asked not to; with it that only takes longer."""
    (tmp_path / "cpuinfo").write_text(f"flags : {known}")
    monkeypatch.setattr(model, "PROCESSOR", tmp_path / "cpuinfo")
    options = model.open_session(built("onnx-int8") / "model.onnx", 1).get_session_options()
    with nullcontext() if precise else pytest.raises(RuntimeError, match="does not have"):
        assert options.get_session_config_entry("session.x64quantprecision") == "1"
