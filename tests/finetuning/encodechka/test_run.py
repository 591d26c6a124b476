"""The script: what it leaves, and that scores of several calls meet in one table."""

import pytest

from benchmarks import scores
from distillation.config.errors import UserError
from distillation.hub.measured import gather
from distillation.runs.files import RESULTS, find_runs, read_json, write_json
from finetuning.encodechka.tasks import TASKS
from finetuning.run_encodechka import main


@pytest.fixture(scope="module")
def folder(teacher_folder, board, tmp_path_factory):
    """What a call with floors leaves."""
    output = tmp_path_factory.mktemp("scored") / "output"
    main(["--model_name_or_path", str(teacher_folder), "--data_dir", str(board), "--output_dir", str(output)])
    return output


def test_figures_of_the_model_and_of_floors(folder, teacher_folder):
    floors = {"hashing_1000_char", "hashing_300", f"{teacher_folder.name}-random"}
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {teacher_folder.name, *floors}
    found = read_json(folder / teacher_folder.name / RESULTS)
    assert found["test_mean_sw"] == pytest.approx(sum(found[f"test_{task}"] for task in TASKS) / 10)
    assert found["test_mean_s"] == pytest.approx(sum(found[f"test_{task}"] for task in TASKS[:8]) / 8)
    assert found["test_sa"] == max(found["ways"]["sa"].values()) and len(found["ways"]["sa"]) == 8
    assert found["mib"] == pytest.approx(4 * found["parameters"] / 2**20) and found["ms"] > 0


def test_a_second_call_repeats_no_floor_and_the_table_has_all(folder, teacher_folder, board, capsys):
    floor = folder / "hashing_300" / RESULTS
    before = floor.stat().st_mtime_ns
    main(["--model_name_or_path", str(teacher_folder), "--data_dir", str(board), "--output_dir", str(folder)])
    shown = capsys.readouterr().out
    assert floor.stat().st_mtime_ns == before
    assert (
        "| **hashing_300** |" in shown and "| cointegrated/rubert-tiny2 (published) | 111.4 | 5.5 | 0.704 |" in shown
    )
    assert shown.endswith((folder / "encodechka.md").read_text("utf-8")) and (folder / "encodechka.png").exists()


def test_scores_and_the_card_read_the_figures(folder, teacher_folder):
    runs = find_runs([folder])
    shown = {score.model: score.value for score in scores.scores(runs)}
    own = read_json(folder / teacher_folder.name / RESULTS)
    assert shown[teacher_folder.name] == pytest.approx(100 * own["test_mean_s"])
    assert f"{teacher_folder.name}, random weights" in shown
    found = gather(teacher_folder, {"recipe": {}}, [folder / teacher_folder.name])["scores"][0]
    assert found["model"] == "this model" and found["frozen"]


def test_an_exported_folder_is_scored_beside_hashing_alone(exported_folder, board, tmp_path):
    main(["--model_name_or_path", str(exported_folder), "--data_dir", str(board), "--output_dir", str(tmp_path / "o")])
    floors = {"hashing_1000_char", "hashing_300"}
    assert {path.name for path in (tmp_path / "o").iterdir() if path.is_dir()} == {exported_folder.name, *floors}
    found = read_json(tmp_path / "o" / exported_folder.name / RESULTS)
    assert found["mib"] == pytest.approx((exported_folder / "model.onnx").stat().st_size / 2**20)
    assert "own" in found["ways"]["sts"] and not found["recipe"]["random_weights"] and found["parameters"] > 0


def test_two_models_of_one_name_are_refused(folder, board, tmp_path):
    argv = ["--model_name_or_path", str(folder), str(folder), "--data_dir", str(board)]
    with pytest.raises(UserError, match="two end in"):
        main.__wrapped__(argv)
    write_json(tmp_path / folder.name / "all_results.json", {"model": "another"})
    with pytest.raises(UserError, match="has .* of 'another': name another folder"):
        main.__wrapped__([*argv[:2], *argv[3:], "--output_dir", str(tmp_path)])
