"""What an export costs in logits, in predictions, and in the metric of the model's own benchmark."""

import pytest
import transformers as hf
from datasets import Dataset

from benchmarks.backends.deployment import Source, compare, samples_of
from benchmarks.export import ExportArguments
from distillation.config.errors import UserError
from distillation.models.loading import load_with_head, save_pretrained
from distillation.runs.files import write_json
from finetuning.sets import make_task
from finetuning.trainer import TaskTrainer
from tests.benchmarks.tiny_models import SHAPE, blind, lively, running
from tests.finetuning.known import arguments


@pytest.fixture
def source(tmp_path, held_out, tokenizer):
    """A function: a model, the results beside it, and lines of text -> a `Source`."""

    def make(model, results=None, texts=None, **keys):
        save_pretrained(model, tokenizer, tmp_path / "run")
        if results:
            write_json(tmp_path / "run" / "all_results.json", results)
        made = Source(ExportArguments(str(tmp_path / "run"), str(tmp_path / "new"), "onnx", str(held_out), **keys))
        made.lines = Dataset.from_dict({"text": texts}) if texts else made.lines
        return made

    return make


@pytest.fixture
def tiny(tokenizer):
    """A function: a class of models, and its number of labels -> a model."""
    sizes = dict(vocab_size=len(tokenizer), max_position_embeddings=64, **SHAPE)
    return lambda model_class, labels=2: lively(model_class, hf.BertConfig(num_labels=labels, **sizes))


def test_hidden_words(source, teacher_folder):
    """A difference that changes no prediction is seen, and one that does."""
    model = hf.AutoModelForMaskedLM.from_pretrained(teacher_folder)
    made = source(model, texts=["кот"] * 300)  # of 16 such lines often none has a hidden word
    short = compare(made, running(made.model), False)
    assert (short["agreement"], short["largest_difference"]) == (1, 0) and short["exported"] == short["pytorch"]
    made = source(model)
    louder = compare(made, running(made.model, lambda inputs, outputs: [outputs[0] + 0.5]), False)
    assert louder["largest_difference"] == pytest.approx(0.5, rel=1e-4) and louder["agreement"] == 1
    wrong = compare(made, blind(made.model), False)
    assert wrong["largest_difference"] > 0.1 and wrong["agreement"] < 1
    assert wrong["pytorch"] == louder["pytorch"] != wrong["exported"]


@pytest.mark.parametrize(
    ("head", "count"),  # of choices, of 16, 16, and 8 lines the likeliest
    [("SequenceClassification", 40), ("QuestionAnswering", 80), ("TokenClassification", None), ("MultipleChoice", 3)],
)
def test_lines_of_text(head, count, source, tiny, tokenizer, corpus_lines):
    """Scores of padding are no predictions, and what an exported model has there does not matter; the mask does."""
    made = source(tiny(getattr(hf, f"BertFor{head}"), 70 if "Class" in head else 2), texts=corpus_lines[:40])
    count = count or sum(len(ids) for ids in tokenizer(corpus_lines[:40])["input_ids"])

    def noise_in_padding(inputs, outputs):
        for one in outputs:
            if one.shape[:2] == inputs["input_ids"].shape:
                one[inputs["attention_mask"] == 0] = 1e3
        return outputs

    found, wrong = compare(made, running(made.model, noise_in_padding), True), compare(made, blind(made.model), True)
    assert found["compared"] == f"{count:,} predictions on lines of text"
    assert (found["agreement"], found["largest_difference"]) == (1, 0)
    assert wrong["largest_difference"] > 0.1 and (wrong["agreement"] < 1 or count == 3)


@pytest.mark.parametrize("labels", [1, 2])
def test_labels_that_hold_or_not_each_by_itself(labels, source, tiny, corpus_lines):
    """The largest logit of a row, which stays the largest, is not what such a model predicts."""
    made = source(tiny(hf.BertForSequenceClassification, labels), texts=corpus_lines[:40])
    if labels == 2:
        made.model.config.problem_type = "multi_label_classification"
    found = compare(made, running(made.model, lambda inputs, outputs: [one - one.min() + 1 for one in outputs]), True)
    assert found["compared"] == f"{40 * labels} predictions on lines of text" and found["agreement"] < 1
    made.model.config.thresholds = dict.fromkeys(made.model.config.label2id, 0.999)  # that none reaches
    found = compare(made, running(made.model, lambda inputs, outputs: [one + 0.1 for one in outputs]), True)
    assert found["agreement"] == 1


