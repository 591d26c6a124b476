"""The measurement: every row in a process of its own, and a sentence for each that fails."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from benchmarks import inference
from benchmarks.backends.runtimes import BACKENDS, Torch
from benchmarks.reporting import speed
from benchmarks.timing import roofline, worker
from benchmarks.timing.rounds import verdict
from benchmarks.timing.worker import in_process, random_inputs, visit
from distillation.config.errors import UserError
from tests.benchmarks.tiny_models import SHAPE, lively

QUICK = ["--sequence_length", "16", "--rounds", "2", "--seconds", "0.01", "--threads", "1"]
MEASURED = {"model", "source", "head", "backend", "device", "batch_size", "sequence_length", "parameters", "flops"}
MEASURED |= {"spread", "steady", "weights", "bound_seconds", "mib", "seconds", "peak_mib"}


@pytest.fixture
def small_machine(monkeypatch):
    """Whose best is measured in a moment."""
    monkeypatch.setattr(roofline, "SIDE", 64)
    monkeypatch.setattr(roofline, "COPIED", 2**16)


@pytest.fixture
def shape(tmp_path):
    """A YAML file of a model of 32 positions."""
    path = tmp_path / "tiny.yaml"
    lines = {"model_type": "bert", "vocab_size": 300, "max_position_embeddings": 32, **SHAPE}
    path.write_text("".join(f"{key}: {value}\n" for key, value in lines.items()), encoding="utf-8")
    return str(path)


def test_one_failure_does_not_end_the_others(small_machine, shape, tmp_path, capfd):
    """It is told once, with its backends; what was measured is written all the same."""
    output = tmp_path / "speed.json"
    argv = ["--models", shape, "no/where", "--backends", "torch", "onnx-int8", "--batch_sizes", "1", "3"]
    with pytest.raises(SystemExit, match="1"):
        inference.main([*argv, *QUICK, "--output", str(output)])
    printed, complained = capfd.readouterr()
    assert complained.count("error:") == complained.count("'no/where' cannot be loaded") == 1
    assert "error: where by torch, onnx-int8: " in complained
    figures = json.loads(output.read_text(encoding="utf-8"))
    assert json.loads(printed.splitlines()[-1]) == figures
    rows = figures["rows"]
    assert [(row["model"], row["backend"], row["batch_size"]) for row in rows] == [
        (model, backend, size) for model in ("tiny", "where") for backend in ("torch", "onnx-int8") for size in (1, 3)
    ]
    assert all("cannot be loaded" in row["error"] and "seconds" not in row for row in rows[4:])
    for row in rows[:4]:
        assert row.keys() == MEASURED
        assert len(row["seconds"]) == 2 and all(0 < seconds < 1 for seconds in row["seconds"])
        assert 0 < row["bound_seconds"] and row["sequence_length"] == 16
    assert rows[0]["mib"] == pytest.approx(4 * rows[0]["parameters"] / 2**20, rel=0.2)
    assert set(figures["peak"]["flops"]) == {"fp32", "int8"} and figures["hardware"]["threads"] == 1
    assert "| tiny | " in printed and "1 x 16" in printed and "3 x 16" in printed


def test_a_trained_model_with_another_head(small_machine, tmp_path, capsys):
    lively(BertForMaskedLM, BertConfig(vocab_size=300, **SHAPE)).save_pretrained(tmp_path / "saved")
    argv = ["--models", str(tmp_path / "saved"), "--heads", "masked-lm", "--backends", "torch", "--batch_sizes", "2"]
    (row,) = inference.main([*argv, *QUICK])["rows"]
    assert (row["model"], row["head"], len(row["seconds"])) == ("saved", "masked-lm", 2)
    assert "| saved | " in capsys.readouterr().out


def test_what_cannot_be_measured_is_known_beforehand(small_machine, shape, monkeypatch, capsys):
    """Before anything is built: a text too long, and a package that is not there."""
    monkeypatch.setattr(BACKENDS["onnx"], "needs", ("no_such_package",))
    monkeypatch.setattr(inference, "in_process", lambda *_: pytest.fail("was built"))
    with pytest.raises(SystemExit, match="2"):
        inference.main(["--models", shape, "--backends", "torch", *QUICK, "--sequence_length", "33"])
    assert "error: tiny by torch: `sequence_length` 33 exceeds its 32 positions" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        inference.main(["--models", shape, "--backends", "onnx", *QUICK])
    assert "error: tiny by onnx: `onnx` needs no_such_package" in capsys.readouterr().err


def test_rows_take_turns(shape, tmp_path, monkeypatch):
    """A slow minute of the machine falls on all of them; a row that has failed is not tried again."""
    calls = []

    def pretend(function, *arguments):
        if function is worker.build:
            return {"mib": 1.0}
        calls.append((arguments[0], len(arguments[2]["input_ids"])))
        if calls[-1] == ("torch", 2) and calls.count(("torch", 2)) == 2:
            raise UserError("no more")
        return {"seconds": float(len(calls))}

    monkeypatch.setattr(inference, "in_process", pretend)
    arguments = inference.parse(
        ["--models", shape, "--backends", "torch", "onnx", "--batch_sizes", "1", "2", *QUICK, "--rounds", "3"]
    )
    speeds = iter([1e9, 3e9, 2e9])
    monkeypatch.setattr(inference, "measure_machine", lambda *_: roofline.Machine({"fp32": next(speeds)}, 1e12))
    rows = inference.plan(arguments)
    machine = inference.measure(rows, arguments, tmp_path)
    assert machine == roofline.Machine({"fp32": 3e9}, 1e12), "its best"
    assert rows[0]["bound_seconds"] == rows[0]["flops"] / 3e9
    turn = [("torch", 1), ("torch", 2), ("onnx", 1), ("onnx", 2)]
    assert calls == turn * 2 + [turn[0], *turn[2:]]
    assert [row["seconds"] for row in rows] == [[1, 5, 9], [2], [3, 7, 10], [4, 8, 11]]
    assert [row.get("error") for row in rows] == [None, "no more", None, None]


def test_a_busy_row_is_told_and_compared_with_nothing():
    """The teacher's rounds of 109 to 1,556 ms once made a student 1,046 times as fast."""

    def row(model, parameters, *seconds):
        known = {"model": model, "parameters": parameters, "head": "encoder", "backend": "torch", "device": "cpu"}
        known |= {"batch_size": 1, "sequence_length": 64, "hardware": "here", "bound_seconds": 1e-4, "mib": 2.0}
        return known | {"seconds": list(seconds)} | verdict(seconds)

    small = row("small", 5, 0.010, 0.012)
    busy, idle = speed.table([row("large", 9, 0.109, 1.556), small]), speed.table([row("large", 9, 0.2, 0.24), small])
    assert "[109, 1,556] spread 14.3x |  |  |  |" in busy and "20.00" not in busy
    assert "| 11 [10, 12] | 90.9 | 20.00 | 1% |" in idle
    assert "| 11 [10, 12] | 90.9 |  | 1% |" in busy


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--rounds", "0"], "'0' is not a whole number of at least 1"),
        (["--backends", "guess"], "invalid choice: 'guess'"),
        (["--output", "no/such/folder/x.json"], "its folder does not exist"),
    ],
)
def test_wrong_arguments(argv, message, capsys):
    """Not after an hour of measuring."""
    with pytest.raises(SystemExit, match="2"):
        inference.main(argv)
    assert message in capsys.readouterr().err


