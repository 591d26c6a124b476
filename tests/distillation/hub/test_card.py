"""Model cards: every figure is that of a result file, and the Hub can read the top."""

import random
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import TrainingArguments

from distillation.config.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.hub.card import model_card
from distillation.runs.files import METRICS, recipe_of
from tests.traceable import leaves, untraceable

CONFIG = {"n_layers": 2, "dim": 312, "n_heads": 12, "vocab_size": 4987, "model_max_length": 509}
BASE = {"pipeline_tag": "fill-mask", "dataset": None, "language": "ru", "license": "mit", "base_model": None}
BASE |= {"versions": {"torch": "2.13.0"}, "device": "CPU, 2 threads", "processes": 1}
# Of a model fine-tuned on a task.
OWN = {"task": "letters", "metric": "f1_macro", "test_f1_macro": 0.4321, "validation_f1_macro": 0.5432, "seed": 1}
OWN |= {"model": "/x/student", "examples": {"validation": 11, "test": 22}, "chosen_by": "`f1_macro`", "steps": 3}
OWN |= {"parameters": 1234, "model_bytes": 5678, "train_seconds": 2.0, "recipe": {"learning_rate": 0.1}}
OWN |= {"dataset": "someone/letters", "pipeline_tag": "text-classification", "texts": 1}
ROLES = {"teacher": "teacher", "student_before": "this model before training", "student": "this model"}
LOSS_TERMS = ("kl", "mlm", "cosine", "attention")


@pytest.fixture(scope="module")
def results():
    """Results of a distillation whose figures are random, so that none is right by chance."""
    draw = random.Random(7)
    arguments = (ModelArguments("/home/me/teacher"), DataArguments(), MaskingArguments(), ObjectiveArguments())
    found = BASE | {"recipe": recipe_of(arguments, TrainingArguments("out", use_cpu=True, learning_rate=3.7e-4))}
    for role in ROLES:
        found |= {f"{role}_heldout_{metric}": draw.random() for metric in METRICS}
        found[f"{role}_heldout_masked_words"] = 8311
    found |= {f"eval_{term}": draw.random() for term in LOSS_TERMS}
    found |= {"parameters": 3_812_345, "teacher_parameters": 91_234_567, "model_bytes": 15_876_543}
    return found | {"steps": 4321, "train_seconds": 8765.4, "train_tokens_per_second": 54321.9}


@pytest.fixture(scope="module")
def measured():
    """Scores, speed, and an exported form of the same kind."""
    draw = random.Random(8)
    rows = (
        ("letters", "f1_macro", "this model"),
        ("letters", "f1_macro", "teacher"),
        ("names", "accuracy", "this model"),
    )
    scores = [
        {"model": model, "task": task, "metric": metric, "seeds": [1, 2], "pipeline_tag": "text-classification"}
        | {"test": {metric: draw.random(), f"{metric}_std": draw.random(), "PER_f1": draw.random()}, "dataset": None}
        for task, metric, model in rows
    ]  # fmt: skip
    setting = {"head": "masked-lm", "device": "cpu", "batch_size": 3, "sequence_length": 77, "hardware": "cpu Some 9"}
    speed = [
        setting | {"model": model, "parameters": parameters, "backend": backend}
        for model, parameters in (("this model", 3_812_345), ("teacher", 91_234_567))
        for backend in ("torch", "onnx-int8")
    ]
    speed = [row | {"milliseconds": 100 * draw.random(), "mib": 50 * draw.random()} for row in speed]
    exported = {"file": "model_int8.onnx", "backend": "onnx-int8", "bytes": {"model.onnx": 3_987_654}}
    exported |= {"agreement": draw.random(), "largest_difference": draw.random(), "compared": "619 hidden tokens"}
    return {"scores": scores, "speed": speed, "exported": exported}


def tables(card):
    """The rows of each table by its section; a row as its cells by the heads of the columns."""
    found = {}
    for section in str(card).split("\n## ")[1:]:
        lines = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
        heads, *rows = [[cell.strip() for cell in line] for line in lines] or [[]]
        found[section.splitlines()[0]] = [dict(zip(heads, row, strict=False)) for row in rows[1:]]
    return found


def test_every_number_is_one_of_the_results(results, measured):
    slowest = next(row for row in measured["speed"] if (row["model"], row["backend"]) == ("teacher", "torch"))
    ratios = [results["teacher_parameters"] / results["parameters"]]
    ratios += [slowest["milliseconds"] / row["milliseconds"] for row in measured["speed"]]
    known = [*leaves(results), *leaves(measured), *leaves(CONFIG), *ratios]
    text = model_card("me/tiny", results, CONFIG, measured).split("\n---\n", 1)[1].split("## Citation")[0]
    text = re.sub(r"```.*?```|arXiv [\d.]+", "", text, flags=re.S)
    assert len(re.findall(r"\d+\.\d+", text)) >= 40
    assert untraceable(text, known) == []
    assert untraceable("13.5791 of 2,468,013", known) == ["13.5791", "2,468,013"]


