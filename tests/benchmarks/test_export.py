"""From a checkpoint to a folder that programs without PyTorch open, and what is said of how near the two are."""

import dataclasses
import json
import re

import numpy as np
import onnxruntime
import pytest
import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoTokenizer,
    BertConfig,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
)

from benchmarks import export
from benchmarks.backends.registry import BACKENDS, Backend
from distillation.evaluation import evaluate_masked_lm, held_out_examples
from distillation.models.loading import save_pretrained
from tests.benchmarks.tiny_models import SHAPE, lively


@pytest.fixture(scope="module")
def student_folder(tokenizer, tmp_path_factory):
    """A DistilBERT, which reads no segments, as all students are."""
    folder = tmp_path_factory.mktemp("student")
    config = {"vocab_size": len(tokenizer), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    model = lively(DistilBertForMaskedLM, DistilBertConfig(max_position_embeddings=64, **config))
    save_pretrained(model, tokenizer, folder)
    return folder


def test_a_masked_lm_from_checkpoint_to_folder(student_folder, held_out, corpus_lines, tmp_path, capsys):
    """As a user opens it: ONNX Runtime and a tokenizer, which asks for just what the graph takes."""
    folder = tmp_path / "not" / "yet" / "there"
    argv = ["--model_name_or_path", str(student_folder), "--output_dir", str(folder)]
    found = export.main([*argv, "--validation_file", str(held_out)])
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.json", "export.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"}
    assert list(folder.parent.iterdir()) == [folder]
    assert json.loads((folder / "export.json").read_text(encoding="utf-8")) == found
    assert found["bytes"] == {name: (folder / name).stat().st_size for name in sorted(files - {"export.json"})}

    model = AutoModelForMaskedLM.from_pretrained(student_folder).eval()
    assert found["parameters"] == model.num_parameters() and found["model"] == str(student_folder)
    assert 0.8 < found["agreement"] <= 1 and 0 < found["largest_difference"]
    assert found["compared"] == f"{found['pytorch']['masked_tokens']:,} hidden tokens of held-out text"
    assert found["exported"] == pytest.approx(found["pytorch"], rel=0.1)
    assert found["exported"]["loss"] != found["pytorch"]["loss"]
    tokenizer = AutoTokenizer.from_pretrained(student_folder)
    (examples,) = held_out_examples(Dataset.from_dict({"text": corpus_lines[:60]}), [tokenizer], 64)
    assert found["pytorch"] == pytest.approx(evaluate_masked_lm(model, tokenizer, examples), rel=1e-5)
    printed = capsys.readouterr().out
    assert "model.onnx" in printed and f"{found['agreement']:.2%} of {found['compared']} agree" in printed
    assert f"{found['pytorch']['loss']:>10.4f} in PyTorch" in printed and "masked_tokens" not in printed

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    questions = dict(AutoTokenizer.from_pretrained(folder)(corpus_lines[:5], padding=True, return_tensors="np"))
    (logits,) = session.run(["logits"], questions)
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(one) for name, one in questions.items()}).logits.numpy()
    real = questions["attention_mask"].astype(bool)
    assert not real.all()
    assert np.linalg.norm((logits - expected)[real]) < 0.05 * np.linalg.norm(expected[real])
    assert AutoConfig.from_pretrained(folder).architectures == ["DistilBertForMaskedLM"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--model_name_or_path", "{here}/headless"], "`model_name_or_path`.* is a BertModel"),
        (["--output_dir", "{here}/foreign"], "`output_dir`.* holds something else"),
        (["--output_dir", "{here}/foreign/thesis.txt"], "`output_dir`.* holds something else"),
    ],
)
def test_refused(argv, message, student_folder, tokenizer, tmp_path, capsys):
    """Before the export, with one sentence, and with every file where it was."""
    headless = lively(BertModel, BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE))
    save_pretrained(headless, tokenizer, tmp_path / "headless")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    keys = {"--model_name_or_path": str(student_folder), "--output_dir": str(tmp_path / "new")}
    keys |= {argv[0]: argv[1].format(here=tmp_path)}
    with pytest.raises(SystemExit, match="2"):
        export.main([word for pair in keys.items() for word in pair])
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(message, sentence)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_export_leaves_what_was_there(student_folder, held_out, tmp_path, monkeypatch):
    """Half a model in the place of a good one would be deployed."""

    class Broken(Backend):
        def build(self, model, samples, folder):
            (folder / self.file).touch()

        def open(self, folder, threads, device="cpu"):
            raise RuntimeError("no such kernel")

    monkeypatch.setitem(BACKENDS, "onnx", Broken(**dataclasses.asdict(BACKENDS["onnx"])))
    folder = tmp_path / "deployed"
    argv = ["--model_name_or_path", str(student_folder), "--output_dir", str(folder), "--backend", "onnx"]
    argv += ["--validation_file", str(held_out)]
    for before in ([], ["export.json", "model.onnx"]):
        for name in before:
            folder.mkdir(exist_ok=True)
            (folder / name).write_text("good")
        with pytest.raises(RuntimeError, match="no such kernel"):
            export.main(argv)
        assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == before
        assert all(path.read_text() == "good" for path in folder.glob("*"))
