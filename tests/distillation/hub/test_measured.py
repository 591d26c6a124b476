"""Results of other runs: which are of this model, and what of them is kept."""

import json

import pytest

from distillation.config.errors import UserError
from distillation.hub.measured import exported, gather, what_is_measured
from distillation.runs.files import sha256

RESULTS = {"recipe": {"teacher_name_or_path": "runs/teacher"}, "parameters": 12}


def fine_tuned(folder, model, score, task="letters", **others):
    folder.mkdir(parents=True)
    run = {"task": task, "metric": "f1", "model": str(model), "seed": 1, "recipe": {}, "examples": {"test": 8}}
    run |= {"test_f1": score, "validation_f1": 0.0}
    (folder / "all_results.json").write_text(json.dumps(run | others), encoding="utf-8")


def timed(path, *sources):
    rows = [
        {"model": source, "source": source, "head": "masked-lm", "backend": "torch", "device": "cpu", "mib": 1.5}
        | {"batch_size": 1, "sequence_length": 8, "parameters": 12, "seconds": [0.5, 0.25, 0.125]}
        for source in sources
    ]
    path.write_text(json.dumps({"hardware": {"cpu": "Some"}, "rows": rows}), encoding="utf-8")


@pytest.fixture
def student(tmp_path):
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "student"


def names(measured):
    return {score["model"]: score["test"]["f1"] for score in measured["scores"]}


def test_scores_of_this_model_its_teacher_and_the_floor(student, tmp_path):
    runs = tmp_path / "runs"
    fine_tuned(runs / "a", student, 0.5)
    fine_tuned(runs / "b", student, 0.25, recipe={"random_weights": True})
    fine_tuned(runs / "c", "elsewhere/teacher", 0.75)
    fine_tuned(runs / "d", "another", 0.125)
    measured = gather(student, RESULTS, [runs])
    assert names(measured) == {"this model": 0.5, "this model, random weights": 0.25, "teacher": 0.75}


def test_scores_of_what_stood_here_before_are_not_this_models(student, tmp_path, caplog):
    """To distil once more into the same folder is the most ordinary thing."""
    fine_tuned(tmp_path / "runs" / "a", student, 0.5, weights="of another")
    fine_tuned(tmp_path / "runs" / "b", student, 0.75, task="names", weights=sha256(student / "model.safetensors"))
    assert names(gather(student, RESULTS, [tmp_path / "runs"])) == {"this model": 0.75}
    assert "runs/a is of other weights" in caplog.text


def test_of_several_seeds_their_mean_alone(student, tmp_path):
    fine_tuned(tmp_path / "runs", student, 0.5, seeds=[1, 2], test_f1_std=0.125)
    fine_tuned(tmp_path / "runs" / "seed-1", student, 0.75)
    (score,) = gather(student, RESULTS, [tmp_path / "runs"])["scores"]
    assert score["seeds"] == [1, 2] and score["test"] == {"f1": 0.5, "f1_std": 0.125}


def test_others_on_the_task_of_a_fine_tuned_model(student, tmp_path):
    fine_tuned(tmp_path / "runs" / "own", student, 0.5)
    fine_tuned(tmp_path / "runs" / "a", "x/teacher", 0.75)
    fine_tuned(tmp_path / "runs" / "b", "x/teacher", 0.25, task="names")
    own = json.loads((tmp_path / "runs" / "own" / "all_results.json").read_text(encoding="utf-8"))
    assert names(gather(tmp_path / "runs" / "own", own, [tmp_path / "runs"])) == {"teacher": 0.75}


def test_answers_without_a_model(student, tmp_path):
    figures = {"model": {"f1": 0.5}, "majority": {"f1": 0.25}, "random": {"f1": 0.125}}
    suite = {"model": str(student), "tasks": {"letters": figures, "names": figures}, "overall": {}}
    (tmp_path / "suite.json").write_text(json.dumps(suite), encoding="utf-8")
    fine_tuned(tmp_path / "runs", student, 0.75)
    scores = gather(student, RESULTS, [tmp_path / "suite.json", tmp_path / "runs"])["scores"]
    of_letters = {score["model"]: score["test"]["f1"] for score in scores if score["task"] == "letters"}
    assert of_letters == {"this model": 0.75, "the commonest label": 0.25, "chance": 0.125}
    assert [score["test"]["f1"] for score in scores if score["task"] == "names"] == [0.5, 0.25, 0.125]


def test_what_was_measured_twice_is_refused(student, tmp_path):
    """The last one would win, whichever that is."""
    fine_tuned(tmp_path / "runs" / "a", student, 0.5)
    fine_tuned(tmp_path / "runs" / "b", student, 0.75)
    with pytest.raises(UserError, match="both have this model, letters"):
        gather(student, RESULTS, [tmp_path / "runs"])
    for name in ("one.json", "two.json"):
        timed(tmp_path / name, str(student))
    with pytest.raises(UserError, match="both have this model, masked-lm, torch"):
        gather(student, RESULTS, [tmp_path / "one.json", tmp_path / "two.json"])


@pytest.mark.parametrize("broken", [{"recipe": None}, {"test_f1": None}, {"test_f1": "x"}, {"metric": "f2"}])
def test_broken_results_are_skipped(student, tmp_path, caplog, broken):
    fine_tuned(tmp_path / "runs" / "a", student, 0.5)
    fine_tuned(tmp_path / "runs" / "b", student, 0.75, task="names", **broken)
    assert names(gather(student, RESULTS, [tmp_path / "runs"])) == {"this model": 0.5}
    assert "is skipped" in caplog.text and "runs/b" in caplog.text


def test_speed_is_the_median(student, tmp_path):
    timed(tmp_path / "speed.json", str(student), "elsewhere/teacher", "elsewhere/other")
    speed = gather(student, RESULTS, [tmp_path / "speed.json"])["speed"]
    assert [(row["model"], row["milliseconds"]) for row in speed] == [("this model", 250.0), ("teacher", 250.0)]
    assert speed[0]["hardware"] == "cpu Some" and str(tmp_path) not in json.dumps(speed)


def test_results_of_others_and_broken_ones_are_refused(student, tmp_path):
    fine_tuned(tmp_path / "runs", "another", 0.5)
    (tmp_path / "runs" / "broken.json").write_text("{")
    (tmp_path / "runs" / "other").mkdir()
    (tmp_path / "runs" / "other" / "all_results.json").write_text('{"task": 1}')
    with pytest.raises(UserError, match="`results`"):
        gather(student, RESULTS, [tmp_path / "runs"])
    for path in (tmp_path / "missing", tmp_path / "runs" / "broken.json"):
        with pytest.raises(UserError, match=path.name):
            gather(student, RESULTS, [path])


@pytest.mark.parametrize(
    "found",
    [None, "{", "[]", '{"backend": "openvino"}', '{"backend": "onnx", "weights": "others"}'],
    ids=["none", "torn", "a list", "another backend", "no graph"],
)
def test_what_is_no_exported_model(student, tmp_path, found):
    (tmp_path / "exported").mkdir()
    if found is not None:
        (tmp_path / "exported" / "export.json").write_text(found)
    with pytest.raises(UserError, match="`onnx`"):
        exported(student, tmp_path / "exported")
    assert what_is_measured(student) == {} and len(list(student.iterdir())) == 1


def test_what_is_no_object_is_refused(student):
    (student / "measured.json").write_text("[]")
    with pytest.raises(UserError, match="measured.json is not as this version writes it"):
        what_is_measured(student)