@pytest.mark.parametrize("name", ["rusentiment", "collection3", "sberquad", "terra", "parus"])
def test_each_kind_of_task_has_its_own_metric(name, source, teacher_folder):
    task = make_task(name)
    model = load_with_head(task.model_class, str(teacher_folder), "model_name_or_path", task.labels)
    made = source(model, {"task": name, "max_length": 48, "recipe": {"data_dir": "demo", "task": name}})
    part = task.encode(rows := task.read("demo")["test"], made.tokenizer, 48)
    trainer = TaskTrainer(made.model, arguments("."), task=task, validation=part, tokenizer=made.tokenizer)
    reported, _ = trainer.measure(part)
    found = compare(made, running(made.model), False)
    assert found["pytorch"] == found["exported"] == {key: reported[key] for key in reported.keys() - {"loss"}}
    assert found["compared"] == f"{len(rows)} predictions on the {task.split} part of {name}"
    assert (found["agreement"], found["largest_difference"]) == (1, 0)
    wrong = compare(made, running(made.model, lambda inputs, outputs: [-one for one in outputs]), False)
    assert wrong["pytorch"] == found["pytorch"] != wrong["exported"] and wrong["agreement"] < 0.6


def test_vectors_find_the_same_lines(source, tiny):
    made = source(tiny(hf.BertForMaskedLM), task="feature-extraction")
    found, wrong = compare(made, running(made.model), True), compare(made, blind(made.model), True)
    assert found["compared"] == "60 nearest lines of text" and found["least_cosine"] == pytest.approx(1, abs=1e-5)
    assert (found["agreement"], found["largest_difference"], found["dimension"]) == (1, 0, SHAPE["hidden_size"])
    assert wrong["largest_difference"] > 0.1 and wrong["agreement"] < 1 and wrong["least_cosine"] < wrong["cosine"] < 1


def test_ones_own_data_have_their_metric_too(source, teacher_folder, tmp_path, caplog):
    """Where they have moved, `data_dir` names their folder."""
    lines = "".join(f"слово {n},{'да' if n % 3 else 'нет'}\n" for n in range(60))
    (tmp_path / "mine.csv").write_text(f"text,label\n{lines}", encoding="utf-8")
    model = hf.BertForSequenceClassification.from_pretrained(teacher_folder, num_labels=2)
    run = {"task": "mine", "set": "classification", "recipe": {"train_file": "data/mine.csv", "metric": "accuracy"}}
    made = source(model, run, data_dir=str(tmp_path))
    found = compare(made, running(made.model), True)
    assert found["compared"] == "6 predictions on the test part of mine" and 0 <= found["pytorch"]["accuracy"] <= 1
    write_json(made.folder / "inputs.json", {"train_file": "of what it held before"})
    with pytest.raises(UserError, match="`train_file` .*mine.csv' has changed since the fine-tuning"):
        compare(made, running(made.model), False)  # texts that were trained on may be in the test part now
    made = source(model, run)
    assert compare(made, running(made.model), True)["compared"] == "60 predictions on lines of text"
    assert "`data_dir` names where it is" in caplog.text


def test_without_a_benchmark_or_its_data(source, tiny):
    """Lines of text do where nobody asked for the benchmark; where somebody did, that is an error."""
    model, absent = tiny(hf.BertForSequenceClassification), "no/such/folder"
    for results in {"task": "terra", "recipe": {"data_dir": absent}}, {"task": "unheard of"}:
        made = source(model, results)
        assert compare(made, running(made.model), True)["compared"] == "60 predictions on lines of text"
        with pytest.raises(UserError, match=absent if "recipe" in results else "`data_dir` cannot be used"):
            compare(source(model, results, data_dir=absent), running(made.model), False)


@pytest.mark.parametrize("texts", [["да", "он идёт домой"], ["да"]])
def test_the_example_has_padding(texts, source, tiny):
    """Without it, a way to export that looks for padding would find that there never is any."""
    samples = samples_of(source(tiny(hf.BertForSequenceClassification), texts=texts))
    assert all(len(one["input_ids"]) == 2 for one in samples)
    assert sorted(samples[0]["attention_mask"].min(1)) == [0, 1]
