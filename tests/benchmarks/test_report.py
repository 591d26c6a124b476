"""The report: every figure it finds in its place, and one sentence for what is wrong or missing."""

import json
import shutil

import pytest

from benchmarks import report
from benchmarks.reporting import tradeoff
from benchmarks.reporting.inventory import short_names, take_stock
from benchmarks.reporting.tradeoff import Model, Point, comparable, front
from distillation.config.errors import UserError
from distillation.runs.files import METRICS

HARDWARE = {"cpu": "Abacus", "threads": 2}


def save(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def distil(folder, parameters=1_000, accuracy=0.25, teacher="x/teacher", **more):
    student = {f"student_heldout_{metric}": 2.0 for metric in METRICS} | {
        "student_heldout_masked_word_accuracy": accuracy
    }
    of_teacher = {f"teacher_heldout_{metric}": 0.5 for metric in METRICS}
    log = [{"step": 5, "loss": 3.0, "kl": 1.0}, {"step": 10, "loss": 2.0, "kl": 0.5}, {"step": 10, "eval_kl": 0.6}]
    recipe = {"recipe": {"teacher_name_or_path": teacher}, "parameters": parameters, "steps": 10}
    save(folder / "all_results.json", student | of_teacher | recipe | more)
    save(folder / "trainer_state.json", {"log_history": log})


def tune(folder, model, score, task="terra", parameters=1_000, **recipe):
    run = {"task": task, "metric": "f1", "test_f1": score, "model": model, "parameters": parameters, "recipe": recipe}
    save(folder / "all_results.json", run)


def timing(source, backend="torch", seconds=(0.001, 0.002, 0.004), parameters=1_000, **more):
    row = {"model": source.split("/")[-1], "source": source, "head": "encoder", "backend": backend, "device": "cpu"}
    size = {"batch_size": 1, "sequence_length": 8, "parameters": parameters, "seconds": list(seconds)}
    return row | size | more


def failed(source, error, **more):
    row = timing(source, error=error, **more)
    return {key: value for key, value in row.items() if key not in ("seconds", "parameters")}


def save_timings(path, *rows, hardware=HARDWARE):
    return save(path, {"hardware": hardware, "rows": list(rows)})


@pytest.fixture
def made(tmp_path, capsys):
    """A function that makes the report of the paths and gives its text."""

    def make(*paths):
        report.main([*map(str, paths), "--output_dir", str(tmp_path / "made")])
        assert capsys.readouterr().out == f"{tmp_path / 'made' / 'report.md'}\n"
        return (tmp_path / "made" / "report.md").read_text(encoding="utf-8")

    return make


def test_all_in_one(tmp_path, made):
    """Every picture that the page shows is there, and no other."""
    runs = tmp_path / "runs"
    distil(runs / "student")
    tune(runs / "tuned" / "a", "runs/student", 0.5)
    tune(runs / "tuned" / "b", "x/teacher", 0.8, parameters=9_000)
    save_timings(runs / "timed.json", timing("runs/student"), timing("x/teacher", parameters=9_000))
    text = made(runs)
    pictures = {path.name for path in (tmp_path / "made").glob("*.png")}
    assert pictures == {"training-curves.png", "speed-1.png", "quality-size.png", "quality-latency.png"}
    for name in pictures:
        assert f"]({name})" in text
        data = (tmp_path / "made" / name).read_bytes()
        assert data.startswith(b"\x89PNG") and len(data) > 5000
    assert "| student | 0.0 M | 50.0 |" in text


def test_students_stand_below_their_teacher(tmp_path, made):
    """Whose size comes from its own run; runs of one name are told apart, and unfinished ones left out."""
    distil(tmp_path / "runs" / "one" / "s")
    distil(tmp_path / "runs" / "two" / "s", parameters=2_000, accuracy=0.75)
    distil(tmp_path / "runs" / "two" / "checkpoint-5" / "s")
    save(tmp_path / "runs" / "teacher" / "all_results.json", {"parameters": 9_000, "steps": 70})
    assert made(tmp_path / "runs").split("\n\n")[2].splitlines()[2:] == [
        "| teacher (teacher) | 9,000 | 70 | 0.500 | 0.500 | 50.0 % | 50.0 % |",
        "| one/s | 1,000 | 10 | 2.000 | 2.000 | 200.0 % | 25.0 % |",
        "| two/s | 2,000 | 10 | 2.000 | 2.000 | 200.0 % | 75.0 % |",
    ]


def test_a_run_without_a_log_has_no_curves(tmp_path, made):
    distil(tmp_path / "runs" / "student")
    (tmp_path / "runs" / "student" / "trainer_state.json").unlink()
    assert "training-curves" not in made(tmp_path / "runs")


def test_the_table_of_inference(tmp_path, made):
    """2 ms against the 8 ms of the largest model in PyTorch, which is not the slowest row, and a bound of 1 ms."""
    file = save_timings(
        tmp_path / "any name.json",
        timing("a/small", "onnx", bound_seconds=0.001, mib=0.5),
        timing("a/large", "onnx", seconds=[1.5], parameters=9_000),
        timing("a/large", seconds=[0.008], parameters=9_000),
        failed("a/large", "No room\nfor it.", backend="int8"),
    )
    text = made(file)
    assert "On cpu Abacus, threads 2:" in text
    assert [line for line in text.splitlines() if line.startswith("| ")][1:] == [
        "| large | 9,000 | encoder | 1 x 8 | onnx |  | 1,500 [1,500, 1,500] | 0.667 | 0.01 |  |  |",
        "| large | 9,000 | encoder | 1 x 8 | torch |  | 8 [8, 8] | 125 | 1.00 |  |  |",
        "| small | 1,000 | encoder | 1 x 8 | onnx | 0.5 | 2 [1, 4] | 500 | 4.00 | 50% |  |",
    ]
    assert "* large, int8, encoder, 1 x 8, cpu: No room for it.\n" in text
    assert "Not shown. Neither scores of fine-tuned models nor figures of held-out text were found." in text


def test_each_hardware_is_compared_with_itself(tmp_path, made):
    save_timings(tmp_path / "in" / "1.json", timing("a/small"), timing("a/large", seconds=[0.008], parameters=9_000))
    save_timings(tmp_path / "in" / "2.json", timing("a/small"), hardware={"cpu": "Fingers"})
    text = made(tmp_path / "in")
    assert "On cpu Fingers:" in text and "speed-2.png" in text
    assert "[1, 4] | 500 | 4.00 |" in text and "[1, 4] | 500 | 1.00 |" in text


def test_only_failures(tmp_path, made):
    text = made(save_timings(tmp_path / "failed.json", failed("a/small", "No room.")))
    assert "No room." in text and "speed-" not in text


def test_models_of_one_name_are_told_apart(tmp_path):
    save_timings(tmp_path / "in.json", timing("a/small"), timing("b/small"))
    assert [row["model"] for row in take_stock([tmp_path]).timings] == ["small (a/small)", "small (b/small)"]


def test_the_front_by_hand():
    """b costs more than a and is worse, d is as good as c and costs more, e is as cheap as a and worse."""
    a, b, c, d, e = (
        Point(name, "model", cost, quality)
        for name, cost, quality in [("a", 1, 5), ("b", 2, 4), ("c", 3, 7), ("d", 4, 7), ("e", 1, 3)]
    )
    assert front([d, c, b, e, a]) == [a, c]


def test_quality_is_a_mean_over_what_most_models_share():
    """One more task of one model changes nothing; a model of another task is left out."""
    one = Model("one", "model", "one", 1, {("x", "f1"): 50.0, ("y", "f1"): 70.0, ("z", "f1"): 0.0})
    two = Model("two", "model", "two", 1, {("x", "f1"): 10.0, ("y", "f1"): 20.0})
    three = Model("three", "model", "three", 1, {("w", "f1"): 90.0})
    kept, quality, tasks = comparable([three, one, two])
    assert (kept, quality, tasks) == ([one, two], {one: 60.0, two: 15.0}, [("x", "f1"), ("y", "f1")])


def test_short_names(tmp_path):
    one, two, three = tmp_path / "a" / "s", tmp_path / "b" / "s", tmp_path / "b" / "t"
    assert short_names([one, two, three]) == {one: "a/s", two: "b/s", three: "t"}


def test_latency_is_that_of_the_fastest_backend(tmp_path):
    """In the setting in which most models were timed; of batch 1 only, and never a row that failed."""
    tune(tmp_path / "a", "x/small", 0.5)
    tune(tmp_path / "b", "x/large", 0.75, parameters=9_000)
    tune(tmp_path / "c", "x/untimed", 0.9)
    save_timings(
        tmp_path / "timed.json",
        timing("y/small"),
        timing("y/small", "onnx", seconds=[0.0015]),
        timing("y/small", "int8", seconds=[0.0001], batch_size=2),
        timing("y/small", "int8", seconds=[0.0001], sequence_length=512),
        failed("y/small", "No.", backend="int4"),
        timing("y/large", seconds=[0.008]),
    )
    found = tradeoff.by_latency(take_stock([tmp_path]))
    assert [(point.label, round(point.cost, 6), point.quality) for point in found.points] == [
        ("small (onnx)", 1.5, 50.0),
        ("large (torch)", 8.0, 75.0),
    ]
    assert found.cost == "ms for one input of 8 tokens (encoder, cpu)"
    assert "untimed" in found.notes[-1]


def test_roles(tmp_path):
    """Weights drawn at random are no student's, though the shape is."""
    distil(tmp_path / "student")
    for name, model in (("a", "student"), ("b", "x/teacher"), ("c", "x/other")):
        tune(tmp_path / "tuned" / name, model, 0.5)
    tune(tmp_path / "tuned" / "d", "student", 0.5, random_weights=True)
    found = tradeoff.by_size(take_stock([tmp_path]))
    assert [point.role for point in found.points] == ["student", "teacher", "model", "random weights"]


def test_held_out_words_stand_in_for_scores(tmp_path):
    """The teacher's size is known from its timings."""
    distil(tmp_path / "student")
    save_timings(tmp_path / "timed.json", timing("x/teacher", parameters=9_000), timing("y/student"))
    inventory = take_stock([tmp_path])
    assert tradeoff.by_size(inventory).points == [
        Point("teacher", "teacher", 9_000, 50.0),
        Point("student", "student", 1_000, 25.0),
    ]
    assert tradeoff.by_size(inventory).quality == "held-out text, word accuracy, %"
    assert [point.label for point in tradeoff.by_latency(inventory).points] == ["teacher (torch)", "student (torch)"]


@pytest.mark.parametrize(
    ("source", "batch_size", "missing"),
    [("x/other", 1, "No model whose quality is known was timed"), ("x/small", 2, "of batch 1 were not found")],
)
def test_what_latency_lacks_is_said(source, batch_size, missing, tmp_path, made):
    tune(tmp_path / "in" / "a", "x/small", 0.5)
    save_timings(tmp_path / "in" / "timed.json", timing(source, batch_size=batch_size))
    text = made(tmp_path / "in")
    assert missing in text and "quality-latency.png" not in text


def test_a_broken_file_in_a_folder_is_skipped(tmp_path, made, caplog):
    tune(tmp_path / "in" / "a", "x/small", 0.5)
    (tmp_path / "in" / "torn.json").write_text('{"hardware": {')
    save(tmp_path / "in" / "step.json", {"hardware": HARDWARE, "rows": [{"way": "dense"}]})  # of another benchmark
    assert "## Inference" not in made(tmp_path / "in")
    assert [record.message.split(" cannot")[0] for record in caplog.records] == [str(tmp_path / "in" / "torn.json")]


def test_what_is_wrong_is_one_sentence(tmp_path, capsys):
    """And nothing is written."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "torn.json").write_text("{")
    tune(tmp_path / "twice" / "a", "x/small", 0.5)
    tune(tmp_path / "twice" / "b", "x/small", 0.6)
    for name, says in (
        ("empty", "name folders of finished runs"),
        ("absent", "does not exist"),
        ("torn.json", "cannot be read as JSON"),
        ("twice", "name one of them"),
    ):
        with pytest.raises(SystemExit) as caught:
            report.main([str(tmp_path / name), "--output_dir", str(tmp_path / "made")])
        error = capsys.readouterr().err
        assert caught.value.code == 2 and says in error and str(tmp_path / name) in error
        assert error.count("\n") == 1 and not (tmp_path / "made").exists()


def test_an_output_folder_that_is_a_file(tmp_path, capsys):
    file = save_timings(tmp_path / "timed.json", timing("a/small"))
    with pytest.raises(SystemExit):
        report.main([str(file), "--output_dir", str(file)])
    assert "is a file" in capsys.readouterr().err


def test_the_same_thing_timed_twice(tmp_path):
    """The second would hide the first; one file named twice is one."""
    file = save_timings(tmp_path / "timed.json", timing("a/small"))
    assert len(take_stock([file, tmp_path]).timings) == 1
    shutil.copy(file, tmp_path / "again.json")
    with pytest.raises(UserError, match=r"timed twice.*again\.json.*timed\.json"):
        take_stock([tmp_path])


def test_a_row_that_lacks_its_figures(tmp_path):
    file = save_timings(tmp_path / "timed.json", timing("a/small", seconds=[]))
    with pytest.raises(UserError, match=r"timed\.json: the row of small has no `seconds`"):
        take_stock([file])
