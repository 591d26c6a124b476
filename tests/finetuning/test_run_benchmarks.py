"""Checkpoints by benchmarks in one command: every cell is the run of the task's own script, and none is lost."""

import json
import shutil

import pytest

from finetuning import run_benchmarks, run_rusentiment
from finetuning.run_benchmarks import BenchmarksArguments, rows_of
from finetuning.trainer import TaskTrainer
from tests.finetuning.demo_sets import small_demo

COMMON = "--use_cpu true --disable_tqdm true --report_to none --max_length 48 --max_steps 3 --save_strategy steps "
COMMON = (COMMON + "--eval_strategy steps --eval_steps 3 --save_steps 3 --learning_rate 2e-3").split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("all")


@pytest.fixture(scope="module")
def argv(folder, teacher_folder, benchmarks):
    """Two tasks; two models, of which one is broken; random weights; a task teacher; two seeds."""
    small_demo("russian_superglue", folder)
    student, broken = shutil.copytree(teacher_folder, folder / "student"), folder / "broken"
    broken.mkdir()
    shutil.copy(teacher_folder / "config.json", broken)
    words = ["--tasks", "rusentiment", "terra", "--models", teacher_folder, student, broken, "--random_weights"]
    words += [student, "--task_teacher", teacher_folder, "--seeds", 1, 2, "--output_dir", folder / "out"]
    return [*map(str, [*words, "--data_dir", benchmarks, f"terra={folder / 'russian_superglue'}"]), *COMMON]


@pytest.fixture(scope="module")
def failed(argv):
    """Runs all of it once; the sentence at its end, which makes exit code 1."""
    with pytest.raises(SystemExit) as ended:
        run_benchmarks.main(argv)
    return ended.value.code


@pytest.fixture
def results_of(failed, folder):
    """A function that reads a file of the output."""
    return lambda *names: json.loads(folder.joinpath("out", *names).read_text(encoding="utf-8"))


def test_a_run_that_fails_is_named_and_the_others_go_on(failed, results_of, teacher_folder):
    found = results_of("benchmarks.json")
    assert "4 of 12 runs failed" in failed and "broken on rusentiment: `model_name_or_path`" in failed
    assert [name.split(":")[0] for name in found["failed"]] == [
        f"{name} on {task}" for task in ("rusentiment", "terra") for name in ("broken", "broken, with a task teacher")
    ]
    names = {teacher_folder.name, "student", "student, random weights", "student, with a task teacher"}
    assert {name for name, scores in found["results"].items() if set(scores) == {"rusentiment", "terra"}} == names


def test_a_cell_is_what_the_tasks_own_script_finds(results_of, folder, benchmarks, tmp_path):
    """With the same keys, of the model that the row names."""
    cell = results_of("benchmarks.json")["results"]["student"]["rusentiment"]
    words = ["--model_name_or_path", str(folder / "student"), "--data_dir", str(benchmarks / "rusentiment")]
    run_rusentiment.main([*words, "--seed", "2", "--output_dir", str(tmp_path), *COMMON])
    own = json.loads((tmp_path / "all_results.json").read_text(encoding="utf-8"))
    assert cell["seeds"] == [1, 2] and cell["metric"] == "f1_weighted"
    assert cell["scores"][1] == pytest.approx(100 * own["test_f1_weighted"])
    of_seed = results_of("student", "rusentiment", "seed-2", "all_results.json")
    assert of_seed["test_loss"] == pytest.approx(own["test_loss"])


def test_what_is_special_of_a_row(results_of, teacher_folder):
    """Every student ends elsewhere. The figures of the task teacher are those that it was saved with."""
    folders = ("student", "student-random", "student-taught", teacher_folder.name)
    plain, random, taught, teacher = (results_of(one, "terra", "seed-1", "all_results.json") for one in folders)
    assert len({one["test_loss"] for one in (plain, random, taught)}) == 3
    assert not plain["recipe"].get("random_weights") and "task_teacher" not in plain
    assert random["recipe"]["random_weights"] and taught["recipe"]["weight_kl"] == 1
    assert taught["task_teacher"].pop("model").endswith(f"/{teacher_folder.name}/terra/seed-1")
    assert taught["task_teacher"] == pytest.approx({key: teacher[key] for key in taught["task_teacher"]}, rel=1e-5)


def test_what_is_finished_is_not_run_again(results_of, argv, monkeypatch, capsys):
    """The same command continues after an interruption, and prints the complete table, and nothing else."""
    monkeypatch.setattr(TaskTrainer, "train", lambda *args, **options: pytest.fail("trained again"))
    before = results_of("benchmarks.json")
    with pytest.raises(SystemExit):
        run_benchmarks.main(argv)
    assert results_of("benchmarks.json") == before
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| model | parameters | rusentiment, f1_weighted | terra, accuracy |"
    one, other = before["results"]["student"]["terra"]["scores"]
    (row,) = (line for line in lines if line.startswith("| student |"))
    assert row.endswith(f"| {(one + other) / 2:.1f} ± {abs(one - other) / 2**0.5:.1f} |")
    assert "| broken |  |  |  |" in lines


@pytest.mark.parametrize(
    ("data_dir", "found"),
    [
        (["demo"], ["demo", "demo"]),
        (["."], ["rusentiment", "."]),
        (["elsewhere", "terra=me/sets"], ["elsewhere", "me/sets"]),
        (["russian_superglue=sg", "rusentiment=rs"], ["rs", "sg"]),
        ([], [None, None]),
    ],
)
def test_where_the_data_of_a_task_are(data_dir, found, tmp_path, monkeypatch):
    """A folder for each set in the one that is named, if it has one; or by name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rusentiment").mkdir()
    arguments = BenchmarksArguments(["terra"], "out", models=["m"], data_dir=data_dir)
    assert [arguments.data_of(task) for task in ("rusentiment", "terra")] == found


def test_models_of_one_name_are_told_apart():
    rows = rows_of(BenchmarksArguments(["terra"], "out", models=["a/tiny", "b/tiny", "./c/small"]))
    assert [(row.name, row.folder) for row in rows] == [("a/tiny", "a-tiny"), ("b/tiny", "b-tiny"), ("small", "small")]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--tasks glue", "no task 'glue'"),
        ("--models", "`models` is missing"),
        ("--task_teacher other", "`task_teacher` 'other' is none of `models`"),
        ("--push_to_hub true --hub_model_id me/model", "`push_to_hub` publishes one model"),
        ("--learning_rat 1", "unknown key `learning_rat`; did you mean `learning_rate`"),
    ],
)
def test_what_is_refused_before_the_first_run(words, sentence, tmp_path, capsys):
    common = "--tasks rusentiment --models me/model --data_dir demo --output_dir".split()
    with pytest.raises(SystemExit) as ended:
        run_benchmarks.main([*common, str(tmp_path / "o"), *words.split()])
    assert ended.value.code == 2 and sentence in capsys.readouterr().err
    assert not (tmp_path / "o").exists()
