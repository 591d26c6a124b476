"""The tasks from end to end, on small inputs: what runs write, what they select by, how they go on."""

import importlib
import json
import shutil
import signal
import statistics
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback, pipeline

from finetuning import experiment
from finetuning.sets import collection3, make_task, paraphraser, rusentiment
from finetuning.trainer import TaskTrainer

NAMES = ("rusentiment", "paraphraser", "collection3", "sberquad")
METRICS = {
    "rusentiment": {"accuracy", "f1_weighted", "f1_macro"},
    "paraphraser": {"accuracy", "f1"},
    "collection3": {"precision", "recall", "f1", "PER_f1", "ORG_recall", "LOC_precision"},
    "sberquad": {"exact_match", "f1"},
}
# The benchmark's own file of predictions, and the file of the data that it can stand for.
NATIVE = {
    "rusentiment": ("test_predictions.csv", "rusentiment_test.csv", "label"),
    "paraphraser": ("test_predictions.xml", "paraphrases_gold.xml", "label"),
    "collection3": ("test_predictions.txt", "test.txt", "tags"),
}
TASKS = pytest.mark.parametrize("name", NAMES)
COMMON = ["--use_cpu", "true", "--disable_tqdm", "true", "--report_to", "none", "--max_length", "48"]
COMMON += ["--per_device_train_batch_size", "16", "--per_device_eval_batch_size", "32", "--learning_rate", "2e-3"]
MODEL_FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


@pytest.fixture(scope="session")
def fine_tune(teacher_folder, benchmarks):
    """A function that runs a script; its keywords are keys of the recipe. It returns the figures."""

    def run(name, output, model=teacher_folder, data_dir=None, **keys):
        argv = ["--model_name_or_path", str(model), "--data_dir", str(data_dir or benchmarks / name), *COMMON]
        for key, value in {"output_dir": output, "num_train_epochs": 2, **keys}.items():
            argv += [f"--{key}", *(map(str, value) if isinstance(value, list) else [str(value)])]
        importlib.import_module(f"finetuning.run_{name}").main(argv)
        return json.loads(Path(output, "all_results.json").read_text(encoding="utf-8"))

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, fine_tune):
    """The folders of a run on each benchmark."""
    folder = tmp_path_factory.mktemp("finished")
    for name in NAMES:
        fine_tune(name, folder / name)
    return folder


def weights(folder):
    return load_file(Path(folder, "model.safetensors"))


def same_weights(one, other):
    one, other = weights(one), weights(other)
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


def results_of(folder):
    return json.loads((folder / "all_results.json").read_text(encoding="utf-8"))


def figures(results):
    """What has been measured of the model."""
    return {key: value for key, value in results.items() if key.startswith(("validation_", "test_"))}


def predictions_of(folder):
    return [json.loads(line) for line in (folder / "test_predictions.jsonl").read_text(encoding="utf-8").splitlines()]


