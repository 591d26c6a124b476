"""Results of other runs: which are of this model, and what of them is kept."""

import json

import pytest

from distillation.config.errors import UserError
from distillation.hub.measured import exported, gather
from distillation.runs.files import sha256, write_json, write_text

RESULTS = {"recipe": {"teacher_name_or_path": "x/teacher"}, "parameters": 12}


@pytest.fixture
def student(tmp_path):
    write_text(tmp_path / "student" / "model.safetensors", "weights")
    return tmp_path / "student"


@pytest.fixture
def tuned(student, tmp_path):
    """A function that writes the results of a model fine-tuned from the student, unless others are named."""
    run = {"task": "letters", "metric": "f1", "model": str(student), "seed": 1, "recipe": {}, "test_f1": 0.5}
    run["weights"] = sha256(student / "model.safetensors")
    return lambda name, **others: write_json(tmp_path / "runs" / name / "all_results.json", run | others)


def test_models_are_known_by_their_weights(student, tuned, tmp_path):
    """Wherever they lay when they were fine-tuned; others have their own name. Of several seeds the mean alone."""
    tuned("a", model="/other/machine/student", seeds=[1, 2], test_f1_std=0.125)
    tuned("a/seed-1", test_f1=0.875)
    tuned("a/checkpoint-5", test_f1=0.875)
    tuned("b", test_f1=0.25, recipe={"random_weights": True})
    tuned("c", test_f1=0.75, model="x/teacher", weights="others")
    tuned("d", test_f1=0.125, model="x/student", weights="others")
    scores = gather(student, RESULTS, [tmp_path / "runs"])["scores"]
    found = {score["model"]: score["test"]["f1"] for score in scores}
    assert found == {"this model": 0.5, "this model, random weights": 0.25, "teacher": 0.75, "student": 0.125}
    assert scores[0]["seeds"] == [1, 2] and scores[0]["test"] == {"f1": 0.5, "f1_std": 0.125}
    # Of a fine-tuned model, the others on its task.
    tuned("e", model="x/other", weights="others", task="names")
    write_text(tmp_path / "runs" / "a" / "model.safetensors", "tuned")
    own = json.loads((tmp_path / "runs" / "a" / "all_results.json").read_text(encoding="utf-8"))
    others = {score["model"] for score in gather(tmp_path / "runs" / "a", own, [tmp_path / "runs"])["scores"]}
    assert "teacher" in others and not others & {"other", "this model"}


def test_a_russian_superglue(student, tuned, tmp_path):
    """LiDiRus is answered by the model of TERRa, which is made of this one; the file has what takes no model."""
    tuned("terra", task="terra")
    tuned("lidirus", task="lidirus", model=str(tmp_path / "runs" / "terra"), weights="tuned")
    suite = {"tasks": {"terra": {"majority": {"f1": 0.25}, "random": {"f1": 0.125}}}, "overall": {}}
    write_json(tmp_path / "russian_superglue.json", suite)
    scores = gather(student, RESULTS, [tmp_path / "runs", tmp_path / "russian_superglue.json"])["scores"]
    of_terra = {("terra", name) for name in ("this model", "the commonest label", "chance")}
    assert {(score["task"], score["model"]) for score in scores} == of_terra | {("lidirus", "this model")}


def test_speed_is_the_median_of_rounds_that_agree(student, tmp_path, caplog):
    """With other work on the cores a card once said "1,046 times as fast"."""
    row = {"head": "masked-lm", "backend": "torch", "device": "cpu", "batch_size": 1, "sequence_length": 8}
    row |= {"parameters": 12, "seconds": [0.25, 0.2, 0.3], "mib": 1.5, "steady": True, "source": str(student)}
    rows = [row, row | {"source": "x/teacher"}, row | {"head": "a", "steady": 0}, row | {"head": "b", "steady": None}]
    rows += [row | {"threads": threads, "backend": "onnx"} for threads in (1, 2)]
    write_json(tmp_path / "speed.json", {"hardware": {"cpu": "Some"}, "rows": rows})
    speed = gather(student, RESULTS, [tmp_path / "speed.json"])["speed"]
    assert [(row["model"], row["milliseconds"]) for row in speed[:2]] == [("this model", 250.0), ("teacher", 250.0)]
    assert [row["hardware"] for row in speed[1:]] == ["cpu Some", "cpu Some, threads 1", "cpu Some, threads 2"]
    assert speed[0]["hardware"] == "cpu Some" and str(tmp_path) not in json.dumps(speed)
    assert "speed.json: 2 of 6 timings are left out" in caplog.text


def test_runs_that_cannot_be_told(student, tuned, tmp_path):
    tuned("a")
    for second, message in (
        ({}, "a and .*b both have"),
        ({"weights": "of another"}, "b began with other weights"),  # to distil once more is the most ordinary thing
        ({"test_f1": "x"}, "b/all_results.json does not have the form of a result file"),
    ):
        tuned("b", **second)
        with pytest.raises(UserError, match=message):
            gather(student, RESULTS, [tmp_path / "runs"])


def test_what_holds_no_results_is_a_sentence(student, tmp_path):
    write_json(tmp_path / "folder" / "export.json", {"rows": 1})
    with pytest.raises(UserError, match="export.json does not have the form of a result file"):
        gather(student, RESULTS, [tmp_path / "folder" / "export.json"])
    with pytest.raises(UserError, match="`onnx`"):
        exported(student, RESULTS, tmp_path / "folder")
