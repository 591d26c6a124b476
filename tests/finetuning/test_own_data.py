"""One's own data from end to end: a benchmark's files read as one's own give the benchmark's own figures."""

import gzip
import json
from pathlib import Path
from unittest import mock

import pytest
from huggingface_hub import ModelCard
from transformers import pipeline

from finetuning import finetune
from finetuning.deployed.checkpoint import Checkpoint
from finetuning.formats import squad
from finetuning.sets import collection3, rusentiment
from finetuning.trainer import TaskTrainer
from tests.finetuning.known import entities, results_of, same_weights

SHOWN = {"test_confusion.md", "test_confusion.png", "test_mistakes.csv", "test_predictions.csv"}


@pytest.fixture(scope="session")
def own(fine_tune):
    """A function that fine-tunes on one's own files."""

    def run(name, output, **keys):
        return fine_tune(name, output, **dict(data_dir=None, weight_decay=0.01, early_stopping_patience=5) | keys)

    return run


@pytest.fixture(scope="session")
def posts(own, benchmarks, tmp_path_factory):
    """A run on RuSentiment's files as one's own."""
    folder, data = tmp_path_factory.mktemp("posts"), benchmarks / "rusentiment"
    keys = dict(train_file=data / "rusentiment_random_posts.csv", test_file=data / "rusentiment_test.csv")
    own("classification", folder, labels=list(rusentiment.LABELS), metric="f1_weighted", **keys)
    return folder


def test_a_benchmark_as_ones_own_file(posts, fine_tune, tmp_path):
    theirs, results = fine_tune("rusentiment", tmp_path, weight_decay=0.01), results_of(posts)
    assert same_weights(posts, tmp_path)
    names = [f"{part}_{name}" for part in ("validation", "test") for name in ("f1_weighted", "accuracy", "loss")]
    assert all(results[name] == theirs[name] for name in names)
    assert results["task"] == "rusentiment_random_posts" and {path.name for path in posts.iterdir()} >= SHOWN
    assert set(pipeline("text-classification", model=str(posts)).model.config.label2id) == set(rusentiment.LABELS)


def test_collection3_as_spans_in_json(own, fine_tune, benchmarks, tmp_path):
    files = {}
    for part, rows in collection3.read(str(benchmarks / "collection3")).items():
        lines = [
            {"text": row["text"], "entities": [one[1:3] + one[:1] for one in entities(row, row["tags"])]}
            for row in rows
        ]
        files[f"{part}_file"] = tmp_path / f"{part}.jsonl"
        files[f"{part}_file"].write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = dict(labels=["PER", "ORG", "LOC"], weight_decay=1e-6, max_grad_norm=1.0, early_stopping_patience=0)
    results = own("tagging", tmp_path / "own", **files, **options)
    theirs = fine_tune("collection3", tmp_path / "theirs", early_stopping_patience=0)
    assert same_weights(tmp_path / "own", tmp_path / "theirs") and results["test_f1"] == theirs["test_f1"]
    assert {"PER_f1", "ORG_f1"} <= {name.removeprefix("test_") for name in results}
    assert results["task"] == tmp_path.name and (tmp_path / "own" / "test_mistakes.csv").stat().st_size > 100


def test_without_a_test_file_a_part_is_set_aside(own, corpus_lines, tmp_path):
    """Repeats, contradictions, and nothing on two sides; the card says how the test part came about."""
    lines = [{"text": f"{line} {n}", "label": n % 3} for n, line in enumerate(corpus_lines[:90])]
    lines += [lines[0], lines[1], lines[2] | {"label": 9}]
    packed = gzip.compress("".join(json.dumps(line) + "\n" for line in lines).encode())
    (tmp_path / "train.jsonl.gz").write_bytes(packed)
    results = own("classification", tmp_path / "out", train_file=tmp_path / "train.jsonl.gz", max_steps=2)
    assert results["left_out"] == {"in_test": 0, "repeated": 2, "conflicting": 2}
    assert results["examples"] == {"train": 72, "validation": 8, "test": 9} and results["task"] == tmp_path.name
    said = [json.loads(line) for line in Path(tmp_path, "out", "test_predictions.jsonl").open(encoding="utf-8")]
    assert set(said[0]["scores"]) == {"0", "1", "2"} and len({one["id"] for one in said}) == 9
    card = ModelCard.load(tmp_path / "out" / "README.md")
    assert "The test part is a tenth of the training file" in card.text and "benchmark's own texts" not in card.text


