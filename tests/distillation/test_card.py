"""Model cards: every figure is that of a result file, and the Hub can read the top."""

import json
import random
import re

import pytest
import yaml
from huggingface_hub import ModelCard
from transformers import TrainingArguments

from distillation.arguments import DataArguments, MaskingArguments, ModelArguments, ObjectiveArguments
from distillation.card import model_card
from distillation.evaluation import METRICS
from distillation.results import recipe_of

CONFIG = {"n_layers": 2, "dim": 312, "n_heads": 12, "vocab_size": 4987, "max_position_embeddings": 509}
BASE = {"pipeline_tag": "fill-mask", "dataset": None, "language": "ru", "license": "mit", "base_model": None}
BASE |= {"versions": {"torch": "2.13.0"}, "device": "CPU, 2 threads", "processes": 1}


def invented():
    """Results of all kinds whose figures are random, so that none is right by chance."""
    draw = random.Random(7)
    arguments = (ModelArguments("/home/me/teacher"), DataArguments(), MaskingArguments(), ObjectiveArguments())
    training = TrainingArguments("out", use_cpu=True, learning_rate=3.7e-4)
    results = BASE | {"recipe": recipe_of(arguments, training)}
    for role in ("teacher", "student_before", "student"):
        results |= {f"{role}_heldout_{metric}": draw.random() for metric in METRICS}
        results[f"{role}_heldout_masked_words"] = 8311
    results |= {f"eval_{term}": draw.random() for term in ("kl", "mlm", "cosine", "attention")}
    results |= {"parameters": 3_812_345, "teacher_parameters": 91_234_567, "model_bytes": 15_876_543}
    results |= {"steps": 4321, "train_seconds": 8765.4, "train_tokens_per_second": 54321.9}
    tasks = [("letters", "f1_macro", ("this model", "teacher")), ("names", "accuracy", ("this model",))]
    scores = [
        {
            "model": model,
            "task": task,
            "metric": metric,
            "seeds": [1, 2],
            "test": {metric: draw.random(), f"{metric}_std": draw.random(), "PER_f1": draw.random()},
            "pipeline_tag": "text-classification",
            "dataset": None,
        }
        for task, metric, models in tasks
        for model in models
    ]
    setting = {"head": "masked-lm", "device": "cpu", "batch_size": 3, "sequence_length": 77, "hardware": "cpu Some 9"}
    speed = [
        setting | {"model": model, "backend": backend, "milliseconds": 100 * draw.random(), "mib": 50 * draw.random()}
        for model in ("this model", "teacher")
        for backend in ("torch", "onnx-int8")
    ]
    exported = {"file": "model_int8.onnx", "backend": "onnx-int8", "bytes": {"model.onnx": 3_987_654}}
    exported |= {"agreement": draw.random(), "largest_difference": draw.random(), "compared": "619 hidden tokens"}
    return results, {"scores": scores, "speed": speed, "exported": exported}


def leaves(value):
    """All numbers in results, also those inside texts."""
    if isinstance(value, dict):
        for item in value.values():
            yield from leaves(item)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item)
    elif isinstance(value, str):
        yield from map(float, re.findall(r"\d+(?:\.\d+)?", value))
    elif isinstance(value, int | float):
        yield float(value)


def untraceable(text, known):
    """The numbers of a text that none of the known ones is rounded, in its own unit, per cent, MiB, or MB, nor the
    ratio of two of one kind."""
    ratios = [a / b for a in known for b in known if b]
    found = []
    for token in re.findall(r"(?<![\w.-])\d[\d,]*(?:\.\d+)?(?!\w)", text):
        digits = len(token.partition(".")[2])
        value, half = float(token.replace(",", "")), 0.5000001 * 10**-digits
        units = [number * unit for number in known for unit in (1, 100, 2**-20, 1e-6)]
        if not any(abs(value - one) <= half for one in units + (ratios if digits == 1 else [])):
            found.append(token)
    return found


