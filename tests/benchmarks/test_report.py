"""The report: every figure it finds in its place and picture."""

from benchmarks import report
from benchmarks.reporting import plots, tables
from distillation.runs.files import METRICS, write_json


def distil(folder, accuracy=0.25, seed=0, teacher="x/teacher", **recipe):
    losses = {"student": 2.0, "teacher": 0.5}
    results = {f"{role}_heldout_{metric}": loss for role, loss in losses.items() for metric in METRICS}
    results |= {"student_heldout_masked_word_accuracy": accuracy, "parameters": 1_000, "teacher_parameters": 9_000}
    recipe |= {"teacher_name_or_path": teacher, "seed": seed, "output_dir": str(folder)}
    write_json(folder / "all_results.json", results | {"recipe": recipe, "steps": 10})
    log = [{"step": 5, "loss": 3.0, "kl": 1.5}, {"step": 10, "loss": 2.0, "kl": 1.0}, {"step": 10, "eval_kl": 0.6}]
    write_json(folder / "trainer_state.json", {"log_history": log})


def timing(source, backend="torch", seconds=(0.002, 0.0022, 0.0024), parameters=1_000, **more):
    row = {"model": source.split("/")[-1], "source": source, "head": "encoder", "backend": backend, "device": "cpu"}
    row |= {"batch_size": 1, "sequence_length": 8, "parameters": parameters, "hardware": "cpu"}
    return row | {"seconds": list(seconds), **more}


def make(tmp_path, *paths):
    report.main([*map(str, paths), "--output_dir", str(tmp_path / "made")])
    return (tmp_path / "made" / "report.md").read_text(encoding="utf-8")


def test_all_in_one(tmp_path):
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
    assert all(f"]({name})" in text for name in pictures) and "| student | 0.0 M | 50.0 |" in text


def test_runs_that_differ_in_their_seed_are_one_row(tmp_path):
    """Also that of the order, below their teacher; the same seeds twice are one run; unfinished runs are left out."""
    runs = tmp_path / "runs"
    for seed, accuracy in enumerate((0.2, 0.3, 0.4)):
        distil(runs / f"kl-{seed}", accuracy, seed, weight_kl=2.0)
    distil(runs / "once-more", 0.9, 0, weight_kl=2.0)
    distil(runs / "other-order", 0.3, 0, weight_kl=2.0, data_seed=1)
    distil(runs / "mlm-0", 0.1, weight_kl=0.0)
    table = make(tmp_path, runs).split("\n\n")[2].splitlines()[2:]
    assert table == [
        "| teacher | 9,000 |  | 1 | 0.500 | 0.500 | 50.0 % | 50.0 % |",
        "| kl | 1,000 | 10 | 4 | 2.000 ± 0.000 | 2.000 ± 0.000 | 200.0 ± 0.0 % | 30.0 ± 8.2 % |",
        "| mlm-0 | 1,000 | 10 | 1 | 2.000 | 2.000 | 200.0 % | 10.0 % |",
    ]


def test_models_of_one_name_keep_their_rows(tmp_path):
    """Two teachers in folders of one name, and two recipes whose folders differ in a number."""
    for seed in range(4):
        distil(tmp_path / "runs" / f"small-{seed}", seed=seed % 2, teacher=f"{seed // 2}/teacher")
    table = make(tmp_path, tmp_path / "runs").split("\n\n")[2].splitlines()[2:]
    assert [row.split(" | ")[0] for row in table] == ["| teacher", "| small", "| 1/teacher", "| small-2"]
    for seed in range(2):
        distil(tmp_path / "tiny" / f"seed-{seed}", seed=seed)
    assert "\n| tiny | 1,000 |" in make(tmp_path, tmp_path / "tiny")


def test_a_run_that_ended_before_it_logged_has_no_curve(tmp_path):
    distil(tmp_path / "short")
    write_json(tmp_path / "short" / "trainer_state.json", {"log_history": [{"step": 3, "train_loss": 2.0}]})
    assert "| short |" in make(tmp_path, tmp_path / "short")
    assert not (tmp_path / "made" / "training-curves.png").exists()


def test_curves_are_means_of_the_runs():
    logs = [[{"step": 5, "loss": loss}, {"step": 10, "loss": loss / 2, "eval_loss": loss}] for loss in (3.0, 5.0)]
    line, dots, *_ = plots.training_curves({"kl": logs}).axes[0].lines
    assert line.get_xydata().tolist() == [[5, 4], [10, 2]] and dots.get_xydata().tolist() == [[10, 4]]


def test_the_table_of_inference():
    """Small ones against the largest model in PyTorch, which is not the slowest row. Busy rows are compared with
    nothing: rounds of 109 to 1,556 ms once made a student 1,046 times as fast."""
    small = timing("a/small", "onnx", seconds=[0.002], bound_seconds=0.001, mib=0.5, peak_mib=[3, 5])
    busy = timing("a/large", seconds=[0.109, 1.556], parameters=9_000, bound_seconds=0.001)
    rows = [timing("a/large", name, [seconds], 9_000) for name, seconds in (("onnx", 1.5), ("torch", 0.008))]
    rows.append(timing("a/large", "int8", parameters=9_000, error="No room\nfor it."))
    assert tables.speed_table([small, *rows]).splitlines()[2:] == [
        "| large | 9,000 | encoder | 1 x 8 | onnx |  | 1,500 [1,500, 1,500] | 0.667 | 0.01 |  |  |",
        "| large | 9,000 | encoder | 1 x 8 | torch |  | 8 [8, 8] | 125 | 1.00 |  |  |",
        "| small | 1,000 | encoder | 1 x 8 | onnx | 0.5 | 2 [2, 2] | 500 | 4.00 | 50% | 4 |",
        "| large | 9,000 | encoder | 1 x 8 | int8 |  | not measured: No room for it. |  |  |  |  |",
    ]
    assert tables.speed_table([busy, small]).splitlines()[2:] == [
        "| large | 9,000 | encoder | 1 x 8 | torch |  | 832 [109, 1,556] spread 14.3x |  |  |  |  |",
        "| small | 1,000 | encoder | 1 x 8 | onnx | 0.5 | 2 [2, 2] | 500 |  | 50% | 4 |",
    ]
    long, others = timing("a/x", sequence_length=16), [timing("a/x"), timing("a/x", sequence_length=16, batch_size=2)]
    assert tables.single_inputs([busy, *others, long]) == [long], "the longest single input"
