"""Model cards: every figure is that of a result file, and the Hub can read the top."""

import itertools
import random
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import TrainingArguments

from distillation.config.arguments import MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.config.corpus import DataArguments
from distillation.hub.card import model_card
from distillation.runs.files import METRICS, recipe_of
from tests.traceable import leaves, untraceable

CONFIG = {"n_layers": 2, "dim": 312, "n_heads": 12, "vocab_size": 4987, "model_max_length": 509}
BASE = {"pipeline_tag": "fill-mask", "dataset": None, "language": "ru", "license": "mit", "base_model": None}
BASE |= {"versions": {"torch": "2.13.0"}, "device": "CPU, 2 threads", "processes": 1}
# Of a model fine-tuned on a task.
OWN = BASE | {"task": "letters", "metric": "f1_macro", "test_f1_macro": 0.4321, "validation_f1_macro": 0.5432}
OWN |= {"model": "/x/student", "examples": {"validation": 11, "test": 22}, "chosen_by": "`f1_macro`", "steps": 3}
OWN |= {"parameters": 1234, "model_bytes": 5678, "train_seconds": 2.0, "dataset": "someone/letters", "seed": 1}
ROLES = {"teacher": "teacher", "student_before": "this model before training", "student": "this model"}
LOSS_TERMS = ("kl", "mlm", "cosine", "attention")
KINDS = ("text-classification", "token-classification", "question-answering", "multiple-choice")
SIZES = {"this model": 3_812_345, "teacher": 91_234_567}


@pytest.fixture(scope="module")
def results():
    """Results of a distillation whose figures are random, so that none is right by chance."""
    draw = random.Random(7)
    arguments = (ModelArguments("/home/me/teacher"), DataArguments(), MaskingArguments(), ObjectiveArguments())
    found = BASE | {"recipe": recipe_of(arguments, TrainingArguments("out", use_cpu=True, learning_rate=3.7e-4))}
    found |= {f"{role}_heldout_{metric}": draw.random() for role in ROLES for metric in METRICS}
    found |= {f"{role}_heldout_masked_words": 8311 for role in ROLES}
    found |= {f"eval_{term}": draw.random() for term in LOSS_TERMS}
    found |= {"parameters": SIZES["this model"], "teacher_parameters": SIZES["teacher"], "model_bytes": 15_876_543}
    return found | {"steps": 4321, "train_seconds": 8765.4, "train_tokens_per_second": 54321.9}


@pytest.fixture(scope="module")
def measured():
    """Scores, speed, and an exported form of the same kind."""
    draw = random.Random(8)
    scores, speed = [], []
    for model, task, metric in (
        ("this model", "letters", "f1_macro"),
        ("teacher", "letters", "f1_macro"),
        ("this model", "names", "accuracy"),
    ):
        test = {name: draw.random() for name in (metric, f"{metric}_std", "PER_f1", "brand_f1")}
        scores.append({"model": model, "task": task, "metric": metric, "seeds": [1, 2], "test": test})
    for model, backend in itertools.product(SIZES, ("torch", "onnx-int8")):
        row = {"head": "masked-lm", "device": "cpu", "batch_size": 3, "sequence_length": 77, "hardware": "cpu Some 9"}
        row |= {"milliseconds": 100 * draw.random(), "mib": 50 * draw.random(), "backend": backend}
        speed.append(row | {"model": model, "parameters": SIZES[model]})
    exported = {"file": "model_int8.onnx", "backend": "onnx-int8", "bytes": {"model.onnx": 3_987_654}}
    exported |= {"agreement": draw.random(), "largest_difference": draw.random(), "compared": "619 hidden tokens"}
    return {"scores": scores, "speed": speed, "exported": exported}


def test_every_number_is_one_of_the_results(results, measured):
    ratios = [results["teacher_parameters"] / results["parameters"]]
    ratios += [measured["speed"][2]["milliseconds"] / row["milliseconds"] for row in measured["speed"]]
    known = [*leaves(results), *leaves(measured), *leaves(CONFIG), *ratios]
    text = model_card("me/tiny", results, CONFIG, measured).split("\n---\n", 1)[1].split("## Citation")[0]
    text = re.sub(r"```.*?```|arXiv [\d.]+", "", text, flags=re.S)
    assert len(re.findall(r"\d+\.\d+", text)) >= 40
    assert untraceable(text, known) == []
    assert untraceable("13.5791 of 2,468,013", known) == ["13.5791", "2,468,013"]


