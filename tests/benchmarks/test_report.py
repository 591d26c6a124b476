"""The report: every figure it finds in its place and picture, and one sentence for what is wrong or missing."""

import pytest

from benchmarks import report
from benchmarks.reporting import plots, tables
from benchmarks.scores import Score
from distillation.runs.files import METRICS, write_json


def distil(folder, accuracy=0.25, seed=0, **recipe):
    losses = {"student": 2.0, "teacher": 0.5}
    results = {f"{role}_heldout_{metric}": loss for role, loss in losses.items() for metric in METRICS}
    results |= {"student_heldout_masked_word_accuracy": accuracy, "parameters": 1_000, "teacher_parameters": 9_000}
    recipe |= {"teacher_name_or_path": "x/teacher", "seed": seed, "output_dir": str(folder)}
    write_json(folder / "all_results.json", results | {"recipe": recipe, "steps": 10})
    log = [{"step": 5, "loss": 3.0, "kl": 1.5}, {"step": 10, "loss": 2.0, "kl": 1.0}, {"step": 10, "eval_kl": 0.6}]
    write_json(folder / "trainer_state.json", {"log_history": log})


def timing(source, backend="torch", seconds=(0.002, 0.0022, 0.0024), parameters=1_000, **more):
    row = {"model": source.split("/")[-1], "source": source, "head": "encoder", "backend": backend, "device": "cpu"}
    row |= {"batch_size": 1, "sequence_length": 8, "parameters": parameters, "hardware": "cpu"}
    return row | {"seconds": list(seconds), **more}


def make(tmp_path, *paths):
    """The text of a report."""
    report.main([*map(str, paths), "--output_dir", str(tmp_path / "made")])
    return (tmp_path / "made" / "report.md").read_text(encoding="utf-8")


def test_all_in_one(tmp_path):
    """Every picture that the page shows is there, and no other."""
    runs = tmp_path / "runs"
    distil(runs / "student")
    for model, score in ((runs / "student", 0.5), ("x/teacher", 0.8)):
        run = {"task": "terra", "metric": "f1", "test_f1": score, "model": str(model), "parameters": 1_000}
        write_json(runs / f"tuned-{score}" / "all_results.json", run | {"recipe": {}})
    rows = [timing(str(runs / "student"), mib=4), timing("x/teacher", parameters=9_000, mib=36)]
    write_json(tmp_path / "timed.json", {"hardware": {"cpu": "Abacus", "threads": 2}, "rows": rows})
    text = make(tmp_path, runs, tmp_path / "timed.json")
    pictures = {path.name for path in (tmp_path / "made").glob("*.png")}
    assert pictures == {"training-curves.png", "size-and-speed.png", "quality-size.png", "quality-latency.png"}
    for name in pictures:
        assert f"]({name})" in text and (tmp_path / "made" / name).read_bytes().startswith(b"\x89PNG")
    assert "| student | 0.0 M | 50.0 |" in text


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path):
    """Below their teacher; the same seed twice is one run, and unfinished runs are left out."""
    for seed, accuracy in enumerate((0.2, 0.3, 0.4)):
        distil(tmp_path / "runs" / f"kl-{seed}", accuracy, seed, weight_kl=2.0)
    distil(tmp_path / "runs" / "once-more", 0.9, 0, weight_kl=2.0)
    distil(tmp_path / "runs" / "mlm-0", 0.1, weight_kl=0.0)
    distil(tmp_path / "runs" / "mlm-0" / "checkpoint-5", 0.8, weight_kl=0.0)
    table = make(tmp_path, tmp_path / "runs").split("\n\n")[2].splitlines()[2:]
    assert table == [
        "| teacher | 9,000 |  | 1 | 0.500 | 0.500 | 50.0 % | 50.0 % |",
        "| kl | 1,000 | 10 | 3 | 2.000 ± 0.000 | 2.000 ± 0.000 | 200.0 ± 0.0 % | 30.0 ± 10.0 % |",
        "| mlm-0 | 1,000 | 10 | 1 | 2.000 | 2.000 | 200.0 % | 10.0 % |",
    ]