def without_blocks(card):
    """The text of a card without its top, its code, and its citation."""
    text = card.split("\n---\n", 1)[1]
    return re.sub(r"```.*?```", "", text.split("## Citation")[0], flags=re.S)


def test_every_number_is_one_of_the_results():
    results, measured = invented()
    known = [*leaves(results), *leaves(measured), *leaves(CONFIG)]
    text = without_blocks(model_card("me/tiny", results, CONFIG, measured))
    assert len(re.findall(r"\d+\.\d+", text)) >= 40
    assert untraceable(text, known) == []
    assert untraceable("13.5791 of 2,468,013", known) == ["13.5791", "2,468,013"]


def test_what_the_hub_reads():
    results, measured = invented()
    data = ModelCard(model_card("me/tiny", results, CONFIG, measured)).data
    assert (data.language, data.license, data.pipeline_tag, data.library_name) == (
        "ru",
        "mit",
        "fill-mask",
        "transformers",
    )
    assert "knowledge-distillation" in data.tags and data.base_model is None
    assert data.metrics == ["accuracy", "f1", "loss"] and data.model_name == "tiny"
    found = {(one.dataset_name, one.metric_name): one for one in data.eval_results}
    assert found["held-out text", "hidden words"].metric_value == results["student_heldout_masked_word_accuracy"]
    score = found["letters", "f1_macro, mean of 2 seeds"]
    assert score.metric_type == "f1" and score.metric_value == measured["scores"][0]["test"]["f1_macro"]
    assert not any("PER" in name for _, name in found), "figures of single classes"
    assert len(found) == 4 + 2, "the teacher's scores are not this model's"


def test_a_teacher_on_the_hub_is_named_and_a_folder_is_not():
    results, measured = invented()
    text = model_card("tiny", results, CONFIG, measured)
    assert "distilled from `teacher`" in text and "/home/me" not in text
    card = ModelCard(model_card("tiny", results | {"base_model": "someone/teacher"}, CONFIG, {}))
    assert card.data.base_model == "someone/teacher" and "`someone/teacher`" in card.text


def test_the_recipe_makes_the_run_again():
    """As YAML that `--config` takes, with every key that decides the weights."""
    results, _ = invented()
    text = model_card("tiny", results, CONFIG, {})
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, flags=re.S).group(1))
    assert recipe == results["recipe"] | {"teacher_name_or_path": "teacher"}
    assert recipe["learning_rate"] == 3.7e-4 and recipe["adam_epsilon"] and recipe["weight_kl"] == 2


def test_what_is_not_known_is_not_told():
    results, _ = invented()
    text = model_card("tiny", results, CONFIG, {})
    for heading in ("## Tasks", "## Speed", "onnx"):
        assert heading not in text
    for heading in ("## How to use", "## Held-out text", "## Limits", "## How it was made", "2205.02340"):
        assert heading in text


@pytest.mark.parametrize("texts", [1, 2])
def test_a_fine_tuned_model(texts):
    own = {"task": "letters", "metric": "f1_macro", "test_f1_macro": 0.4321, "validation_f1_macro": 0.5432}
    own |= {"seed": 1, "model": "/x/student", "examples": {"validation": 11, "test": 22}, "chosen_by": "`f1_macro`"}
    own |= {"parameters": 1234, "model_bytes": 5678, "steps": 3, "train_seconds": 2.0, "texts": texts}
    own |= {"recipe": {"learning_rate": 0.1}, "dataset": "someone/letters", "pipeline_tag": "text-classification"}
    card = ModelCard(model_card("tiny", BASE | own, {}, {}))
    assert "| f1_macro | 0.5432 | 0.4321 |" in card.text and "`student` fine-tuned on letters" in card.text
    (result,) = card.data.eval_results
    assert (result.metric_value, result.dataset_type, result.dataset_split) == (0.4321, "someone/letters", "test")
    assert card.data.datasets == ["someone/letters"] and ("text_pair" in card.text) == (texts == 2)
    json.dumps(card.data.to_dict())
