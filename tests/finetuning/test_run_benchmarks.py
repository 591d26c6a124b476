"""Checkpoints by benchmarks in one command."""

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
def results_of(argv, folder):
    """Runs all of it once. A function that reads a file of the output."""
    with pytest.raises(SystemExit, match="4 of 12 runs failed.*broken on rusentiment: `model_name_or_path`"):
        run_benchmarks.main(argv)
    return lambda *names: json.loads(folder.joinpath("out", *names).read_text(encoding="utf-8"))


def test_a_run_that_fails_is_named_and_the_others_go_on(results_of, teacher_folder):
    found, broken = results_of("benchmarks.json"), ("broken", "broken, with a task teacher")
    lost = [f"{name} on {task}" for task in ("rusentiment", "terra") for name in broken]
    assert [name.split(":")[0] for name in found["failed"]] == lost
    names = {teacher_folder.name, "student", "student, random weights", "student, with a task teacher"}
    assert {name for name, scores in found["results"].items() if set(scores) == {"rusentiment", "terra"}} == names


def test_a_cell_is_what_the_tasks_own_script_finds(results_of, folder, benchmarks, tmp_path):
    cell = results_of("benchmarks.json")["results"]["student"]["rusentiment"]
    words = ["--model_name_or_path", str(folder / "student"), "--data_dir", str(benchmarks / "rusentiment")]
    run_rusentiment.main([*words, "--seed", "2", "--output_dir", str(tmp_path), *COMMON])
    own = json.loads((tmp_path / "all_results.json").read_text(encoding="utf-8"))
    assert cell["seeds"] == [1, 2] and cell["metric"] == "f1_weighted"
    assert cell["scores"][1] == pytest.approx(100 * own["test_f1_weighted"])


def test_what_is_special_of_a_row(results_of, teacher_folder):
    folders = ("student", "student-random", "student-taught", teacher_folder.name)
    plain, random, taught, teacher = (results_of(one, "terra", "seed-1", "all_results.json") for one in folders)
    assert len({one["test_loss"] for one in (plain, random, taught)}) == 3
    assert not plain["recipe"].get("random_weights") and "task_teacher" not in plain
    assert random["recipe"]["random_weights"] and taught["recipe"]["weight_kl"] == 1
    assert taught["task_teacher"].pop("model").endswith(f"/{teacher_folder.name}/terra/seed-1")
    assert taught["task_teacher"] == pytest.approx({key: teacher[key] for key in taught["task_teacher"]}, rel=1e-5)


def test_what_is_finished_is_not_run_again(results_of, argv, monkeypatch, capsys):
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


def test_where_the_data_of_a_task_are(tmp_path, monkeypatch):
    """A folder for each set in the one that is named, if it has one; or by name of the set or the task."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rusentiment").mkdir()
    cases = {".": ["rusentiment", "."], "elsewhere terra=me/sets": ["elsewhere", "me/sets"]}
    cases |= {"russian_superglue=sg rusentiment=rs": ["rs", "sg"], "": [None, None]}
    for words, found in cases.items():
        arguments = BenchmarksArguments(["terra"], "out", models=["m"], data_dir=words.split())
        assert [arguments.data_of(task) for task in ("rusentiment", "terra")] == found


def test_models_of_one_name_are_told_apart():
    rows = rows_of(BenchmarksArguments(["terra"], "out", models=["a/tiny", "b/tiny", "./c/small"]))
    assert [(row.name, row.folder) for row in rows] == [("a/tiny", "a-tiny"), ("b/tiny", "b-tiny"), ("small", "small")]


REFUSED = ["--models", "--task_teacher other", "--push_to_hub true --hub_model_id me/model", "--data_dir demo demo"]
REFUSED += ["--data_dir demo russentiment=a", "--tasks classification", "--resume_from_checkpoint some/one"]


@pytest.mark.parametrize("words", REFUSED)
def test_what_is_refused_before_the_first_run(words, tmp_path, capsys):
    common = f"--tasks rusentiment --models me/model --data_dir demo --output_dir {tmp_path / 'o'} {words}"
    with pytest.raises(SystemExit, match="2"):
        run_benchmarks.main(common.split())
    assert f"error: `{words.split()[0][2:]}`" in capsys.readouterr().err and not (tmp_path / "o").exists()


@pytest.mark.parametrize("key", ["model_name_or_path", "task", "submission"])
def test_keys_of_one_model_on_one_task_are_none_of_several(key, tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        run_benchmarks.main(f"--tasks terra --models me/model --{key} x --output_dir {tmp_path / 'o'}".split())
    assert f"unknown key `{key}`" in capsys.readouterr().err