def test_each_number_stands_where_it_belongs(results, measured):
    """A row that the model which speeds are compared with lacks would be compared with itself, and look slow."""
    scores, speed = measured["scores"], measured["speed"]
    text = model_card("me/tiny", results, CONFIG, measured | {"speed": [*speed, speed[0] | {"sequence_length": 78}]})
    for role, name in ROLES.items():
        loss, accuracy = (results[f"{role}_heldout_{metric}"] for metric in ("loss", "masked_word_accuracy"))
        assert re.search(rf"\| {name} \| {loss:.3f} \|.*\| {100 * accuracy:.1f} % \|", text)
    cells = [f"{figures[0]:.4f} ± {figures[1]:.4f}" for figures in (list(one["test"].values()) for one in scores)]
    assert "| task | metric | this model | teacher |" in text and f"| names | accuracy | {cells[2]} |  |" in text
    assert f"| letters | f1_macro | {cells[0]} | {cells[1]} |" in text
    for row in speed:
        cells = f"{row['milliseconds']:.2f} | {speed[2]['milliseconds'] / row['milliseconds']:.1f} | {row['mib']:.2f}"
        assert f"| {row['model']} | masked-lm | {row['backend']} | 3 x 77 | {cells} |" in text
    assert f"| 3 x 78 | {speed[0]['milliseconds']:.2f} |  | " in text and "relative to the teacher in PyTorch" in text
    for term in LOSS_TERMS:
        assert f" | {results['recipe'][f'weight_{term}']:g} | {results[f'eval_{term}']:.4f} |" in text


def test_a_run_that_learned_from_no_teacher_is_no_distillation(results):
    recipe = results["recipe"] | {"weight_kl": 0, "weight_cosine": 0, "weight_attention": 0}
    card = ModelCard(model_card("me/tiny", results | {"recipe": recipe}, CONFIG, {}))
    assert "distilled" not in card.text.split("##")[0] and "knowledge-distillation" not in card.data.tags
    assert "by masked language modelling alone; it started from weights of `teacher`" in card.text
    trimmed = recipe | {"student_initialisation": "same_shape", "student_vocabulary": "outputs/trimmed"}
    assert "weights of `trimmed`" in model_card("me/tiny", results | {"recipe": trimmed}, CONFIG, {})
    scratch = {name: value for name, value in results.items() if not name.startswith(("student", "teacher_p"))}
    scratch = ModelCard(model_card("me/teacher", scratch | {"recipe": {}, "language": ["ru", "uk"]}, CONFIG, {}))
    assert "trained from scratch" in scratch.text and scratch.data.language == ["ru", "uk"]
    assert "| this model |" in scratch.text and "| teacher |" not in scratch.text


def test_a_model_that_went_on_names_what_it_was(results):
    results = {name: value for name, value in results.items() if not name.startswith(("student", "teacher_p"))}
    before = {f"teacher_before_heldout_{metric}": 9.5 for metric in METRICS}
    results |= before | {"recipe": {"model_name_or_path": "models/older"}, "base_model": None}
    text = model_card("me/teacher", results, CONFIG, {})
    assert "`older`, which went on training" in text and "from scratch" not in text
    assert "| this model before training | 9.500 |" in text


@pytest.mark.parametrize("kind", ["fill-mask", "sentence-similarity"])
def test_a_trimmed_model_was_not_trained(results, kind):
    """Its figures stand below those of the model that it was. Times have no place without a machine."""
    own = {role: {"tokens": 4987, "parameters": 31, "mib": 2.5, "answer_ms": 7.75} for role in ("before", "after")}
    own["before"]["tokens"] = 83_828
    if kind == "fill-mask":
        for figures in own.values():
            figures |= {metric: results[f"student_heldout_{metric}"] for metric in METRICS} | {"masked_words": 8311}
    facts = BASE | own | {"pipeline_tag": kind, "parameters": 31, "model_bytes": 5678}
    card = ModelCard(model_card("me/small", facts | {"recipe": {"model_name_or_path": "models/large"}}, CONFIG, {}))
    assert "`large` with 4,987 of its 83,828 tokens" in card.text and "Nothing was trained" in card.text
    assert "| `large` | 83,828 |" in card.text and "| this model | 4,987 |" in card.text
    assert not any(words in card.text for words in ("7.75", "None", "was trained on", "steps in", "bibtex"))
    if kind == "fill-mask":
        loss = f"{results['student_heldout_loss']:.3f}"
        assert f"| {loss} |" in card.text and len(card.data.eval_results) == 4
    else:
        assert card.data.library_name == "sentence-transformers" and 'SentenceTransformer("me/small")' in card.text
        assert "its task was not measured" in card.text


