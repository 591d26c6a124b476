"""From a checkpoint to a folder that programs without PyTorch open."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from datasets import Dataset
from tokenizers import Tokenizer
from transformers import AutoModelForMaskedLM, AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM

from benchmarks import export
from benchmarks.backends.registry import BACKENDS, Backend
from distillation.evaluation import evaluate_masked_lm, held_out_examples
from distillation.models.loading import save_pretrained
from distillation.runs.files import write_text
from finetuning.deployed import model as answers
from tests.benchmarks.tiny_models import lively, outputs_of


@pytest.fixture(scope="module")
def student_folder(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("student")
    config = {"vocab_size": len(tokenizer), "dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 48}
    model = lively(DistilBertForMaskedLM, DistilBertConfig(max_position_embeddings=64, **config))
    save_pretrained(model, tokenizer, folder)
    return folder


@pytest.fixture
def run(student_folder, held_out, tmp_path):
    """A function: keys that differ -> what the export gives."""

    def call(**keys):
        keys = dict(model_name_or_path=student_folder, output_dir=tmp_path / "new", validation_file=held_out) | keys
        return export.main([f"--{key}={value}" for key, value in keys.items()])

    return call


def test_a_masked_lm_from_checkpoint_to_folder(run, student_folder, corpus_lines, tmp_path, capsys):
    folder = tmp_path / "not" / "yet" / "there"
    found = run(output_dir=folder)
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    both = ["README.md", "config.json", "export.json", "model.onnx", "model.py"]
    assert list(files) == [*both, "tokenizer.json", "tokenizer_config.json"]
    assert json.loads((folder / "export.json").read_text(encoding="utf-8")) == found
    assert found["bytes"] == {name: files[name] for name in files.keys() - {"README.md", "export.json"}}
    assert 'Model("there")' in (folder / "README.md").read_text(encoding="utf-8")
    assert (folder / "model.py").read_bytes() == Path(answers.__file__).read_bytes()

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(student_folder), AutoTokenizer.from_pretrained(folder)
    assert found["parameters"] == model.num_parameters() and found["model"] == str(student_folder)
    assert 0.8 < found["agreement"] <= 1 and 0 < found["largest_difference"]
    assert found["compared"] == f"{found['pytorch']['masked_tokens']:,} hidden tokens of held-out text"
    assert found["exported"] == pytest.approx(found["pytorch"], rel=0.1) and found["exported"] != found["pytorch"]
    (examples,) = held_out_examples(Dataset.from_dict({"text": corpus_lines[:60]}), [tokenizer], 64)
    assert found["pytorch"] == pytest.approx(evaluate_masked_lm(model, tokenizer, examples), rel=1e-5)
    assert f"{found['agreement']:.2%} of {found['compared']} agree" in capsys.readouterr().out

    alone = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert alone.truncation is None and alone.padding is None, "it was called with both"
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = dict(tokenizer(corpus_lines[:5], padding=True, return_tensors="np"))
    (logits,), (right,) = session.run(["logits"], inputs), outputs_of(model, inputs)
    real = inputs["attention_mask"] > 0
    assert not real.all() and np.linalg.norm((logits - right)[real]) < 0.05 * np.linalg.norm(right[real])


def test_a_page_of_another_model_does_not_stay(run, tmp_path):
    for name in ("export.json", "page/index.html"):
        write_text(tmp_path / "new" / name, "")
    with pytest.raises(SystemExit, match="2"):
        run()
    assert (tmp_path / "new" / "page" / "index.html").exists()


@pytest.mark.parametrize("name", ["notes.txt", "."])
def test_what_is_no_export_is_not_replaced(run, tmp_path, name, capsys):
    write_text(tmp_path / "notes.txt", "")
    with pytest.raises(SystemExit, match="2"):
        run(output_dir=tmp_path / name)
    assert "holds something else: name a new folder" in capsys.readouterr().err


def test_a_failed_export_leaves_what_was_there(run, tmp_path, monkeypatch):
    """Half a model in the place of a good one would be deployed."""

    class Broken(Backend):
        def build(self, model, samples, folder):
            (folder / "model.onnx").touch()

        def open(self, folder, threads, device="cpu"):
            raise RuntimeError("no such kernel")

    monkeypatch.setitem(BACKENDS, "onnx", Broken("onnx", "fp32"))
    for name in ("export.json", "model.onnx"):
        write_text(tmp_path / "new" / name, "good")
    with pytest.raises(RuntimeError, match="no such kernel"):
        run(backend="onnx")
    assert [path.read_text() for path in tmp_path.rglob("*") if path.is_file()] == ["good"] * 2
