"""The tasks from end to end: what runs write, what they select by, how they go on."""

import json
import math
import re
import shutil
import signal
import statistics
from types import SimpleNamespace

import pytest
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from finetuning.finetune import check
from finetuning.seeds import over_seeds
from finetuning.sets import make_task, rusentiment
from finetuning.trainer import TaskTrainer
from tests.finetuning.known import results_of, same_weights

# By task its metrics, and its own file of predictions.
PROMISED = {
    "rusentiment": ({"accuracy", "f1_weighted", "f1_macro"}, "test_predictions.csv"),
    "paraphraser": ({"accuracy", "f1"}, "test_predictions.xml"),
    "collection3": ({"recall", "f1", "PER_f1", "LOC_precision"}, "test_predictions.txt"),
    "sberquad": ({"exact_match", "f1"}, "test_predictions.json"),
}
MODEL_FILES = {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}


@pytest.fixture(scope="session")
def finished(tmp_path_factory, fine_tune):
    folder = tmp_path_factory.mktemp("finished")
    for name in PROMISED:
        fine_tune(name, folder / name)
    return folder


def figures(results):
    return {key: value for key, value in results.items() if key.startswith(("validation_", "test_"))}


def predictions_of(folder):
    return [json.loads(line) for line in (folder / "test_predictions.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("name", PROMISED)
def test_what_is_promised_is_written(finished, name, teacher_folder, benchmarks):
    """Files, figures, a card with these figures, and predictions that have them."""
    folder, results, task = finished / name, results_of(finished / name), make_task(name)
    metrics, native = PROMISED[name]
    written = {"all_results.json", "README.md", "recipe.json", "inputs.json", "trainer_state.json", native}
    written |= {"test_predictions.jsonl"}
    assert {path.name for path in folder.iterdir()} == MODEL_FILES | written
    wanted = {f"{part}_{metric}" for part in ("validation", "test") for metric in metrics | {"loss"}}
    assert wanted <= set(results) and all(math.isfinite(results[figure]) for figure in wanted)
    assert results["seed"] == 42 and results["epochs"] == 2 and results["model"] == str(teacher_folder)
    parameters = sum(tensor.numel() for tensor in load_file(folder / "model.safetensors").values())
    assert results["parameters"] == parameters and "weight_kl" not in results["recipe"]
    config, tokenizer = (json.loads((folder / f"{one}.json").read_text()) for one in ("config", "tokenizer_config"))
    assert tokenizer["model_max_length"] == results["max_length"] == 48, "it reads later what it was scored on"
    assert config.get("texts_at_once") == {"paraphraser": 2, "rusentiment": 1}.get(name)
    card = ModelCard.load(folder / "README.md")
    for metric in metrics:
        assert f"| {metric} | {results[f'validation_{metric}']:.4f} | {results[f'test_{metric}']:.4f} |" in card.text
    for metric, (low, high) in results["intervals"].items():
        assert low <= results[f"test_{metric}"] <= high and f" | {low:.4f} to {high:.4f} |" in card.text
    assert task.primary_metric in results["intervals"]
    assert card.data.base_model is None, "a path of this machine is no model on the Hub"

    rows, predictions = task.read(str(benchmarks / name))["test"], predictions_of(folder)
    assert [one["id"] for one in predictions] == [row["id"] for row in rows]
    assert {f"test_{one}": value for one, value in task.score(rows, predictions).items()}.items() <= results.items()
    if name == "sberquad":
        answers = {one["id"]: one["prediction"] for one in predictions}
        assert json.loads((folder / native).read_text(encoding="utf-8")) == answers


def test_what_was_measured_is_what_was_saved(finished, benchmarks):
    folder = finished / "rusentiment"
    model, tokenizer = (one.from_pretrained(folder) for one in (AutoModelForSequenceClassification, AutoTokenizer))
    rows = rusentiment.read(str(benchmarks / "rusentiment"))["test"]
    for row, prediction in zip(rows, predictions_of(folder), strict=True):
        inputs = tokenizer(row["text"], truncation=True, max_length=48, return_tensors="pt")
        shares = model(**inputs).logits.softmax(-1)[0]
        assert list(prediction["scores"].values()) == pytest.approx(shares.tolist(), abs=1e-5)


def test_the_test_part_selects_nothing(finished, fine_tune, benchmarks, tmp_path):
    poisoned, labels = shutil.copytree(benchmarks / "rusentiment", tmp_path / "data"), rusentiment.LABELS
    rows = rusentiment.read(str(poisoned))["test"]
    wrong = [labels[labels.index(row["label"]) - 1] for row in rows]
    rusentiment.write(poisoned, rows, wrong).rename(poisoned / "rusentiment_test.csv")
    results = fine_tune("rusentiment", tmp_path / "out", data_dir=poisoned)
    clean = results_of(finished / "rusentiment")
    assert results["test_loss"] != clean["test_loss"] and results["validation_loss"] == clean["validation_loss"]
    assert same_weights(tmp_path / "out", finished / "rusentiment")


def test_one_seed_has_no_deviation():
    """A table would show that of another seed as 0."""
    merged = over_seeds([{"seed": 1, "recipe": {"seed": 1}, "test_f1": 0.5}])
    assert merged["test_f1"] == 0.5 and merged["seeds"] == [1] and "test_f1_std" not in merged


def test_seeds_that_are_finished_are_not_trained_again(fine_tune, finished, refused, tmp_path, monkeypatch, capsys):
    """A folder goes on with its own recipe and model alone, also if a new model has the path of the old one."""
    trained, train, runs = [], TaskTrainer.train, tmp_path / "runs"
    monkeypatch.setattr(TaskTrainer, "train", lambda one, **keys: trained.append(one.args.seed) or train(one, **keys))
    shutil.copytree(finished / "paraphraser", runs / "seed-42")
    merged = fine_tune("paraphraser", runs, seeds=[42, 2], resume_from_checkpoint=True)
    assert trained == [2] and merged["runs"][0] == results_of(finished / "paraphraser")
    assert merged["seeds"] == [42, 2] and "seed" not in merged and merged["runs"][1]["seed"] == 2
    for name, value in figures(merged["runs"][0]).items():
        values = [value, merged["runs"][1][name]]
        assert merged[name] == pytest.approx(statistics.mean(values))
        assert merged[f"{name}_std"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5), "of a sample"
    assert f"{merged['test_f1']:.4f} ± {merged['test_f1_std']:.4f}" in capsys.readouterr().out
    assert not list(tmp_path.rglob("checkpoint-*"))
    for key, value in dict(weight_decay=0.5, classes=3, model_name_or_path=finished / "rusentiment").items():
        assert f"`{key}`" in refused("paraphraser", runs, seeds=[2], resume_from_checkpoint=True, **{key: value})
    (runs / "seed-2" / "inputs.json").write_text(json.dumps({"model_name_or_path": "of other weights"}))
    assert "has changed since" in refused("paraphraser", runs, seeds=[2], resume_from_checkpoint=True)
    assert trained == [2]


def test_a_stopped_run_goes_on(fine_tune, finished, refused, tmp_path, monkeypatch, capsys):
    """To the weights of the run that nobody stopped, with dropout and order; and only if a key says so."""
    step = TaskTrainer.training_step

    def stopping(self, *args, **options):
        if self.state.global_step == 7:  # in the second epoch
            signal.raise_signal(signal.SIGTERM)
        return step(self, *args, **options)

    with monkeypatch.context() as patch, pytest.raises(SystemExit) as ended:
        patch.setattr(TaskTrainer, "training_step", stopping)
        fine_tune("rusentiment", tmp_path)
    assert ended.value.code == 143 and "stopped by SIGTERM after step" in capsys.readouterr().err
    assert list(tmp_path.glob("checkpoint-*")) and not (tmp_path / "model.safetensors").exists()
    assert "--resume_from_checkpoint true" in refused("rusentiment", tmp_path)
    results = fine_tune("rusentiment", tmp_path, resume_from_checkpoint=True)
    assert figures(results) == pytest.approx(figures(results_of(finished / "rusentiment")))
    assert same_weights(tmp_path, finished / "rusentiment") and not list(tmp_path.glob("checkpoint-*"))


def test_patience_that_has_run_out_is_not_given_anew(fine_tune, tmp_path, monkeypatch):
    """Killed between its last evaluation and its end, a run would train on when it is resumed."""
    options = dict(learning_rate=0, num_train_epochs=9, early_stopping_patience=1)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(TaskTrainer, "_finalize_training", lambda *args: 1 / 0)
        fine_tune("paraphraser", tmp_path, **options)
    assert fine_tune("paraphraser", tmp_path, resume_from_checkpoint=True, **options)["epochs"] == 2


def test_what_the_recipe_of_a_finished_run_names_may_be_named():
    training = SimpleNamespace(metric_for_best_model="roc_auc", dataloader_drop_last=False)
    check(SimpleNamespace(early_stopping_patience=0, seeds=[]), training, make_task("muserc"))


@pytest.mark.parametrize(("choice", "metric"), [("benchmark", "f1_weighted"), ("loss", "loss")])
def test_what_chooses_is_the_benchmarks_own_metric_or_another(fine_tune, tmp_path, choice, metric):
    results = fine_tune("rusentiment", tmp_path, num_train_epochs=4, metric_for_best_model=choice, learning_rate=2e-3)
    state = json.loads((tmp_path / "trainer_state.json").read_text(encoding="utf-8"))
    values = [log[f"eval_{metric}"] for log in state["log_history"] if f"eval_{metric}" in log]
    best = min(values) if metric == "loss" else max(values)
    assert state["best_metric"] == best and f"`{metric}`" in results["chosen_by"]
    assert len(set(values)) > 1 and results[f"validation_{metric}"] == pytest.approx(best, rel=1e-5)


def test_a_push_takes_the_model_and_nothing_else(hub, fine_tune, tmp_path):
    """Neither optimiser states, nor predictions, whose texts may be secret."""
    fine_tune("rusentiment", tmp_path / "run", push_to_hub=True, hub_model_id="feelings", max_steps=2)
    assert set(hub.repositories["me/feelings"].files) == MODEL_FILES | {"README.md", "all_results.json"}
    assert set(pipeline("text-classification", model="me/feelings").model.config.label2id) == set(rusentiment.LABELS)
    card = ModelCard.load("me/feelings")
    assert card.data.eval_results[0].metric_value == results_of(tmp_path / "run")["test_f1_weighted"]


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (dict(name="paraphraser", classes=4), "`classes`.*2, 3"),
        (dict(seeds=[1, 2], push_to_hub=True, hub_model_id="me/model"), "`push_to_hub`.*`seeds`"),
        (dict(seeds=[1, 2], resume_from_checkpoint="some/one"), "`resume_from_checkpoint`.*`true`"),
        (dict(learning_rates=[1e-4, 1e-3], resume_from_checkpoint="some/one"), "names one.*`learning_rates`.*`true`"),
        (dict(weight_kl=0.5), "`weight_kl`.*no effect without `task_teacher`"),
        (dict(seeds=[1, 1]), "`seeds` must be different"),
        (dict(dataloader_drop_last=True), "`dataloader_drop_last`"),
        (dict(early_stopping_patience=2, load_best_model_at_end=False), "`load_best_model_at_end: true`"),
    ],
)
def test_keys_that_are_refused(refused, tmp_path, keys, sentence):
    """Others are in `tests/fuzz`. Nothing is written."""
    assert re.search(sentence, refused(**keys)) and not (tmp_path / "out").exists()