def test_curves_are_a_line_a_variant_in_a_band():
    logs = [[{"step": 5, "loss": loss}, {"step": 10, "loss": loss / 2, "eval_loss": loss}] for loss in (3.0, 5.0)]
    (axes,) = plots.training_curves({"kl": logs, "mlm": logs[:1]}).axes
    line, dots, other, _ = axes.lines
    assert list(line.get_xydata()[:, 1]) == [4, 2] and list(other.get_xydata()[:, 1]) == [3, 1.5]
    assert dots.get_xydata().tolist() == [[10, 4]]
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((2 - 0.5**0.5, 4 + 2**0.5))


def test_the_table_of_inference():
    """2 ms against the 8 ms of the largest model in PyTorch, which is not the slowest row, and a bound of 1 ms. Busy
    rows are compared with nothing: rounds of 109 to 1,556 ms once made a student 1,046 times as fast."""
    small = timing("a/small", "onnx", seconds=[0.002], bound_seconds=0.001, mib=0.5, peak_mib=[3, 5])
    busy = timing("a/large", seconds=[0.109, 1.556], parameters=9_000, bound_seconds=0.001)
    rows = [
        small,
        timing("a/large", "onnx", seconds=[1.5], parameters=9_000),
        timing("a/large", seconds=[0.008], parameters=9_000),
        timing("a/large", "int8", parameters=9_000, error="No room\nfor it."),
    ]
    assert tables.speed_table(rows).splitlines()[2:] == [
        "| large | 9,000 | encoder | 1 x 8 | onnx |  | 1,500 [1,500, 1,500] | 0.667 | 0.01 |  |  |",
        "| large | 9,000 | encoder | 1 x 8 | torch |  | 8 [8, 8] | 125 | 1.00 |  |  |",
        "| small | 1,000 | encoder | 1 x 8 | onnx | 0.5 | 2 [2, 2] | 500 | 4.00 | 50% | 4 |",
        "| large | 9,000 | encoder | 1 x 8 | int8 |  | not measured: No room for it. |  |  |  |  |",
    ]
    assert tables.speed_table([busy, small]).splitlines()[2:] == [
        "| large | 9,000 | encoder | 1 x 8 | torch |  | 832 [109, 1,556] spread 14.3x |  |  |  |  |",
        "| small | 1,000 | encoder | 1 x 8 | onnx | 0.5 | 2 [2, 2] | 500 |  | 50% | 4 |",
    ]
    assert tables.single_inputs([busy]) == []


def test_quality_is_a_panel_a_task_and_a_point_a_model():
    """Latency is of the longest single input."""
    costs = [(Score(f"m{n}", task, n, 1.0, 10, ""), 10.0 + n) for task in ("a", "b") for n in range(9)]
    picture = plots.quality_against_cost(costs, "ms")
    assert [axes.get_title() for axes in picture.axes] == ["a", "b"] and len(picture.legends[0].texts) == 9
    points = [bars.lines[0] for axes in picture.axes for bars in axes.containers]
    assert len({(point.get_color(), point.get_marker()) for point in points}) == 9, "models that look the same"
    assert [point.get_xydata().tolist() for point in points[:2]] == [[[10, 0]], [[11, 1]]]
    rows = [timing("a/x", name, sequence_length=16) for name in ("torch", "onnx")]
    others = [timing("a/x"), timing("a/x", sequence_length=16, batch_size=2)]
    assert tables.single_inputs([*others, *rows]) == rows


def test_timings_that_lack_something_are_one_sentence(tmp_path, capsys):
    """And nothing is written."""
    write_json(tmp_path / "timed.json", {"hardware": {}, "rows": [{"model": "x"}]})
    with pytest.raises(SystemExit, match="2"):
        report.main([str(tmp_path / "timed.json"), "--output_dir", str(tmp_path / "made")])
    assert "is not as results are" in capsys.readouterr().err and not (tmp_path / "made").exists()