def test_several_labels_have_thresholds_that_the_validation_part_chose(own, corpus_lines, tmp_path, capsys):
    """What predicts, and the card's own code, find the labels that the run has predicted."""
    lines = [f"{line};{'|'.join(one for one in 'аеи' if one in line)}\n" for line in corpus_lines[:200]]
    (tmp_path / "letters.csv").write_text("text;letters\n" + "".join(lines), encoding="utf-8")
    keys = dict(train_file=tmp_path / "letters.csv", label_column="letters", label_separator="|", num_train_epochs=1)
    results = own("classification", tmp_path / "out", hub_model_id=str(tmp_path / "out"), **keys)
    config = json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))
    assert config["thresholds"] == results["thresholds"] and set(results["thresholds"]) == set("аеи")
    assert config["texts_at_once"] == 1
    said = [json.loads(line) for line in Path(tmp_path, "out", "test_predictions.jsonl").open(encoding="utf-8")]
    rows = {str(n): line.split(";")[0] for n, line in enumerate(lines, start=1)}
    code = ModelCard.load(tmp_path / "out" / "README.md").text.split("```python")[1].split("```")[0]
    answers = Checkpoint(str(tmp_path / "out")).batch([(rows[one["id"]],) for one in said])
    assert [set(answer["labels"]) for answer in answers] == [set(one["prediction"]) for one in said]
    for one in said[:3]:
        capsys.readouterr()
        exec(code.replace("Кошка живёт в доме у реки.", rows[one["id"]]), {})
        assert set(eval(capsys.readouterr().out)) == set(one["prediction"])


def test_the_best_of_several_learning_rates(own, posts, benchmarks, tmp_path, monkeypatch, refused):
    """It is chosen by validation, here by the loss, and stands where one run would."""
    data = benchmarks / "rusentiment"
    keys = dict(train_file=data / "rusentiment_random_posts.csv", test_file=data / "rusentiment_test.csv")
    keys |= dict(labels=list(rusentiment.LABELS), metric_for_best_model="loss", learning_rates=["1e-6", "3e-2"])
    results = own("classification", tmp_path, **keys)
    assert results["recipe"]["learning_rate"] == 0.03 and "`loss`" in results["chosen_by"]
    assert results["recipe"]["output_dir"] == str(tmp_path)
    assert results["learning_rates"]["0.03"] == results["validation_loss"] < results["learning_rates"]["1e-06"]
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in posts.iterdir()}
    assert "So was the learning rate: 1e-06 had" in (tmp_path / "README.md").read_text(encoding="utf-8")
    monkeypatch.setattr(TaskTrainer, "train", lambda *args, **keys: 1 / 0)
    (tmp_path / "rate-0.03").mkdir()  # a kill before the end has left it
    assert own("classification", tmp_path, resume_from_checkpoint=True, **keys) == results
    assert not (tmp_path / "rate-0.03").exists()
    other = keys | dict(data_dir=None, learning_rates=["1e-6", "3e-3"])
    assert "are not those of the run" in refused("classification", tmp_path, resume_from_checkpoint=True, **other)
    assert "holds a finished run" in refused("classification", tmp_path, **other)
    (tmp_path / "new" / "rate-0.5").mkdir(parents=True)
    keys["data_dir"] = None
    assert "has rate-0.5: repeat its `learning_rates`" in refused("classification", tmp_path / "new", **keys)


def test_of_rates_with_equal_scores_the_lower_loss_decides(fine_tune, tmp_path, monkeypatch, caplog):
    def measure(trainer, part, measure=TaskTrainer.measure):
        scores, predictions = measure(trainer, part)
        return scores | {"f1": 0.5, "loss": trainer.args.learning_rate}, predictions

    monkeypatch.setattr(TaskTrainer, "measure", measure)
    prepared = mock.Mock(side_effect=finetune.prepare)
    monkeypatch.setattr(finetune, "prepare", prepared)
    results = fine_tune("paraphraser", tmp_path, learning_rates=["3e-3", "1e-3", "2e-3"], max_steps=1)
    assert prepared.call_count == 1, "a task teacher labels the texts once"
    assert results["recipe"]["learning_rate"] == 1e-3
    assert "0.002: 0.5000; 0.001 is taken, whose loss is the lowest of equal ones" in caplog.text
    assert "learning rate, of equal ones by the loss: 0.003" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_a_rate_that_diverges_is_left_out(fine_tune, tmp_path, refused):
    results = fine_tune("paraphraser", tmp_path / "found", learning_rates=["1e-3", "1e38"], max_steps=3)
    assert results["learning_rates"]["1e+38"] is None and results["recipe"]["learning_rate"] == 1e-3
    assert "1e+38 diverged" in (tmp_path / "found" / "README.md").read_text(encoding="utf-8")
    message = refused("paraphraser", tmp_path / "lost", learning_rates=["1e38", "2e38"], max_steps=3)
    assert "`learning_rates`: the loss is not finite with any of 1e+38, 2e+38" in message