def test_random_inputs():
    """The same for each backend and round, over the whole vocabulary, without padding."""
    one = random_inputs(30, 4, 50)
    assert {name: array.shape for name, array in one.items()} == {"input_ids": (4, 50), "attention_mask": (4, 50)}
    assert set(one["input_ids"].ravel()) == set(range(30)) and one["attention_mask"].all()
    assert all(np.array_equal(one[name], array) for name, array in random_inputs(30, 4, 50).items())
    assert not np.array_equal(one["input_ids"], random_inputs(30, 4, 50, seed=1)["input_ids"])


def process_and_sum(one, two):
    return {"process": os.getpid(), "sum": one + two}


def die(by_signal):
    os.kill(os.getpid(), signal.SIGKILL) if by_signal else os._exit(3)


def fail(error):
    raise error


def test_a_process_of_its_own():
    one, two = (in_process(process_and_sum, 1, 2) for _ in range(2))
    assert one["sum"] == 3 and len({os.getpid(), one["process"], two["process"]}) == 3


@pytest.mark.parametrize(
    ("function", "argument", "message"),
    [
        (die, True, "^out of memory: the system killed it$"),
        (die, False, "^it ended with code 3$"),
        (fail, ValueError("one\n  reason"), "^one reason$"),
        (fail, UserError("`key` is wrong"), "^`key` is wrong$"),
        (fail, KeyError(), "^KeyError$"),
        (fail, MemoryError(), "^out of memory$"),
        (fail, RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "^out of memory$"),
    ],
)
def test_a_process_that_fails(function, argument, message):
    """Always one sentence, even where the process had no time to say anything."""
    with pytest.raises(UserError, match=message):
        in_process(function, argument)


class Allocating(Torch):
    """Holds so much when it is opened, and as much again in each call."""

    def open(self, folder, threads, device):
        held = np.ones(2**23)  # of 8 bytes
        return lambda inputs: [held + 1]


def visit_allocating():
    BACKENDS["allocating"] = Allocating("fp32")
    return visit("allocating", Path(), {}, 1, "cpu", 0.01)


def test_peak_memory_is_that_of_model_and_call():
    """64 MiB of each."""
    found = in_process(visit_allocating)
    if "peak_mib" not in found:
        pytest.skip("this system does not tell")
    assert 120 < found["peak_mib"] < 170


def test_the_median_of_enough_calls(monkeypatch):
    """A first call that is slow, and some that are disturbed, do not count for more than one."""
    taken = iter([9.0, 0.1, 0.3, 0.2, 0.9, 0.2, 0.3])  # the first warms up
    now = [0.0]

    class Clocked(Torch):
        def open(self, folder, threads, device):
            return lambda inputs: now.__setitem__(0, now[0] + next(taken))

    monkeypatch.setitem(BACKENDS, "clocked", Clocked("fp32"))
    monkeypatch.setattr(worker.time, "perf_counter", lambda: now[0])
    found = visit("clocked", Path(), {}, torch.get_num_threads(), "cpu", 1.0)
    assert found["seconds"] == pytest.approx(0.25)  # of 0.1, 0.3, 0.2, and 0.9, with which a second is over


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(shape):
    """Timed until it has finished, with the memory that torch has allocated there; ONNX models stay on the CPU."""
    argv = ["--models", shape, "--heads", "masked-lm", "--backends", "torch", "torch-bf16", "compile"]
    rows = inference.main([*argv, *QUICK, "--device", "cuda"])["rows"]
    assert len(rows) == 6 and all(row["device"] == "cuda" and min(row["peak_mib"]) > 0 for row in rows)
    assert all(row["bound_seconds"] > 0 for row in rows)
    with pytest.raises(SystemExit, match="2"):
        inference.main(["--models", shape, "--backends", "onnx", *QUICK, "--device", "cuda"])
