"""Good inputs of every kind, so small that a run takes a second or two."""

import gzip
import json
import shutil
from pathlib import Path

import torch
from datasets import Dataset
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from benchmarks.timing.measure import hardware
from distillation.models.loading import save_pretrained
from distillation.runs.files import METRICS, write_json, write_text
from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer, train_tokenizer
from finetuning.formats.locate import DEMO_FOLDER
from tests.finetuning.board import write_board
from tests.finetuning.demo_sets import small_demo
from tests.texts import demo_lines

WIDTH, LENGTH = 32, 64
MODELS = ("teacher", "student_before", "student")
RESULTS = {f"{model}_heldout_{name}": 0.5 for model in MODELS for name in (*METRICS, "masked_words")}
RESULTS |= {"parameters": 1000, "teacher_parameters": 9000, "model_bytes": 4000, "steps": 10, "processes": 1}
RESULTS |= {"train_seconds": 1.5, "train_tokens_per_second": 10.0, "device": "CPU", "versions": {"torch": "2"}}
RESULTS |= {"eval_kl": 0.5, "eval_mlm": 0.5, "pipeline_tag": "fill-mask", "dataset": None, "language": "ru"}
RESULTS |= {"license": "mit", "base_model": None}
RESULTS |= {"recipe": {"teacher_name_or_path": "x/teacher", "weight_kl": 2.0, "weight_mlm": 1.0}}
TUNED = {"task": "terra", "metric": "accuracy", "test_accuracy": 0.5, "validation_accuracy": 0.5, "seed": 1}
TUNED |= {"parameters": 1000, "recipe": {"learning_rate": 0.1}, "model": "results/student"}
ANSWER = {"id": 1, "prediction": "entailment", "reference": "entailment", "scores": {"entailment": 1.0}}
LOG = [{"step": 5, "loss": 3.0, "kl": 1.0}, {"step": 10, "loss": 2.0, "kl": 0.5}, {"step": 10, "eval_kl": 0.6}]
TIMING = {"model": "student", "source": "results/student", "head": "encoder", "backend": "torch", "device": "cpu"}
TIMING |= {"batch_size": 1, "sequence_length": 8, "parameters": 1000, "seconds": [0.001, 0.002], "mib": 1.0}


def make_inputs(folder: Path) -> None:
    """Write corpora, checkpoints, the data of every benchmark, and results."""
    lines = demo_lines(400)
    text, corpus = "".join(f"{line}\n" for line in lines[:60]), Dataset.from_dict({"text": lines[:60]})
    for path in ("corpus.txt", "corpora/corpus.txt"):
        write_text(folder / path, text)
    write_text(folder / "blank.txt", "\n \n\t\n")
    write_text(folder / "short.txt", "он\n")
    write_text(folder / "latin.txt", "".join(f"the quick brown fox number {n} jumps\n" for n in range(50)))
    build_tokenizer([*SPECIAL_TOKENS, *"abc.,?", "##a"]).save_pretrained(folder / "latin")
    (folder / "corpora" / "corpus.txt.gz").write_bytes(gzip.compress(text.encode()))
    corpus.to_json(folder / "corpora" / "corpus.jsonl", force_ascii=False)
    corpus.to_csv(folder / "corpora" / "corpus.csv")
    corpus.to_parquet(folder / "corpora" / "corpus.parquet")
    tokenizer = train_tokenizer(lines, vocab_size=300)
    shape = dict(num_hidden_layers=2, num_attention_heads=4, intermediate_size=2 * WIDTH, hidden_size=WIDTH)
    config = BertConfig(vocab_size=len(tokenizer), max_position_embeddings=LENGTH, **shape)
    torch.manual_seed(0)
    save_pretrained(BertForMaskedLM(config), tokenizer, folder / "teacher")
    save_pretrained(BertForSequenceClassification(config), tokenizer, folder / "classifier")
    train_tokenizer(lines, vocab_size=200).save_pretrained(folder / "vocabulary")
    write_text(folder / "recipe.yaml", "student_layers: 1\n")
    for path in DEMO_FOLDER.iterdir():
        small_demo(path.name, folder / "data", *((8, 3) if path.name == "russian_superglue" else (40, 12)))
    write_board(folder / "data" / "encodechka")
    table = "".join(f"{line},{'ab'[n % 2]}\n" for n, line in enumerate(lines[:60]))
    write_text(folder / "own" / "mine.csv", f"text,label\n{table.replace(', ', ' ')}")
    # What runs of each stage leave, as far as cards, reports, and tables of scores read it.
    shutil.copytree(folder / "teacher", folder / "finished")
    write_text(folder / "finished" / "README.md", "# student\n")
    results = folder / "results"
    write_json(folder / "finished" / "all_results.json", RESULTS)
    write_json(results / "student" / "all_results.json", RESULTS)
    write_json(results / "student" / "trainer_state.json", {"log_history": LOG})
    write_json(results / "tuned" / "all_results.json", TUNED)
    write_text(results / "tuned" / "test_predictions.jsonl", json.dumps(ANSWER))
    judged = folder / "judged"
    shutil.copytree(results / "tuned", judged / "tasks" / "terra")
    write_json(judged / "held-out" / "books.json", {"model": dict.fromkeys(METRICS, 0.5)})
    forms = {form: {"loss_per_character": 0.5} for form in ("exported", "pytorch")}
    write_json(judged / "deployed" / "export.json", {"parameters": 1000, "bytes": {"model.onnx": 4000}} | forms)
    write_json(judged / "speed.json", {"rows": [TIMING | {"text_cpu_seconds": [0.001, 0.002]}]})
    write_json(results / "timed.json", {"hardware": hardware(torch.device("cpu")), "rows": [TIMING]})
