"""From a checkpoint to a folder that programs without PyTorch open, and what is said of how near the two are."""

import json

import numpy as np
import onnxruntime
import pytest
from datasets import Dataset
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer, DistilBertConfig, DistilBertForMaskedLM

from benchmarks import export
from benchmarks.backends.registry import BACKENDS, Backend
from distillation.evaluation import evaluate_masked_lm, held_out_examples
from distillation.models.loading import save_pretrained
from tests.benchmarks.tiny_models import lively, outputs_of


@pytest.fixture(scope="module")
def student_folder(tokenizer, tmp_path_factory):
    """A DistilBERT, which reads no segments, as all students are."""
    folder = tmp_path_factory.mktemp("student")
    config = {"vocab_size": len(tokenizer), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    model = lively(DistilBertForMaskedLM, DistilBertConfig(max_position_embeddings=64, **config))
    save_pretrained(model, tokenizer, folder)
    return folder


@pytest.fixture
def run(student_folder, held_out, tmp_path):
    """A function: keys that differ -> what the export gives."""

    def call(**keys):
        keys = {
            "model_name_or_path": student_folder,
            "output_dir": tmp_path / "new",
            "validation_file": held_out,
        } | keys
        return export.main([f"--{key}={value}" for key, value in keys.items()])

    return call


def test_a_masked_lm_from_checkpoint_to_folder(run, student_folder, corpus_lines, tmp_path, capsys):
    """As a user opens it: ONNX Runtime and a tokenizer, which asks for just what the graph takes."""
    folder = tmp_path / "not" / "yet" / "there"
    found, printed = run(output_dir=folder), capsys.readouterr().out
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    assert list(files) == ["config.json", "export.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"]
    assert list(folder.parent.iterdir()) == [folder]
    assert json.loads((folder / "export.json").read_text(encoding="utf-8")) == found
    assert found["bytes"].items() == files.items() - {("export.json", files["export.json"])}

    model, tokenizer = AutoModelForMaskedLM.from_pretrained(student_folder), AutoTokenizer.from_pretrained(folder)
    assert found["parameters"] == model.num_parameters() and found["model"] == str(student_folder)
    assert 0.8 < found["agreement"] <= 1 and 0 < found["largest_difference"]
    assert found["compared"] == f"{found['pytorch']['masked_tokens']:,} hidden tokens of held-out text"
    assert found["exported"] == pytest.approx(found["pytorch"], rel=0.1) and found["exported"] != found["pytorch"]
    (examples,) = held_out_examples(Dataset.from_dict({"text": corpus_lines[:60]}), [tokenizer], 64)
    assert found["pytorch"] == pytest.approx(evaluate_masked_lm(model, tokenizer, examples), rel=1e-5)
    assert f"{found['agreement']:.2%} of {found['compared']} agree" in printed
    assert f"{found['pytorch']['loss']:>10.4f} in PyTorch" in printed and "masked_tokens" not in printed

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    inputs = dict(tokenizer(corpus_lines[:5], padding=True, return_tensors="np"))
    (logits,), (right,), real = (
        session.run(["logits"], inputs),
        outputs_of(model, inputs),
        inputs["attention_mask"] > 0,
    )
    assert not real.all() and np.linalg.norm((logits - right)[real]) < 0.05 * np.linalg.norm(right[real])
    assert AutoConfig.from_pretrained(folder).architectures == ["DistilBertForMaskedLM"]


@pytest.mark.parametrize("before", [[], ["export.json", "model.onnx"]])
def test_a_failed_export_leaves_what_was_there(before, run, tmp_path, monkeypatch):
    """Half a model in the place of a good one would be deployed."""

    class Broken(Backend):
        def build(self, model, samples, folder):
            (folder / "model.onnx").touch()

        def open(self, folder, threads, device="cpu"):
            raise RuntimeError("no such kernel")

    monkeypatch.setitem(BACKENDS, "onnx", Broken("onnx", "fp32"))
    (tmp_path / "new").mkdir()
    for name in before:
        (tmp_path / "new" / name).write_text("good")
    with pytest.raises(RuntimeError, match="no such kernel"):
        run(backend="onnx")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == before
    assert all(path.read_text() == "good" for path in (tmp_path / "new").glob("*"))
