"""The nine tasks from end to end, on small inputs: scores, baselines, a submission."""

import json
import zipfile
from statistics import fmean

import pytest

from finetuning import run_russian_superglue
from finetuning.russian_superglue.readers import read
from finetuning.russian_superglue.tasks import METRICS, NAMES
from tests.finetuning.demo_sets import small_demo

QUICK = ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "48", "--num_train_epochs", "1"]
QUICK += ["--per_device_train_batch_size", "64", "--learning_rate", "1e-3"]


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return small_demo("russian_superglue", tmp_path_factory.mktemp("superglue"), 32, 12)


def run(model, data, output, *more):
    where = ["--model_name_or_path", str(model), "--data_dir", str(data), "--output_dir", str(output)]
    run_russian_superglue.main([*where, *QUICK, *more])
    return load(output / "russian_superglue.json")


@pytest.fixture(scope="session")
def finished(tmp_path_factory, data, teacher_folder):
    folder = tmp_path_factory.mktemp("finished")
    run(teacher_folder, data, folder, "--submission", str(folder / "submission.zip"))
    return folder


def part_of(data, folder, *names):
    folder.mkdir()
    for name in names:
        (folder / name).symlink_to(data / name)
    return folder


def test_every_task_has_its_scores(finished):
    """The model of TERRa answers LiDiRus. F1a of MuSeRC is 0 for a model that answers "no": ROC AUC chooses."""
    report = load(finished / "russian_superglue.json")
    assert set(report["tasks"]) == set(NAMES)
    results = {name: load(finished / name / "all_results.json") for name in NAMES}
    for name, task in report["tasks"].items():
        assert all(set(task[who]) == set(METRICS[name]) for who in ("model", "majority", "random"))
        assert all(task["model"][metric] == results[name][f"test_{metric}"] for metric in METRICS[name])
        assert 0 <= task["truncated"] <= 1
    for who, overall in report["overall"].items():  # a task with two figures counts once
        assert overall == pytest.approx(fmean(fmean(task[who].values()) for task in report["tasks"].values()))
    table = (finished / "russian_superglue.md").read_text(encoding="utf-8").splitlines()
    assert len(table) == 2 + 9 + 1 and f"| {100 * report['overall']['model']:.1f} |" in table[-1]
    assert results["lidirus"]["steps"] == 0 and results["lidirus"]["model"] == str(finished / "terra")
    assert len({(finished / name / "model.safetensors").read_bytes() for name in ("terra", "lidirus")}) == 1
    assert results["muserc"]["metric"] == "f1a"
    assert results["muserc"]["chosen_by"] == "`roc_auc` on the validation part"
    state = load(finished / "muserc" / "trainer_state.json")
    assert state["best_metric"] == max(log["eval_roc_auc"] for log in state["log_history"] if "eval_roc_auc" in log)


def test_the_submission_answers_every_example(finished, data):
    with zipfile.ZipFile(finished / "submission.zip") as archive:
        for name, official in NAMES.items():
            lines = [json.loads(line) for line in archive.read(f"submission/{official}.jsonl").splitlines()]
            rows = read(name, str(data))["submission"]
            ids = {row["idx"][0] if name == "muserc" else row["idx"] for row in rows}
            assert {line["idx"] for line in lines} == ids
            if name != "muserc":
                predictions = (finished / name / "submission_predictions.jsonl").read_text(encoding="utf-8")
                said = {p["id"]: str(p["prediction"]) for p in map(json.loads, predictions.splitlines())}
                by_idx = {row["idx"]: said[row["id"]] for row in rows}
                assert all(str(line["label"]).lower() == by_idx[line["idx"]].lower() for line in lines)


def test_one_task_and_a_submission_of_baselines(data, teacher_folder, tmp_path, caplog):
    """What was not run is answered by the commonest label, and without data by nothing; the log says which."""
    partial = part_of(data, tmp_path / "data", "TERRa", "RCB", "LiDiRus")
    report = run(teacher_folder, partial, tmp_path / "out", "--task", "rcb", "--submission", str(tmp_path / "s.zip"))
    assert list(report["tasks"]) == ["rcb"]
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        assert len(archive.namelist()) == 10 and archive.read("submission/RuCoS.jsonl") == b""
        assert len({json.loads(line)["label"] for line in archive.read("submission/TERRa.jsonl").splitlines()}) == 1
    assert "TERRa was not run, so that the commonest label answers" in caplog.text
    assert "RuCoS was not run, and there are no data" in caplog.text


def test_several_seeds(data, teacher_folder, tmp_path, caplog):
    partial, out = part_of(data, tmp_path / "data", "TERRa", "LiDiRus"), tmp_path / "out"
    report = run(teacher_folder, partial, out, "--seeds", "1", "2")
    assert list(report["tasks"]) == ["terra", "lidirus"] and "no RuCoS" in caplog.text
    assert report["seeds"] == [1, 2] and report["tasks"]["lidirus"]["model_std"]["matthews_correlation"] is not None
    assert (out / "russian_superglue.md").read_text(encoding="utf-8").count(" ± ") == 2
    assert load(out / "lidirus" / "seed-2" / "all_results.json")["model"] == str(out / "terra" / "seed-2")


REFUSED = {
    "--task rcb --submission s.zip --seeds 1": "`submission`",
    "--push_to_hub true --hub_model_id x": "`push_to_hub` publishes one model",
    "--task_teacher x": "`task_teacher`",
    "--resume_from_checkpoint some/checkpoint-1": "`resume_from_checkpoint`",
    "--submission .": "is a folder",
    "--metric_for_best_model accuracy": "`metric_for_best_model`",
}


@pytest.mark.parametrize("more", REFUSED)
def test_what_cannot_be_done_is_said(data, teacher_folder, tmp_path, capsys, more):
    with pytest.raises(SystemExit) as caught:
        run(teacher_folder, data, tmp_path / "out", *more.split())
    assert caught.value.code == 2 and REFUSED[more] in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
