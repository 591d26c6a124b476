"""The measurement of inference from end to end."""

import json
import multiprocessing
from dataclasses import replace

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from benchmarks import inference
from benchmarks.backends.registry import BACKENDS
from benchmarks.timing import roofline, rows
from tests.benchmarks.tiny_models import SHAPE, lively

QUICK = ["--sequence_lengths", "16", "--rounds", "2", "--seconds", "0.01", "--threads", "1"]

pytestmark = pytest.mark.usefixtures("small_machine")


@pytest.fixture
def shape(tmp_path):
    path = tmp_path / "tiny.yaml"
    path.write_text(json.dumps({"model_type": "bert", "vocab_size": 300, "max_position_embeddings": 32, **SHAPE}))
    return str(path)


def test_one_failure_does_not_end_the_others(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(rows, "get_context", lambda method: multiprocessing.get_context("fork"))  # has the libraries
    output, saved = tmp_path / "speed.json", str(tmp_path / "tiny")
    lively(BertForMaskedLM, BertConfig(vocab_size=300, **SHAPE)).save_pretrained(saved)
    argv = f"--models {saved} no/where --heads masked-lm --backends torch torch-bf16 --batch_sizes 1 3".split()
    with pytest.raises(SystemExit, match="1"):
        inference.main([*argv, *QUICK, "--output", str(output)])
    (printed, errors), figures = capfd.readouterr(), json.loads(output.read_text(encoding="utf-8"))
    assert errors.count("error: where by torch") == errors.count("'no/where' cannot be loaded") == 2
    assert json.loads(printed.splitlines()[-1]) == figures and "| tiny | " in printed
    assert set(figures["peak"]["1"]["flops"]) == {"fp32", "bf16"}
    good, bad = figures["rows"][:4], figures["rows"][4:]
    assert len(bad) == 4 and all("cannot be loaded" in row["error"] and "seconds" not in row for row in bad)
    assert [row["backend"] for row in good] == ["torch", "torch", "torch-bf16", "torch-bf16"]
    assert [row["batch_size"] for row in good] == [1, 3, 1, 3]
    assert ("run again on idle cores" in errors) == (not all(row["steady"] for row in good))
    assert all(len(row["seconds"]) == 2 and 0 < min(row["bound_seconds"], *row["seconds"]) for row in good)
    texts = [row for row in good if "text_seconds" in row]
    assert texts == good[:1] and "| tiny | masked-lm | torch | 1 | 16 | " in printed
    assert min(texts[0]["text_seconds"]) > 0.1 * min(texts[0]["seconds"]) and min(texts[0]["text_cpu_seconds"]) > 0
    assert good[0]["mib"] == pytest.approx(4 * good[0]["parameters"] / 2**20, rel=0.2)


@pytest.mark.parametrize(("backend", "problem"), [("torch", "`sequence_lengths` 33"), ("onnx", "`onnx` needs")])
def test_what_cannot_be_measured_is_known_beforehand(backend, problem, shape, monkeypatch, capsys):
    """A package that is not there, or a text too long: before anything is built."""
    monkeypatch.setitem(BACKENDS, "onnx", replace(BACKENDS["onnx"], needs=("no_such_package",)))
    monkeypatch.setattr(rows, "in_process", lambda *_: pytest.fail("was built"))
    with pytest.raises(SystemExit, match="2"):
        inference.main([*QUICK, "--models", shape, "--backends", backend, "--sequence_lengths", "33"])
    assert f"error: tiny by {backend}: {problem}" in capsys.readouterr().err


def test_rows_take_turns(shape, tmp_path, monkeypatch):
    """A slow minute of the machine falls on all of them; a row that has failed is not tried again."""
    calls, turn = [], [("torch", 1), ("torch", 2), ("onnx", 1), ("onnx", 2)]

    def pretend(function, *arguments):
        if function is rows.build:
            return {"mib": 1.0}
        calls.append((arguments[0], len(arguments[3]["input_ids"])))
        return {"error": "no more"} if calls[4:] == [*turn[:2]] else {"seconds": [float(len(calls))]}

    monkeypatch.setattr(rows, "in_process", pretend)
    speeds = iter([1e9, 3e9, 2e9])
    monkeypatch.setattr(rows, "measure_machine", lambda *_: roofline.Machine({"fp32": next(speeds)}, 1e12))
    arguments = inference.InferenceArguments([shape], ["encoder"], ["torch", "onnx"], [1, 2], [16], threads=[1])
    found = rows.plan(arguments)
    assert rows.measure(found, arguments, 3, tmp_path) == {1: roofline.Machine({"fp32": 3e9}, 1e12)}, "its best"
    assert found[0]["bound_seconds"] == found[0]["flops"] / 3e9
    assert calls == turn * 2 + [turn[0], *turn[2:]]
    assert [row["seconds"] for row in found] == [[1, 5, 9], [2], [3, 7, 10], [4, 8, 11]]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(shape):
    """Timed until it has finished, with the memory that torch has allocated there."""
    argv = ["--models", shape, "--heads", "masked-lm", "--backends", "torch", "torch-bf16", "compile"]
    found = inference.main([*argv, *QUICK, "--device", "cuda"])["rows"]
    assert len(found) == 6 and all(min(row["bound_seconds"], *row["peak_mib"]) > 0 for row in found)