def test_what_the_hub_reads(results, measured):
    data = ModelCard(model_card("me/tiny", results, CONFIG, measured)).data
    assert (data.language, data.license, data.pipeline_tag) == ("ru", "mit", "fill-mask")
    assert {"knowledge-distillation", "onnx", "transformers.js"} < {*data.tags} and data.metrics == [
        "accuracy",
        "f1",
        "loss",
    ]
    found = {(one.dataset_name, one.metric_name): one for one in data.eval_results}
    assert found["held-out text", "hidden words"].metric_value == results["student_heldout_masked_word_accuracy"]
    score = found["letters", "f1_macro, fine-tuned, mean of 2 seeds"]
    assert score.metric_type == "f1" and score.metric_value == measured["scores"][0]["test"]["f1_macro"]
    assert len(found) == 4 + 2, "no figures of single classes, and none of the teacher"


def test_the_recipe_repeats_the_run_and_what_is_not_known_is_left_out(results):
    """As YAML that `--config` takes, with every key that decides the weights, and no folder of this machine."""
    text = model_card("tiny", results, CONFIG, {})
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, flags=re.S).group(1))
    assert recipe == results["recipe"] | {"teacher_name_or_path": "teacher"} and "distilled from `teacher`" in text
    assert not any(words in text for words in ("## Tasks", "## Speed", "onnx", "None", "{{", "{%", "/home/me"))
    assert "`someone/teacher`" in model_card("tiny", results | {"base_model": "someone/teacher"}, CONFIG, {})
    assert "2 layers of" in text and "1 layer of" in model_card("tiny", results, CONFIG | {"n_layers": 1}, {})


@pytest.mark.parametrize("texts", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_fine_tuned_model(kind, texts):
    results = OWN | {"pipeline_tag": kind, "texts": texts, "recipe": {}}
    card = ModelCard(model_card("me/tiny", results, {}, {}))
    assert "| f1_macro | 0.5432 | 0.4321 |" in card.text and "`student` fine-tuned on letters: 1,234" in card.text
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_type, result.dataset_split) == (0.4321, "someone/letters", "test")
    code = re.search(r"```python\n(.*?)```", card.text, flags=re.S).group(1)
    compile(code, "card", "exec")
    model = "AutoModelFor" + kind.title().replace("-", "") + ".from_pretrained("
    assert f'pipeline("{kind}", model="me/tiny"' in code or f'{model}"me/tiny")' in code
    assert ("text_pair" in code) == (kind == "text-classification" and texts == 2)
    assert ("aggregation_strategy" in code) == (kind == "token-classification")
    text = model_card("x", results | {"recipe": {"random_weights": True}}, {"id2label": {"0": "а", "1": "b"}}, {})
    assert ("Its labels are `а`, `b`." in text) == (kind in ("text-classification", "token-classification"))
    assert "With the shape of `student` and random first weights" in text


def test_scores_on_demo_data_are_none_of_the_benchmark(results, measured):
    """The Hub would rank them beside those that are. A task says what is per cent."""
    demo = {"demo": True, "split": "validation"}
    scores = [one | demo | {"per_cent": one["task"] == "names"} for one in measured["scores"]]
    chance = {"model": "chance", "task": "letters", "metric": "f1_macro", "seeds": [], "test": {"f1_macro": 0.125}}
    card = ModelCard(model_card("me/tiny", results, CONFIG, {"scores": [chance, *scores]}))
    found = {one.dataset_name: one for one in card.data.eval_results}
    assert found["letters (demo data)"].dataset_split == "validation" and "letters" not in found
    assert "| letters (demo data) | f1_macro |" in card.text and "| 0.1250 |" in card.text
    assert "| names (demo data) | accuracy, % |" in card.text
