"""A fine-tuned model is checked by the metric of its own benchmark, whichever that is."""

import pytest
from datasets import Dataset
from transformers import BertConfig, BertForSequenceClassification, TrainingArguments

from benchmarks.backends.deployment import Source, compare, samples_of
from benchmarks.export import ExportArguments
from distillation.config.errors import UserError
from distillation.models.loading import load_with_head, save_pretrained
from distillation.runs.files import write_json
from finetuning.sets import make_task
from finetuning.splits import Part
from finetuning.trainer import TaskTrainer
from tests.benchmarks.tiny_models import SHAPE, lively, running


@pytest.fixture
def source(tmp_path, held_out, tokenizer):
    """A function: a model, and the results beside it -> a `Source`."""

    def make(model, results=None, **keys):
        save_pretrained(model, tokenizer, tmp_path / "run")
        if results:
            write_json(tmp_path / "run" / "all_results.json", results)
        return Source(ExportArguments(str(tmp_path / "run"), str(tmp_path / "new"), "onnx", str(held_out), **keys))

    return make


@pytest.fixture
def classifier(tokenizer):
    return lively(BertForSequenceClassification, BertConfig(vocab_size=len(tokenizer), **SHAPE))


@pytest.mark.parametrize("name", ["rusentiment", "collection3", "sberquad", "terra", "parus"])
def test_each_kind_of_task_has_its_own_metric(name, source, teacher_folder):
    """Those of Russian SuperGLUE were once checked on lines of text, for no script had their name."""
    task = make_task(name)
    model = load_with_head(task.model_class, str(teacher_folder), "model_name_or_path", task.labels)
    made = source(model, {"task": name, "max_length": 48, "recipe": {"data_dir": "demo", "task": name}})
    found = compare(made, running(made.model), may_use_lines=False)

    part = Part(rows := task.read("demo")["test"], task.encode(rows, made.tokenizer, 48))
    settings = TrainingArguments("unused", use_cpu=True, report_to="none", disable_tqdm=True)
    trainer = TaskTrainer(made.model, settings, task=task, train=None, validation=part, tokenizer=made.tokenizer)
    reported, _ = trainer.measure(part)
    assert found["pytorch"] == found["exported"] == {key: reported[key] for key in reported.keys() - {"loss"}}
    assert task.primary_metric in found["pytorch"]
    assert found["compared"] == f"{len(rows)} predictions on the {task.split} part of {name}"
    assert (found["agreement"], found["largest_difference"]) == (1, 0)

    wrong = compare(made, running(made.model, lambda inputs, outputs: [-one for one in outputs]), may_use_lines=False)
    assert wrong["pytorch"] == found["pytorch"] != wrong["exported"]
    assert wrong["agreement"] < 0.6 and wrong["largest_difference"] > 0


@pytest.mark.parametrize(
    ("results", "refused"),
    [
        ({"task": "terra", "recipe": {"data_dir": "no/such/folder"}}, "no/such/folder"),
        ({"task": "unheard of"}, "`data_dir` is of no use"),
        (None, "`data_dir` is of no use"),
    ],
)
def test_without_a_benchmark_or_its_data(results, refused, source, classifier):
    """Lines of text do where nobody asked for the benchmark; where somebody did, that is an error."""
    made = source(classifier, results)
    assert compare(made, running(made.model), True)["compared"] == "60 predictions on lines of text"
    with pytest.raises(UserError, match=refused):
        compare(source(classifier, results, data_dir="no/such/folder"), running(made.model), False)


@pytest.mark.parametrize("texts", [["да", "он идёт домой"], ["да"], ["да", "да", "да"]])
def test_the_example_has_padding(texts, source, classifier):
    """Without it, a way to export that looks for padding would find that there never is any."""
    made = source(classifier)
    made.lines = Dataset.from_dict({"text": texts})
    samples = samples_of(made)
    assert all(len(one["input_ids"]) == 2 for one in samples)
    assert sorted(samples[0]["attention_mask"].min(1)) == [0, 1]
    made.head = "BertForMultipleChoice"
    assert samples_of(made)[0]["input_ids"].shape[:2] == (2, 2)
