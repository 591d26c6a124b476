"""Good inputs of every kind, so small that a whole run takes a second or two."""

import json
import shutil
from functools import cache
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from benchmarks.timing.measure import hardware
from distillation.models.loading import save_pretrained
from distillation.runs.files import METRICS
from distillation.vocabularies.wordpiece import train_tokenizer
from finetuning.formats.locate import DEMO_FOLDER
from tests.finetuning.demo_sets import small_demo
from tests.texts import demo_lines

WIDTH, LAYERS, LENGTH = 32, 2, 64
FIGURES = {
    f"{model}_heldout_{metric}": 0.5
    for model in ("teacher", "student_before", "student")
    for metric in (*METRICS, "masked_words")
}
RESULTS = FIGURES | {"parameters": 1000, "teacher_parameters": 9000, "model_bytes": 4000, "steps": 10, "processes": 1}
RESULTS |= {"train_seconds": 1.5, "train_tokens_per_second": 10.0, "device": "CPU", "versions": {"torch": "2"}}
RESULTS |= {"eval_kl": 0.5, "eval_mlm": 0.5, "pipeline_tag": "fill-mask", "dataset": None, "language": "ru"}
RESULTS |= {"license": "mit", "base_model": None}
RESULTS |= {"recipe": {"teacher_name_or_path": "x/teacher", "weight_kl": 2.0, "weight_mlm": 1.0}}


@cache
def corpus_lines() -> tuple[str, ...]:
    return tuple(demo_lines(60))


def make_inputs(folder: Path) -> None:
    """Corpora, checkpoints, the data of every benchmark, and results."""
    lines = demo_lines(400)
    _write(folder / "corpus.txt", "".join(f"{line}\n" for line in corpus_lines()))
    tokenizer = train_tokenizer(lines, vocab_size=300, max_length=LENGTH)
    shape = dict(num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=2 * WIDTH, hidden_size=WIDTH)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=LENGTH, **shape)
    torch.manual_seed(0)
    save_pretrained(BertForMaskedLM(config), tokenizer, folder / "teacher")
    save_pretrained(BertForSequenceClassification(config), tokenizer, folder / "classifier")
    train_tokenizer(lines, vocab_size=200, max_length=LENGTH).save_pretrained(folder / "vocabulary")
    _write(folder / "recipe.yaml", "student_layers: 1\n")
    _write(folder / "shape.yaml", json.dumps(config.to_dict()))
    for path in DEMO_FOLDER.iterdir():
        small_demo(path.name, folder / "data", *((8, 3) if path.name == "russian_superglue" else (40, 12)))
    make_results(folder)


def make_results(folder: Path) -> None:
    """What runs of each stage leave, as far as cards, reports, and tables of scores read it."""
    shutil.copytree(folder / "teacher", folder / "finished")
    _write(folder / "finished" / "README.md", "# student\n")
    for place in ("finished", "results/student"):
        _save(folder / place / "all_results.json", RESULTS)
    log = [{"step": 5, "loss": 3.0, "kl": 1.0}, {"step": 10, "loss": 2.0, "kl": 0.5}, {"step": 10, "eval_kl": 0.6}]
    _save(folder / "results" / "student" / "trainer_state.json", {"log_history": log})
    tuned = {"task": "terra", "metric": "accuracy", "test_accuracy": 0.5, "validation_accuracy": 0.5, "seed": 1}
    tuned |= {"parameters": 1000, "recipe": {"learning_rate": 0.1}, "model": "results/student"}
    _save(folder / "results" / "tuned" / "all_results.json", tuned)
    answer = {"id": 1, "prediction": "entailment", "reference": "entailment", "scores": {"entailment": 1.0}}
    _save(folder / "results" / "tuned" / "test_predictions.jsonl", answer)
    row = {"model": "student", "source": "results/student", "head": "encoder", "backend": "torch", "device": "cpu"}
    row |= {"batch_size": 1, "sequence_length": 8, "parameters": 1000, "seconds": [0.001, 0.002], "mib": 1.0}
    _save(folder / "results" / "timed.json", {"hardware": hardware(torch.device("cpu")), "rows": [row]})


def _save(path: Path, content: object) -> None:
    _write(path, json.dumps(content))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
