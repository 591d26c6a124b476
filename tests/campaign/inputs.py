"""Good inputs of every kind, so small that a whole run takes a second or two."""

import json
from pathlib import Path

import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from benchmarks.timing.measure import hardware
from distillation.demo.grammar import generate
from distillation.models.loading import save_pretrained
from distillation.runs.files import METRICS
from distillation.vocabularies.wordpiece import train_tokenizer
from finetuning.formats.locate import DEMO_FOLDER
from tests.campaign.finished import FINISHED, make_finished
from tests.finetuning.demo_sets import small_demo

WIDTH, LAYERS, LENGTH = 32, 2, 64
LINES = 60


def make_inputs(folder: Path) -> None:
    """Corpora, checkpoints, the data of every benchmark, and results."""
    lines = list(generate(400, seed=3))
    _write(folder / "corpus.txt", "".join(f"{line}\n" for line in lines[:LINES]))
    tokenizer = train_tokenizer(lines, vocab_size=300, max_length=LENGTH)
    shape = dict(num_hidden_layers=LAYERS, num_attention_heads=4, intermediate_size=2 * WIDTH, hidden_size=WIDTH)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=LENGTH, **shape)
    torch.manual_seed(0)
    save_pretrained(BertForMaskedLM(config), tokenizer, folder / "teacher")
    save_pretrained(BertForSequenceClassification(config), tokenizer, folder / "classifier")
    train_tokenizer(lines, vocab_size=200, max_length=LENGTH).save_pretrained(folder / "vocabulary")
    _write(folder / "recipe.yaml", "student_layers: 1\n")
    _write(folder / "shape.yaml", json.dumps(config.to_dict()))
    make_finished(folder / "teacher", folder / FINISHED)
    make_data(folder / "data")
    make_results(folder / "results")


def make_data(folder: Path) -> None:
    """The demo's benchmarks, smaller."""
    for path in DEMO_FOLDER.iterdir():
        sizes = (8, 3) if path.name == "russian_superglue" else (40, 12)
        small_demo(path.name, folder, *sizes)


def make_results(folder: Path) -> None:
    """What runs of each stage leave, as far as the report and the table of scores read it."""
    figures = {f"{model}_heldout_{metric}": 0.5 for model in ("teacher", "student") for metric in METRICS}
    recipe = {"teacher_name_or_path": "x/teacher"}
    _save(folder / "student" / "all_results.json", {**figures, "recipe": recipe, "parameters": 1000, "steps": 10})
    log = [{"step": 5, "loss": 3.0, "kl": 1.0}, {"step": 10, "loss": 2.0, "kl": 0.5}, {"step": 10, "eval_kl": 0.6}]
    _save(folder / "student" / "trainer_state.json", {"log_history": log})
    tuned = {"task": "terra", "metric": "f1", "test_f1": 0.5, "parameters": 1000, "recipe": {}}
    _save(folder / "tuned" / "all_results.json", {**tuned, "model": "results/student"})
    row = {"model": "student", "source": "results/student", "head": "encoder", "backend": "torch", "device": "cpu"}
    row |= {"batch_size": 1, "sequence_length": 8, "parameters": 1000, "seconds": [0.001, 0.002], "mib": 1.0}
    _save(folder / "timed.json", {"hardware": hardware(torch.device("cpu")), "rows": [row]})


def _save(path: Path, content: object) -> None:
    _write(path, json.dumps(content))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
