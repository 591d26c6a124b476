"""run_predict.py on a small file."""

import json
from pathlib import Path

import pytest

from finetuning.deployed import bulk
from finetuning.formats import stream
from finetuning.run_predict import main
from tests.finetuning.deployed.known_model import by_length


@pytest.fixture
def small_blocks(monkeypatch, tokenizer):
    """Blocks of four rows, and a model that counts tokens."""
    monkeypatch.setattr(bulk, "BLOCK", 4)
    monkeypatch.setattr(stream, "HEAD_ROWS", 2)
    monkeypatch.setattr(bulk, "load", lambda name: by_length(tokenizer))


@pytest.fixture
def predict(small_blocks, tmp_path, monkeypatch):
    """A function: the content of an input, its name, and keys -> the output, or its lines of JSON."""
    monkeypatch.chdir(tmp_path)

    def run(content, name="in.jsonl", output="out.jsonl", **keys):
        Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
        words = {"model_name_or_path": "me/model", "input": name, "output": output} | keys
        main.__wrapped__([f"--{key}={value}" for key, value in words.items()])
        found = Path(output).read_bytes().decode()
        return [json.loads(line) for line in found.split("\n")[:-1]] if output.endswith("jsonl") else found

    return run