def test_a_search_that_was_cut_short_while_it_copied_goes_on(fine_tune, tmp_path, monkeypatch, refused):
    def cut_short(source, target, copy=finetune.copy_run):
        copy(source, target)
        raise KeyboardInterrupt

    keys = dict(learning_rates=["2e-3", "1e-3"], max_steps=1)
    with monkeypatch.context() as patch, pytest.raises((KeyboardInterrupt, SystemExit)):
        patch.setattr(finetune, "copy_run", cut_short)
        fine_tune("paraphraser", tmp_path, **keys)
    assert "holds an unfinished run: continue it" in refused("paraphraser", tmp_path, **keys)
    monkeypatch.setattr(TaskTrainer, "train", lambda *args, **keys: 1 / 0)
    results = fine_tune("paraphraser", tmp_path, resume_from_checkpoint=True, **keys)
    assert set(results["learning_rates"]) == {"0.002", "0.001"} and not list(tmp_path.glob("rate-*"))


def test_rates_of_several_seeds_are_not_forgotten(fine_tune, tmp_path, monkeypatch):
    """However often the run is resumed."""
    keys = dict(seeds=[1, 2], learning_rates=["2e-3", "1e-6"], max_steps=1, resume_from_checkpoint=True)
    results = fine_tune("paraphraser", tmp_path, **keys)
    assert len(results["learning_rates"]) == 2
    monkeypatch.setattr(TaskTrainer, "train", lambda *args, **keys: 1 / 0)
    for _ in range(2):
        assert fine_tune("paraphraser", tmp_path, **keys) == results == results_of(tmp_path)


def test_a_first_look_at_some_examples(fine_tune, tmp_path):
    results = fine_tune("collection3", tmp_path, max_train_samples=20, max_steps=1, learning_rates=[])
    assert results["examples"]["train"] == 20 < results["examples"]["validation"] + results["examples"]["test"]
    assert results["recipe"]["max_train_samples"] == 20 and "learning_rates" not in results


def test_questions_of_ones_own(own, benchmarks, tmp_path):
    file = benchmarks / "sberquad" / "train-v1.1.json"
    results = own("sberquad", tmp_path, train_file=file, max_steps=2)
    assert results["task"] == "train-v1" and results["set_aside"] and results["split"] == "test"
    said = json.loads((tmp_path / "test_predictions.json").read_text(encoding="utf-8"))
    assert len(said) == results["examples"]["test"] > 0


def test_questions_without_an_answer(own, benchmarks, tmp_path, capsys):
    """In lines of flat rows, as SQuAD 2.0 has them on the Hub. The saved model may answer nothing, as the run did."""
    rows = squad.read_file(benchmarks / "sberquad" / "train-v1.1.json")[:60]
    for n, row in enumerate(rows):
        answers = [] if n % 3 else row["answers"]
        row["answers"] = {"text": [one["text"] for one in answers], "answer_start": [one["start"] for one in answers]}
    file, out = tmp_path / "rows.jsonl", tmp_path / "out"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    results = own("sberquad", out, train_file=file, num_train_epochs=3, hub_model_id=str(out))
    said = json.loads((out / "test_predictions.json").read_text(encoding="utf-8"))
    assert set(said.values()) == {""} and 50 < results["test_exact_match"] < 100
    row = next(row for row in rows if row["id"] in said)
    assert Checkpoint(str(out))(row["question"], row["context"])["answer"] == ""
    code = ModelCard.load(out / "README.md").text.split("```python")[1].split("```")[0]
    capsys.readouterr()
    exec(code, {})
    assert capsys.readouterr().out == "\n"


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "name the data once: by `train_file`, or by `data_dir`"),
        ({"train_file": "absent.csv"}, "`train_file` 'absent.csv' does not exist"),
        ({"train_file": __file__, "test_file": __file__}, "must be different files"),
        ({"data_dir": "demo", "test_file": __file__}, "`test_file` goes with `train_file`"),
        ({"train_file": __file__}, "name a file that ends in .txt, .jsonl, .csv, .tsv"),
        ({"data_dir": "demo", "learning_rates": [0]}, "`learning_rates` must be above 0"),
        ({"data_dir": "demo", "unlabelled_file": __file__}, "`unlabelled_file` have no effect without `task_teacher`"),
        ({"train_file": __file__, "labels": ["a", "a"]}, "`labels` are two different ones at least"),
    ],
)
def test_keys_that_are_refused(refused, tmp_path, keys, sentence):
    assert sentence in refused("classification", **{"data_dir": None} | keys) and not (tmp_path / "out").exists()
