"""Results of other runs: which are of this model, and what of them is kept."""

import json

import pytest

from distillation.config.errors import UserError
from distillation.hub.measured import exported, gather, what_is_measured
from distillation.runs.files import sha256, write_json, write_text

RESULTS = {"recipe": {"teacher_name_or_path": "x/teacher"}, "parameters": 12}


@pytest.fixture
def student(tmp_path):
    write_text(tmp_path / "student" / "model.safetensors", "weights")
    return tmp_path / "student"


@pytest.fixture
def tuned(student, tmp_path):
    """A function that leaves the results of a model fine-tuned from the student, unless others are named."""
    weights = sha256(student / "model.safetensors")

    def save(name, score=0.5, **others):
        run = {"task": "letters", "metric": "f1", "model": str(student), "weights": weights, "seed": 1, "recipe": {}}
        write_json(tmp_path / "runs" / name / "all_results.json", run | {"test_f1": score} | others)

    return save


def timed(path, *sources, **others):
    rows = [
        {"model": source.split("/")[-1], "source": source, "head": "masked-lm", "backend": "torch", "device": "cpu"}
        | {"batch_size": 1, "sequence_length": 8, "parameters": 12, "seconds": [0.25, 0.2, 0.3], "mib": 1.5}
        | {"steady": True, **others}
        for source in sources
    ]
    write_json(path, {"hardware": {"cpu": "Some"}, "rows": rows})


def names(measured):
    return {score["model"]: score["test"]["f1"] for score in measured["scores"]}


def test_models_are_known_by_their_weights(student, tuned, tmp_path):
    """Wherever they lay when they were fine-tuned; others are called as they are."""
    tuned("a", model="/other/machine/student")
    tuned("b", 0.25, recipe={"random_weights": True})
    tuned("c", 0.75, model="x/teacher", weights="others")
    tuned("d", 0.125, model="x/student", weights="others")
    measured = gather(student, RESULTS, [tmp_path / "runs"])
    assert names(measured) == {
        "this model": 0.5,
        "this model, random weights": 0.25,
        "teacher": 0.75,
        "student": 0.125,
    }


def test_of_several_seeds_their_mean_alone(student, tuned, tmp_path):
    tuned("a", seeds=[1, 2], test_f1_std=0.125)
    tuned("a/seed-1", 0.75)
    tuned("a/checkpoint-5", 0.875)
    (score,) = gather(student, RESULTS, [tmp_path / "runs" / "a"])["scores"]
    assert score["seeds"] == [1, 2] and score["test"] == {"f1": 0.5, "f1_std": 0.125}


def test_others_on_the_task_of_a_fine_tuned_model(student, tuned, tmp_path):
    tuned("own")
    tuned("a", 0.75, model="x/other", weights="others")
    tuned("b", 0.25, model="x/other", weights="others", task="names")
    write_text(tmp_path / "runs" / "own" / "model.safetensors", "tuned")
    own = json.loads((tmp_path / "runs" / "own" / "all_results.json").read_text(encoding="utf-8"))
    assert names(gather(tmp_path / "runs" / "own", own, [tmp_path / "runs"])) == {"other": 0.75}


def test_a_russian_superglue(student, tuned, tmp_path):
    """LiDiRus is answered by the model of TERRa, which is made of this one; the file has what takes no model."""
    tuned("terra", task="terra")
    tuned("lidirus", task="lidirus", model=str(tmp_path / "runs" / "terra"), weights="tuned")
    suite = {"tasks": {"terra": {"majority": {"f1": 0.25}, "random": {"f1": 0.125}}}, "overall": {}}
    write_json(tmp_path / "russian_superglue.json", suite)
    scores = gather(student, RESULTS, [tmp_path / "runs", tmp_path / "russian_superglue.json"])["scores"]
    assert {(score["task"], score["model"]) for score in scores} == {
        ("terra", "this model"),
        ("lidirus", "this model"),
        ("terra", "the commonest label"),
        ("terra", "chance"),
    }


def test_speed_is_the_median_of_rounds_that_agree(student, tmp_path, caplog):
    """With other work on the cores a card once said "1,046 times as fast"."""
    timed(tmp_path / "speed.json", str(student), "x/teacher")
    timed(tmp_path / "busy.json", str(student), head="encoder", steady=False)
    timed(tmp_path / "old.json", str(student), head="tagging", steady=None)
    files = [tmp_path / "speed.json", tmp_path / "busy.json", tmp_path / "old.json"]
    speed = gather(student, RESULTS, files)["speed"]
    assert [(row["model"], row["milliseconds"]) for row in speed] == [("this model", 250.0), ("teacher", 250.0)]
    assert speed[0]["hardware"] == "cpu Some" and str(tmp_path) not in json.dumps(speed)
    assert "busy.json: 1 of 1 timings are left out" in caplog.text and "on idle cores" in caplog.text


@pytest.mark.parametrize(
    ("second", "says"),
    [
        ({}, "a and .*b both have"),
        ({"weights": "of another"}, "b began with other weights"),  # to distil once more is the most ordinary thing
        ({"test_f1": "x"}, "b/all_results.json is not as results are"),
        ({"metric": "f2"}, "b/all_results.json is not as results are"),
        ({"recipe": None}, "b/all_results.json is not as results are"),
    ],
)
def test_runs_that_cannot_be_told(student, tuned, tmp_path, second, says):
    tuned("a")
    tuned("b", **second)
    with pytest.raises(UserError, match=says):
        gather(student, RESULTS, [tmp_path / "runs"])


@pytest.mark.parametrize("content", [None, "{", "[]", '{"rows": 1}', '{"backend": "onnx", "weights": "others"}'])
def test_what_holds_no_results_is_a_sentence(student, tmp_path, content):
    if content is not None:
        write_text(tmp_path / "folder" / "export.json", content)
    with pytest.raises(UserError, match="folder"):
        gather(student, RESULTS, [tmp_path / "folder" / "export.json"])
    with pytest.raises(UserError, match="`onnx`"):
        exported(student, tmp_path / "folder")
    assert what_is_measured(student) == {} and len(list(student.iterdir())) == 1