@TASKS
def test_what_is_promised_is_written(finished, name, teacher_folder):
    """Files, figures, and a card with these figures: one typed by hand, or of another run, would stand on the Hub for
    years."""
    folder, results = finished / name, results_of(finished / name)
    native = NATIVE[name][0] if name in NATIVE else "test_predictions.json"
    written = {"all_results.json", "README.md", "recipe.json", "test_predictions.jsonl", "trainer_state.json", native}
    assert {path.name for path in folder.iterdir()} == MODEL_FILES | written
    wanted = {f"{part}_{metric}" for part in ("validation", "test") for metric in METRICS[name] | {"loss"}}
    assert wanted <= set(results) and all(results[key] >= 0 for key in wanted)
    assert results["seed"] == 42 and results["train_seconds"] > 0 and results["model"] == str(teacher_folder)
    assert results["epochs"] == 2 and results["per_cent"] == (name == "sberquad")
    if name in ("rusentiment", "paraphraser"):  # the others have windows
        assert results["steps"] == 2 * -(-results["examples"]["train"] // 16)
    assert results["parameters"] == sum(tensor.numel() for tensor in weights(folder).values())
    assert results["recipe"]["max_length"] == results["max_length"] == 48
    assert set(results["truncated"]) == set(results["examples"]) == {"train", "validation", "test"}
    card = ModelCard.load(folder / "README.md")
    for metric in METRICS[name]:
        validation, test = (f"{results[f'{part}_{metric}']:.4f}" for part in ("validation", "test"))
        assert f"| {metric} | {validation} | {test} |" in card.text
    assert card.data.base_model is None, "a path of this machine is no model on the Hub"


@TASKS
def test_predictions_are_those_of_the_test_part(finished, benchmarks, tmp_path, name):
    """With id and score, and in the benchmark's own format: in place of the test part they are its labels."""
    predictions, task = predictions_of(finished / name), make_task(name)
    rows = task.read(str(benchmarks / name))["test"]
    assert [one["id"] for one in predictions] == [row["id"] for row in rows]
    assert all(0 <= one["score"] <= 1 for one in predictions)
    scores = {f"test_{key}": value for key, value in task.score(rows, predictions).items()}
    assert scores.items() <= results_of(finished / name).items()
    answers = [one["prediction"] for one in predictions]
    if name in NATIVE:
        native, file, key = NATIVE[name]
        shutil.copytree(benchmarks / name, tmp_path / name)
        shutil.copy(finished / name / native, tmp_path / name / file)
        read = task.read(str(tmp_path / name))["test"]
        assert [row[key] for row in read] == answers and [row["text"] for row in read] == [row["text"] for row in rows]
    else:
        found = json.loads((finished / name / "test_predictions.json").read_text(encoding="utf-8"))
        assert list(found.values()) == answers and list(found) == [row["id"] for row in rows]


def test_pipelines_open_what_is_saved(finished):
    found = pipeline("text-classification", model=str(finished / "rusentiment"))("Актриса взяла конфету.")
    assert found[0]["label"] in rusentiment.LABELS
    names = pipeline("token-classification", model=str(finished / "collection3"))("Актриса Анна взяла конфету.")
    assert {one["entity"] for one in names} <= set(collection3.tags(3))
    config = AutoModelForSequenceClassification.from_pretrained(finished / "paraphraser").config
    assert tuple(config.id2label[i] for i in range(2)) == paraphraser.LABELS[2]


def test_what_was_measured_is_what_was_saved(finished, benchmarks):
    """Figures of the last step beside the weights of the best, or the other way round, are of no model."""
    folder = finished / "rusentiment"
    model, tokenizer = (one.from_pretrained(folder) for one in (AutoModelForSequenceClassification, AutoTokenizer))
    rows = rusentiment.read(str(benchmarks / "rusentiment"))["test"]
    for row, prediction in zip(rows, predictions_of(folder), strict=True):
        inputs = tokenizer(row["text"], truncation=True, max_length=48, return_tensors="pt")
        with torch.no_grad():
            shares = model(**inputs).logits.softmax(-1)[0]
        assert list(prediction["scores"].values()) == pytest.approx(shares.tolist(), abs=1e-5)


def test_the_test_part_selects_nothing(finished, fine_tune, benchmarks, tmp_path):
    """Poisoned labels of the test part change its scores and not one weight."""
    poisoned, labels = shutil.copytree(benchmarks / "rusentiment", tmp_path / "data"), rusentiment.LABELS
    rows = rusentiment.read(str(poisoned))["test"]
    wrong = [labels[(labels.index(row["label"]) + 1) % 5] for row in rows]
    rusentiment.write(poisoned, rows, wrong).rename(poisoned / "rusentiment_test.csv")
    results = fine_tune("rusentiment", tmp_path / "out", data_dir=poisoned)
    clean = results_of(finished / "rusentiment")
    assert results["test_loss"] != clean["test_loss"] and results["validation_loss"] == clean["validation_loss"]
    assert same_weights(tmp_path / "out", finished / "rusentiment")


def test_seeds_that_are_finished_are_not_trained_again(fine_tune, finished, tmp_path, monkeypatch, capsys):
    """Of a study of ten that the cluster stopped, one is left to do. And a folder goes on with its own recipe and its
    own model alone: another's figures would be reported as this one's."""
    trained = []

    class Counted(TaskTrainer):
        def train(self, *args, **options):
            trained.append(self.args.seed)
            return super().train(*args, **options)

    shutil.copytree(finished / "paraphraser", tmp_path / "runs" / "seed-42")
    monkeypatch.setattr(experiment, "TaskTrainer", Counted)
    merged = fine_tune("paraphraser", tmp_path / "runs", seeds=[42, 2], resume_from_checkpoint="true")
    assert trained == [2] and merged["runs"][0] == results_of(finished / "paraphraser")
    assert merged["seeds"] == [42, 2] and "seed" not in merged and merged["runs"][1]["seed"] == 2
    for name, value in figures(merged["runs"][0]).items():
        values = [value, merged["runs"][1][name]]
        assert merged[name] == pytest.approx(statistics.mean(values))
        assert merged[f"{name}_std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5), "of a sample"
    assert f"{merged['test_f1']:.4f} ± {merged['test_f1_std']:.4f}" in capsys.readouterr().out
    assert not list(tmp_path.rglob("checkpoint-*"))
    capsys.readouterr()
    other_model = shutil.copytree(finished / "rusentiment", tmp_path / "runs" / "model")
    for key, value in dict(weight_decay=0.5, max_length=32, classes=3, model=other_model).items():
        with pytest.raises(SystemExit) as ended:
            fine_tune("paraphraser", tmp_path / "runs", seeds=[2], resume_from_checkpoint="true", **{key: value})
        key = "model_name_or_path" if key == "model" else key
        assert ended.value.code == 2 and f"`{key}`" in capsys.readouterr().err
    assert trained == [2]


def test_a_finished_run_of_other_weights_is_not_taken(fine_tune, finished, teacher_folder, tmp_path, capsys):
    """A student that was distilled anew has the path of the old one."""
    model = shutil.copytree(teacher_folder, tmp_path / "model")
    fine_tune("rusentiment", tmp_path / "out", model=model, max_steps=1)
    shutil.copy(finished / "rusentiment" / "model.safetensors", model)
    with pytest.raises(SystemExit):
        fine_tune("rusentiment", tmp_path / "out", model=model, max_steps=1, resume_from_checkpoint="true")
    assert "other weights than" in capsys.readouterr().err


def add_callback(patch, **methods):
    """From now on a trainer of tasks has a callback of these methods."""
    callback, init = type("Callback", (TrainerCallback,), methods), TaskTrainer.__init__

    def changed(self, *args, **options):
        init(self, *args, **options)
        self.add_callback(callback)

    patch.setattr(TaskTrainer, "__init__", changed)


def test_a_stopped_run_goes_on(fine_tune, finished, tmp_path, monkeypatch, capsys):
    """To the weights of the run that nobody stopped, with dropout and order; and not unless asked to, since its
    checkpoints may be of anything."""

    def stop(callback, args, state, control, **others):
        if state.global_step == 7:  # in the second epoch
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        add_callback(patch, on_step_end=stop)
        fine_tune("rusentiment", tmp_path)
    assert ended.value.code == 143 and "stopped by SIGTERM after step" in capsys.readouterr().err
    assert list(tmp_path.glob("checkpoint-*")) and not (tmp_path / "model.safetensors").exists()
    with pytest.raises(SystemExit):
        fine_tune("rusentiment", tmp_path)
    assert "--resume_from_checkpoint true" in capsys.readouterr().err
    results = fine_tune("rusentiment", tmp_path, resume_from_checkpoint="true")
    assert figures(results) == pytest.approx(figures(results_of(finished / "rusentiment")))
    assert same_weights(tmp_path, finished / "rusentiment")
    assert not list(tmp_path.glob("checkpoint-*"))


def test_patience_that_has_run_out_is_not_given_anew(fine_tune, teacher_folder, tmp_path, monkeypatch):
    """The first evaluation is the best, and one more is no better. Killed between its last evaluation and its end, a
    run would train on when it is resumed."""
    options = dict(learning_rate=0, num_train_epochs=9, early_stopping_patience=1)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(TaskTrainer, "_finalize_training", lambda *args: 1 / 0)
        fine_tune("paraphraser", tmp_path, **options)
    results = fine_tune("paraphraser", tmp_path, resume_from_checkpoint="true", **options)
    assert results["epochs"] == 2
    assert torch.equal(weights(tmp_path)[LAYER], weights(teacher_folder)[LAYER]), "it began with the checkpoint's"


LAYER = "bert.encoder.layer.0.attention.self.query.weight"


def test_random_weights_are_the_floor(fine_tune, teacher_folder, tmp_path):
    """A model that was to be random and was not would make every other look useless."""
    fine_tune("rusentiment", tmp_path, random_weights="true", learning_rate=0, max_steps=1)
    assert not torch.allclose(weights(tmp_path)[LAYER], weights(teacher_folder)[LAYER], atol=0.1)


def test_a_loss_that_is_no_number_ends_the_run(fine_tune, tmp_path, capsys):
    """Its figures would be those of a model that says nothing."""
    with pytest.raises(SystemExit) as ended:
        fine_tune("rusentiment", tmp_path, learning_rate=1e18)
    assert ended.value.code == 2 and "lower `learning_rate`" in capsys.readouterr().err
    assert not (tmp_path / "model.safetensors").exists()


@pytest.mark.parametrize(("choice", "metric"), [("benchmark", "f1_weighted"), ("loss", "loss")])
def test_what_chooses_is_the_benchmarks_own_metric_or_another(fine_tune, tmp_path, choice, metric):
    """Of the best epoch, not of the last."""
    keys = dict(num_train_epochs=4, metric_for_best_model=choice, learning_rate=2e-2)
    results = fine_tune("rusentiment", tmp_path, **keys)
    state = json.loads((tmp_path / "trainer_state.json").read_text(encoding="utf-8"))
    values = [log[f"eval_{metric}"] for log in state["log_history"] if f"eval_{metric}" in log]
    best = min(values) if metric == "loss" else max(values)
    assert state["best_metric"] == best and f"`{metric}`" in results["chosen_by"]
    assert len(set(values)) > 1 and results[f"validation_{metric}"] == pytest.approx(best, rel=1e-5)


def test_a_task_teacher(fine_tune, finished, tmp_path):
    """Its own figures are those that it was saved with, and the student ends elsewhere than without it."""
    teacher = finished / "collection3"
    results = fine_tune("collection3", tmp_path, task_teacher=teacher, weight_kl=4, temperature=1.5)
    measured = results["task_teacher"]
    assert measured.pop("model") == str(teacher)
    own = {key: value for key, value in results_of(teacher).items() if key.startswith("validation_")}
    assert measured == pytest.approx(own, rel=1e-5)
    assert not same_weights(tmp_path, teacher)
    assert results["recipe"]["weight_kl"] == 4 and results["recipe"]["temperature"] == 1.5


def test_a_model_of_another_task_is_a_start_and_the_demo_has_data(fine_tune, finished, tmp_path):
    """Its head has another number of classes."""
    options = dict(model=finished / "paraphraser", data_dir="demo", max_steps=1)
    results = fine_tune("rusentiment", tmp_path, **options)
    assert results["left_out"] == {"in_test": 1, "repeated": 3, "conflicting": 2}
    assert results["examples"]["test"] == 200 and results["demo"]


def test_results_of_an_earlier_run_do_not_outlive_its_model(fine_tune, finished, tmp_path, monkeypatch):
    """A second run into a finished folder, killed, must not be taken for finished."""
    shutil.copytree(finished / "rusentiment", tmp_path / "out")
    monkeypatch.setattr(TaskTrainer, "measure", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        fine_tune("rusentiment", tmp_path / "out", max_steps=1)
    assert not (tmp_path / "out" / "all_results.json").exists()


def test_a_push_takes_the_model_and_nothing_else(hub, fine_tune, tmp_path):
    """The Trainer's own push would take optimiser states along. Predictions stay too: their texts may be secret."""
    fine_tune("rusentiment", tmp_path / "run", push_to_hub=True, hub_model_id="feelings", max_steps=2)
    files = hub.repositories["me/feelings"].files
    assert set(files) == MODEL_FILES | {"README.md", "all_results.json"}
    assert set(pipeline("text-classification", model="me/feelings").model.config.label2id) == set(rusentiment.LABELS)
    card = ModelCard.load("me/feelings")
    assert card.data.eval_results[0].metric_value == results_of(tmp_path / "run")["test_f1_weighted"]
