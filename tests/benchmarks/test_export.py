"""From a checkpoint to a folder that programs without PyTorch open, and what is said of how near the two are."""

import json
import re
import shutil

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
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
    DistilBertConfig,
    DistilBertForMaskedLM,
)

from benchmarks import export
from benchmarks.backends.deployed import Deployed, compare_masked_lm, compare_on_lines, compare_on_task, task_of
from benchmarks.backends.runtimes import OnnxRuntime
from distillation.config.errors import UserError
from distillation.evaluation import evaluate_masked_lm, held_out_examples
from distillation.models.loading import load_as_saved, save_pretrained
from finetuning import run_rusentiment, run_sberquad
from tests.benchmarks.tiny_models import SHAPE, lively
from tests.finetuning.demo_sets import small_demo

NAMES = ["input_ids", "token_type_ids", "attention_mask"]


@pytest.fixture(scope="module")
def student_folder(tokenizer, tmp_path_factory):
    """A DistilBERT, which reads no segments, as all students are."""
    folder = tmp_path_factory.mktemp("student")
    config = {"vocab_size": len(tokenizer), "dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    save_pretrained(
        lively(DistilBertForMaskedLM, DistilBertConfig(max_position_embeddings=64, **config)), tokenizer, folder
    )
    return folder


@pytest.fixture(scope="module")
def held_out(corpus_lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "held_out.txt"
    path.write_text("\n".join(corpus_lines[:60]), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def fine_tuned(teacher_folder, tmp_path_factory):
    """A function: benchmark -> folder of a model fine-tuned on it, and where the data have gone since."""

    def tune(name, main):
        folder = tmp_path_factory.mktemp(name)
        small_demo(name, folder / "before")
        argv = ["--model_name_or_path", str(teacher_folder), "--data_dir", str(folder / "before" / name)]
        argv += ["--output_dir", str(folder / "run"), "--max_length", "48", "--learning_rate", "2e-3"]
        argv += ["--num_train_epochs", "2", "--per_device_train_batch_size", "16"]
        main([*argv, "--use_cpu", "true", "--disable_tqdm", "true", "--report_to", "none"])
        shutil.move(folder / "before" / name, folder / "data")
        return folder / "run", folder / "data"

    return tune


def reported_by(results):
    """The benchmark's metrics on its test part."""
    figures = {key.removeprefix("test_"): value for key, value in results.items() if key.startswith("test_")}
    return {name: value for name, value in figures.items() if name != "loss"}


def lines(texts):
    return Dataset.from_dict({"text": texts})


def running(model, change=lambda inputs, outputs: outputs, names=NAMES):
    """As an exported model, the model itself: changed by what an export could do wrong."""

    @torch.no_grad()
    def run(inputs):
        tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
        return change(tensors, [one.clone() for one in model(**tensors).to_tuple()])

    return Deployed(run, model, names)


def blind(model):
    """Without its attention mask."""

    @torch.no_grad()
    def run(inputs):
        tensors = {name: torch.from_numpy(one) for name, one in inputs.items()}
        return model(**tensors | {"attention_mask": torch.ones_like(tensors["input_ids"])}).to_tuple()

    return Deployed(run, model, NAMES)


def bert(model_class, tokenizer, **more):
    model = lively(model_class, BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE, **more))
    model.config.architectures = [model_class.__name__]
    return model


def test_a_masked_lm_from_checkpoint_to_folder(student_folder, held_out, corpus_lines, tmp_path, capsys):
    """As a user opens it: ONNX Runtime and a tokenizer, which asks for just what the graph takes."""
    folder = tmp_path / "not" / "yet" / "there"
    argv = ["--model_name_or_path", str(student_folder), "--output_dir", str(folder), "--backend", "onnx"]
    found = export.main([*argv, "--validation_file", str(held_out)])
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.json", "export.json", "model.onnx", "tokenizer.json", "tokenizer_config.json"}
    assert list(folder.parent.iterdir()) == [folder]
    assert json.loads((folder / "export.json").read_text(encoding="utf-8")) == found
    assert found["bytes"] == {name: (folder / name).stat().st_size for name in sorted(files - {"export.json"})}

    model = AutoModelForMaskedLM.from_pretrained(student_folder).eval()
    assert found["parameters"] == model.num_parameters() and found["model"] == str(student_folder)
    assert found["agreement"] == 1 and 0 < found["largest_difference"] < 1e-4
    assert found["compared"] == f"{found['pytorch']['masked_tokens']:,} hidden tokens of held-out text"
    assert found["exported"] == pytest.approx(found["pytorch"], rel=1e-5)
    tokenizer = AutoTokenizer.from_pretrained(student_folder)
    (examples,) = held_out_examples(lines(corpus_lines[:60]), [tokenizer], 64)
    assert found["pytorch"] == pytest.approx(evaluate_masked_lm(model, tokenizer, examples), rel=1e-5)
    printed = capsys.readouterr().out
    assert "model.onnx" in printed and f"100.00% of {found['compared']} agree" in printed
    assert f"{found['pytorch']['loss']:>10.4f} in PyTorch" in printed and "masked_tokens" not in printed

    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    questions = dict(AutoTokenizer.from_pretrained(folder)(corpus_lines[:5], padding=True, return_tensors="np"))
    (logits,) = session.run(["logits"], questions)
    with torch.no_grad():
        expected = model(**{name: torch.from_numpy(one) for name, one in questions.items()}).logits.numpy()
    real = questions["attention_mask"].astype(bool)
    assert not real.all()
    np.testing.assert_allclose(logits[real], expected[real], atol=1e-4)
    assert AutoConfig.from_pretrained(folder).architectures == ["DistilBertForMaskedLM"]


def test_a_fine_tuned_model_is_checked_on_its_own_test_part(fine_tuned, tmp_path):
    """The figures of PyTorch are those that the run reported, or something else was compared."""
    run, data = fine_tuned("rusentiment", run_rusentiment.main)
    argv = ["--model_name_or_path", str(run), "--output_dir", str(tmp_path / "deployed"), "--backend", "onnx"]
    found = export.main([*argv, "--data_dir", str(data)])
    results = json.loads((run / "all_results.json").read_text(encoding="utf-8"))
    reported = reported_by(results)
    assert found["pytorch"] == pytest.approx(reported) and found["exported"] == pytest.approx(reported)
    assert found["compared"] == f"{results['examples']['test']} predictions on the test part of rusentiment"
    assert found["agreement"] == 1 and 0 < found["largest_difference"] < 1e-4
    assert AutoConfig.from_pretrained(tmp_path / "deployed").label2id.keys() == set(run_rusentiment.rusentiment.LABELS)


def test_questions_of_a_benchmark(fine_tuned):
    """Answers are compared, not tokens, over all windows of a context."""
    run, data = fine_tuned("sberquad", run_sberquad.main)
    results = json.loads((run / "all_results.json").read_text(encoding="utf-8"))
    model, tokenizer = load_as_saved(str(run), "model_name_or_path"), AutoTokenizer.from_pretrained(run)
    with pytest.raises(UserError, match="before/sberquad"):  # where they were
        compare_on_task(model, running(model), tokenizer, *task_of(results, str(run), None))
    arguments = export.ExportArguments(model_name_or_path=str(run), output_dir=str(run / "new"))
    assert "lines of text" in export.compare(model, running(model), tokenizer, lines(["кот"]), arguments)["compared"]
    task, settings = task_of(results, str(run), str(data))
    found = compare_on_task(model, running(model), tokenizer, task, settings)
    assert found["pytorch"] == found["exported"] == pytest.approx(reported_by(results))
    assert (found["agreement"], found["largest_difference"]) == (1, 0)
    backwards = compare_on_task(
        model, running(model, lambda inputs, outputs: [-one for one in outputs]), tokenizer, task, settings
    )
    assert backwards["pytorch"] == found["pytorch"] != backwards["exported"]
    assert backwards["agreement"] < 0.5 and backwards["largest_difference"] > 0


@pytest.mark.parametrize(
    ("argv", "key"),
    [
        (["--backend", "torch"], "`backend`"),
        (["--model_name_or_path", "no/where"], "`model_name_or_path` 'no/where' cannot be loaded"),
        (["--model_name_or_path", "{headless}"], "`model_name_or_path`.* is a BertModel"),
        (["--model_name_or_path", ""], "`model_name_or_path` is missing"),
        (["--output_dir", "{foreign}"], "`output_dir`.* holds something else"),
        (["--output_dir", "{foreign}/thesis.txt"], "`output_dir`.* holds something else"),
        (["--validation_file", "no/text.txt"], "no/text.txt"),
        (["--nonsense", "1"], "unknown key `nonsense`"),
    ],
)
def test_refused(argv, key, student_folder, tokenizer, tmp_path, capsys):
    """Before the export, with one sentence, and with every file where it was."""
    save_pretrained(bert(BertModel, tokenizer), tokenizer, tmp_path / "headless")
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.txt").write_text("years of work")
    before = sorted(tmp_path.rglob("*"))
    places = {"headless": str(tmp_path / "headless"), "foreign": str(tmp_path / "foreign")}
    whole = {"--model_name_or_path": str(student_folder), "--output_dir": str(tmp_path / "new")}
    whole |= {argv[0]: argv[1].format(**places)}
    with pytest.raises(SystemExit, match="2"):
        export.main([word for pair in whole.items() for word in pair])
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(key, sentence)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_failed_export_leaves_what_was_there(student_folder, held_out, tmp_path, monkeypatch):
    """Half a model in the place of a good one would be deployed."""

    def broken(*_):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(OnnxRuntime, "build", lambda self, model, samples, folder: (folder / "model.onnx").touch())
    monkeypatch.setattr(OnnxRuntime, "open", broken)
    folder = tmp_path / "deployed"
    argv = ["--model_name_or_path", str(student_folder), "--output_dir", str(folder)]
    argv += ["--validation_file", str(held_out)]
    with pytest.raises(RuntimeError, match="no such kernel"):
        export.main(argv)
    assert not list(tmp_path.iterdir())
    folder.mkdir()
    for name in ("export.json", "model.onnx"):
        (folder / name).write_text("good")
    with pytest.raises(RuntimeError, match="no such kernel"):
        export.main(argv)
    assert list(tmp_path.iterdir()) == [folder] and (folder / "model.onnx").read_text() == "good"

    monkeypatch.setattr(export, "compare", lambda *_: {"largest_difference": 0.0, "agreement": 1.0, "compared": "x"})
    monkeypatch.setattr(OnnxRuntime, "open", lambda *_: None)
    (folder / "left from before").touch()
    export.main(argv)
    assert (folder / "model.onnx").read_text() == "" and not (folder / "left from before").exists()


@pytest.mark.parametrize("texts", [["да", "он идёт домой"], ["да"], ["да", "да", "да"]])
def test_the_example_has_padding(texts, student_folder):
    """Without it, a way to export that looks for padding would find that there never is any."""
    samples = export.samples_of(AutoTokenizer.from_pretrained(student_folder), lines(texts), 64)
    assert all(len(one["input_ids"]) == 2 for one in samples)
    assert sorted(samples[0]["attention_mask"].min(1)) == [0, 1]


def test_hidden_words_in_short_lines(tokenizer, teacher_folder):
    """Of 16 one-word lines often none is hidden: there is nothing to compare then, and nothing wrong."""
    model, texts = AutoModelForMaskedLM.from_pretrained(teacher_folder).eval(), lines(["кот"] * 300)
    found = compare_masked_lm(model, running(model), tokenizer, texts, 64)
    assert (found["agreement"], found["largest_difference"]) == (1, 0) and found["exported"] == found["pytorch"]


def test_differences_of_a_masked_lm_are_seen(tokenizer, teacher_folder, corpus_lines):
    model, texts = AutoModelForMaskedLM.from_pretrained(teacher_folder).eval(), lines(corpus_lines[:60])
    louder = compare_masked_lm(model, running(model, lambda inputs, outputs: [outputs[0] + 0.5]), tokenizer, texts, 64)
    assert louder["largest_difference"] == pytest.approx(0.5, rel=1e-4) and louder["agreement"] == 1
    wrong = compare_masked_lm(model, blind(model), tokenizer, texts, 64)
    assert wrong["largest_difference"] > 0.1 and wrong["agreement"] < 1
    assert wrong["pytorch"] == louder["pytorch"] != wrong["exported"]


@pytest.mark.parametrize(
    ("model_class", "labels", "count"),
    [
        (BertForSequenceClassification, 70, 40),
        (BertForQuestionAnswering, 2, 80),
        (BertForTokenClassification, 70, None),
    ],
)
def test_lines_of_text(model_class, labels, count, tokenizer, corpus_lines):
    """Scores of padding are no predictions, and what an exported model has there does not matter; the mask does."""
    model, texts = bert(model_class, tokenizer, num_labels=labels), corpus_lines[:40]
    count = count or sum(len(ids) for ids in tokenizer(texts)["input_ids"])

    def noise_in_padding(inputs, outputs):
        for one in outputs:
            if one.shape[:2] == inputs["input_ids"].shape:
                one[inputs["attention_mask"] == 0] = 1e3
        return outputs

    found = compare_on_lines(model, running(model, noise_in_padding), tokenizer, lines(texts), 64)
    assert found["compared"] == f"{count:,} predictions on lines of text"
    assert (found["agreement"], found["largest_difference"]) == (1, 0)
    wrong = compare_on_lines(model, blind(model), tokenizer, lines(texts), 64)
    assert wrong["agreement"] < 1 and wrong["largest_difference"] > 0.1


@pytest.mark.parametrize("results", [None, {"task": "unheard of"}, {"steps": 3}])
def test_models_of_no_benchmark_are_checked_on_lines(results, tokenizer, corpus_lines, tmp_path):
    model = bert(BertForSequenceClassification, tokenizer)
    if results is not None:
        (tmp_path / "all_results.json").write_text(json.dumps(results), encoding="utf-8")
    arguments = export.ExportArguments(model_name_or_path=str(tmp_path), output_dir=str(tmp_path / "new"))
    found = export.compare(model, running(model), tokenizer, lines(corpus_lines[:10]), arguments)
    assert found["compared"] == "10 predictions on lines of text"
    arguments.data_dir = str(tmp_path)
    with pytest.raises(UserError, match="`data_dir` is of no use"):
        export.compare(model, running(model), tokenizer, lines(corpus_lines[:10]), arguments)


def test_heads_that_are_exported(tokenizer, tmp_path):
    model = bert(BertForTokenClassification, tokenizer, output_hidden_states=True)
    model.save_pretrained(tmp_path)
    loaded = load_as_saved(str(tmp_path), "model_name_or_path")
    assert isinstance(loaded, BertForTokenClassification) and not loaded.config.output_hidden_states
    (tmp_path / "config.json").unlink()
    with pytest.raises(UserError, match="cannot be loaded"):
        load_as_saved(str(tmp_path), "model_name_or_path")
