"""What a model costs where it is used, each in a fresh Python."""

import json
import shutil
import threading
from pathlib import Path

import pytest
from transformers import BertConfig, BertForSequenceClassification

from benchmarks import on_device
from benchmarks.backends.registry import BACKENDS
from benchmarks.page import browser
from benchmarks.page.writing import write_page
from benchmarks.reporting import device as reporting
from benchmarks.timing import asking, device
from benchmarks.timing.systems import System
from benchmarks.timing.texts import demo_lines, write_tokenizer
from distillation.config.errors import UserError
from tests.benchmarks.tiny_models import LAYER, SHAPE, batch, lively

SIZES = dict(vocab_size=300, max_position_embeddings=32, **SHAPE | LAYER)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A built classifier."""
    model, folder = lively(BertForSequenceClassification, BertConfig(**SIZES)), tmp_path_factory.mktemp("built")
    BACKENDS["onnx"].build(model, [batch((9, 16), 300, ("input_ids", "attention_mask"))], folder)
    write_tokenizer(System("tiny", "tiny.yaml"), model, folder)
    return folder


def test_the_command(folder, tmp_path, monkeypatch, capsys):
    """Every model by every way, in turns; a picture beside the figures."""
    asked = []

    def ask(request):
        asked.append(request["way"])
        assert request["texts"].keys() == {"8", "16"} and len(request["many"]) == device.TEXTS
        file = "config.json" if request["way"] == "browser" else BACKENDS[request["way"]].file
        assert (Path(request["folder"]) / file).exists()
        return 0.5, {"peak": 2e6, "rate": 7.0, "times": {length: [0.01] * 94 + [0.25] * 6 for length in ("8", "16")}}

    def page(exported, facts, place):
        assert facts["backend"] == "onnx-int8" and facts["model"] == "tiny"
        shutil.copytree(exported, place)
        return 5_000_000

    for name, stand_in in (("ask", ask), ("ask_page", ask), ("write_page", page)):
        monkeypatch.setattr(device, name, stand_in)
    monkeypatch.setattr(browser, "absent", list)

    def build(function, system, head, way, place):
        if way == "torch":
            return function(system, head, way, place)
        shutil.copytree(folder, place)  # an export takes seconds
        return {}

    monkeypatch.setattr(device, "in_process", build)
    (tmp_path / "tiny.yaml").write_text(json.dumps({"model_type": "bert", **SIZES}))
    words = "--models {0}/tiny.yaml --sequence_lengths 8 16 --rounds 2 --browser true --output {0}/x.json"
    found = on_device.main(words.format(tmp_path).split())
    assert asked == ["torch", "onnx-int8", "browser"] * 2 and (tmp_path / "x.png").stat().st_size > 1000
    assert json.loads((tmp_path / "x.json").read_text()) == found
    slow, fast, page = found["rows"]
    assert page["package_bytes"] + page["model_bytes"] == 5_000_000 and page["model_bytes"] == fast["model_bytes"]
    assert slow["package_bytes"] > 2 * fast["package_bytes"] > 1e7 and slow["model_bytes"] != fast["model_bytes"] > 0
    row = capsys.readouterr().out.splitlines()[3]
    assert row.startswith(f"| tiny | {fast['parameters']:,} | exported int8 | ")
    assert row.endswith(" | 0.5 | 2 | 10 / 250 | 10 / 250 | 7 |")


def test_what_a_browser_needs(monkeypatch, capsys):
    monkeypatch.setattr(browser.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit):
        on_device.main(["--browser=true"])
    assert "needs Chromium and node" in capsys.readouterr().err


def test_a_server_ends_with_a_failure(tmp_path):
    """Else its thread would go on, and disturb what is timed after it."""
    before = threading.active_count()
    with pytest.raises(UserError), browser.served(tmp_path):
        raise UserError
    assert threading.active_count() == before


def test_rounds_of_a_busy_machine_are_no_figure():
    row = {"model": "a", "parameters": 1, "way": "torch", "package_bytes": 1, "model_bytes": 1, "rate": [1.0, 2.0]}
    row |= {"first_answer": [1.0, 1.6], "peak": [1e6], "p50": {"8": [0.1, 0.1]}, "p95": {"8": [0.1, 0.4]}}
    assert "| busy (1.6x) | 1 | 100 / busy (4.0x) | busy (2.0x) |" in reporting.table([row])
    silent = row | {"peak": [0, 0], "p95": row["p50"]}  # no system but Linux tells
    assert "| busy (1.6x) | not known | 100 / 100 |" in reporting.table([silent]) and reporting.picture([silent])


def test_a_fresh_python_answers(folder, monkeypatch):
    """With the exported folder alone: neither torch nor transformers is there to be imported."""
    request = {"way": "onnx-int8", "folder": str(folder), "texts": {"8": "Да.", "16": "Да, да."}, "seconds": 0.0}
    first, found = device.ask(request | {"many": demo_lines(5)})
    assert 0 < first < 100 and found["rate"] > 0 and 1e7 < found["peak"] < 250e6
    assert [len(taken) for taken in found["times"].values()] == [asking.LEAST] * 2
    with pytest.raises(UserError, match="by onnx-int8 gave no answer: .*config.json"):
        device.ask(request | {"folder": str(folder / "absent"), "many": []})
    monkeypatch.setattr(device, "MODULE", "import os, signal; input(); os.kill(os.getpid(), signal.SIGKILL)")
    with pytest.raises(UserError, match="gave no answer: it ended with -9"):
        device.ask(request | {"many": []})
    monkeypatch.setattr(device, "MODULE", "raise ImportError('no numpy')")
    with pytest.raises(UserError, match="gave no answer: ImportError: no numpy"):
        device.ask(request | {"many": demo_lines(device.TEXTS)})


@pytest.mark.skipif(bool(browser.absent()), reason=f"not installed: {', '.join(browser.absent())}")
def test_a_page_answers(folder, tmp_path):
    """By its own worker, in a fresh browser."""
    write_page(folder, {"parameters": 1, "backend": "onnx"}, tmp_path / "page")
    request = {"folder": str(tmp_path / "page"), "texts": {"8": "Да.", "16": "Да, да."}, "seconds": 0.0}
    first, found = device.ask_page(request | {"many": demo_lines(5)})
    assert 0 < first < 100 and found["rate"] > 0 and found["peak"] > 3e7
    assert [len(taken) for taken in found["times"].values()] == [asking.LEAST] * 2
    assert all(taken == sorted(taken) and taken[0] > 0 for taken in found["times"].values())
    (tmp_path / "page" / "model.onnx").write_bytes(b"")
    with pytest.raises(UserError, match="asking.mjs failed"):
        device.ask_page(request | {"many": []})