def test_each_number_stands_where_it_belongs(results, measured):
    """A row that the model which speeds are compared with lacks would be compared with itself, and look slow."""
    longer = [row | {"sequence_length": 78} for row in measured["speed"] if row["model"] == "this model"]
    text = model_card("me/tiny", results, CONFIG, measured | {"speed": measured["speed"] + longer})
    found = tables(text)
    for (role, name), row in zip(ROLES.items(), found["Held-out text"], strict=True):
        assert (row["held-out text"], row["loss"]) == (name, f"{results[f'{role}_heldout_loss']:.3f}")
        assert row["word accuracy"] == f"{100 * results[f'{role}_heldout_masked_word_accuracy']:.1f} %"
    letters, names = found["Tasks"]
    for score in measured["scores"]:
        cell = (letters if score["task"] == "letters" else names)[score["model"]]
        assert cell == f"{score['test'][score['metric']]:.4f} ± {score['test'][score['metric'] + '_std']:.4f}"
    assert list(letters)[2:] == ["this model", "teacher"]
    speed = {(row["model"], row["backend"], row["batch x length"]): row for row in found["Speed"]}
    base = next(row for row in measured["speed"] if (row["model"], row["backend"]) == ("teacher", "torch"))
    for row in measured["speed"]:
        cells = speed[row["model"], row["backend"], "3 x 77"]
        assert cells["times as fast"] == f"{base['milliseconds'] / row['milliseconds']:.1f}"
        assert cells["ms"] == f"{row['milliseconds']:.2f}" and cells["MiB on disk"] == f"{row['mib']:.2f}"
    assert speed["this model", "torch", "3 x 78"]["times as fast"] == "" and "as the teacher" in text
    for row, term in zip(found["How it was made"], LOSS_TERMS, strict=True):
        assert row["on held-out text"] == f"{results[f'eval_{term}']:.4f}"


def test_a_run_that_learned_from_no_teacher_is_no_distillation(results):
    recipe = results["recipe"] | {"weight_kl": 0, "weight_cosine": 0, "weight_attention": 0}
    card = ModelCard(model_card("me/tiny", results | {"recipe": recipe}, CONFIG, {}))
    assert "distilled" not in card.text.split("##")[0] and "knowledge-distillation" not in card.data.tags
    assert "as a masked LM alone, its first weights made of `teacher`" in card.text
    scratch = {name: value for name, value in results.items() if not name.startswith(("student", "teacher_p"))}
    scratch = ModelCard(model_card("me/teacher", scratch | {"recipe": {}, "language": ["ru", "uk"]}, CONFIG, {}))
    assert "trained from scratch" in scratch.text and scratch.data.language == ["ru", "uk"]
    assert tables(scratch)["Held-out text"][0]["held-out text"] == "this model"


def test_what_the_hub_reads(results, measured):
    data = ModelCard(model_card("me/tiny", results, CONFIG, measured)).data
    assert (data.language, data.license, data.pipeline_tag) == ("ru", "mit", "fill-mask")
    assert "knowledge-distillation" in data.tags and data.base_model is None
    assert data.metrics == ["accuracy", "f1", "loss"] and data.model_name == "tiny"
    found = {(one.dataset_name, one.metric_name): one for one in data.eval_results}
    assert found["held-out text", "hidden words"].metric_value == results["student_heldout_masked_word_accuracy"]
    score = found["letters", "f1_macro, fine-tuned, mean of 2 seeds"]
    assert score.metric_type == "f1" and score.metric_value == measured["scores"][0]["test"]["f1_macro"]
    assert not any("PER" in name for _, name in found), "figures of single classes"
    assert len(found) == 4 + 2, "the teacher's scores are not this model's"


def test_the_recipe_repeats_the_run_and_what_is_not_known_is_left_out(results):
    """As YAML that `--config` takes, with every key that decides the weights, and no folder of this machine."""
    text = model_card("tiny", results, CONFIG, {})
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, flags=re.S).group(1))
    assert recipe == results["recipe"] | {"teacher_name_or_path": "teacher"}
    assert recipe["learning_rate"] == 3.7e-4 and "distilled from `teacher`" in text
    assert not any(words in text for words in ("## Tasks", "## Speed", "onnx", "None", "{{", "{%", "/home/me"))
    assert "`someone/teacher`" in model_card("tiny", results | {"base_model": "someone/teacher"}, CONFIG, {})


@pytest.mark.parametrize(
    ("tag", "texts", "has"),
    [
        ("text-classification", 1, 'ask("Кошка'),
        ("text-classification", 2, "text_pair"),
        ("token-classification", 1, "aggregation_strategy"),
        ("question-answering", 2, "AutoModelForQuestionAnswering"),
        ("multiple-choice", 1, "AutoModelForMultipleChoice"),
    ],
)
def test_a_fine_tuned_model(tag, texts, has):
    card = ModelCard(model_card("me/tiny", BASE | OWN | {"pipeline_tag": tag, "texts": texts}, {}, {}))
    assert "| f1_macro | 0.5432 | 0.4321 |" in card.text and "`student` fine-tuned on letters: 1,234" in card.text
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_type, result.dataset_split) == (0.4321, "someone/letters", "test")
    code = re.search(r"```python\n(.*?)```", card.text, flags=re.S).group(1)
    compile(code, "card", "exec")
    assert has in code and '"me/tiny"' in code
    text = model_card("x", BASE | OWN | {"recipe": {"random_weights": True}, "per_cent": True}, {}, {})
    assert "With the shape of `student` and random first weights" in text and "Scores are per cent" in text


def test_scores_on_demo_data_are_none_of_the_benchmark_and_a_task_says_what_is_per_cent(results, measured):
    """The Hub would rank them beside those that are."""
    demo = {"demo": True, "split": "validation"}
    scores = [one | demo | {"per_cent": one["task"] == "names"} for one in measured["scores"]]
    chance = {"model": "chance", "task": "letters", "metric": "f1_macro", "seeds": [], "test": {"f1_macro": 0.125}}
    card = ModelCard(model_card("me/tiny", results, CONFIG, {"scores": [chance, *scores]}))
    found = {one.dataset_name: one for one in card.data.eval_results}
    assert found["letters (demo data)"].dataset_split == "validation" and "letters" not in found
    rows = [[row.get(head, "") for head in ("task", "metric", "chance")] for row in tables(card)["Tasks"]]
    assert rows == [["letters (demo data)", "f1_macro", "0.1250"], ["names (demo data)", "accuracy, %", ""]]
