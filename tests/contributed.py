"""The examples of CONTRIBUTING.md at work: `test_contributing.py` runs this in a copy of the project that has them."""

import gzip

import pytest

from distillation import run
from distillation.config.errors import UserError
from distillation.config.terms import TERMS
from distillation.runs.files import read_json
from finetuning import run_rucola
from finetuning.formats.locate import DEMO_FOLDER
from finetuning.sets import make_task, rucola

COMMON = ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "32", "--max_steps", "8"]
COMMON += ["--learning_rate", "1e-2", "--logging_steps", "1", "--report_to", "none"]


def test_huber_learns(teacher_folder, corpus_file, tmp_path):
    """Weighed in the loss, logged, in every figure; and at most half of the squared distance."""
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    weights = dict.fromkeys(TERMS, 0) | {"huber": 3, "hidden_mse": 1e-6}
    argv += [f"--weight_{term}={weight}" for term, weight in weights.items()]
    run.main([*argv, *COMMON, "--student_initialisation", "random", "--output_dir", str(tmp_path)])
    logs, results = (read_json(tmp_path / f"{name}.json") for name in ("trainer_state", "all_results"))
    steps = [log for log in logs["log_history"] if "huber" in log]
    assert len(steps) == 8 and steps[-1]["huber"] < steps[0]["huber"]
    assert all(log["loss"] == pytest.approx(3 * log["huber"], rel=1e-3) for log in steps)
    assert results["train_huber"] == pytest.approx(sum(log["huber"] for log in steps) / 8, rel=1e-3)
    assert results["eval_loss"] == pytest.approx(3 * results["eval_huber"], rel=1e-5) and "train_mlm" not in results
    assert results["eval_hidden_mse"] / 4 < results["eval_huber"] < results["eval_hidden_mse"] / 2


@pytest.fixture
def rucola_folder(tmp_path):
    """The demo data, unpacked."""
    for path in (DEMO_FOLDER / "rucola").iterdir():
        (tmp_path / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    return tmp_path


def test_rucola_is_scored(rucola_folder, teacher_folder, tmp_path):
    argv = ["--model_name_or_path", str(teacher_folder), "--data_dir", str(rucola_folder), *COMMON]
    run_rucola.main([*argv, "--output_dir", str(tmp_path / "out")])
    results = read_json(tmp_path / "out" / "all_results.json")
    assert results["metric"] == "matthews_correlation" and -1 <= results["test_matthews_correlation"] <= 1
    assert results["task"] == "rucola" and results["steps"] == 8 and results["examples"]["test"] == 24
    assert results["recipe"]["early_stopping_patience"] == 3 and make_task("rucola").labels == rucola.LABELS
    lines = (tmp_path / "out" / "test_predictions.csv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == '"id","acceptable"' and len(lines) == 25 and lines[1].startswith('"112","')


def test_rucola_refuses_a_wrong_label_by_its_line(rucola_folder):
    with open(rucola_folder / "in_domain_dev.csv", "a", encoding="utf-8") as file:
        file.write("200,Да,maybe\n")
    with pytest.raises(UserError, match="in_domain_dev.csv:26: acceptable 'maybe' is none of 0, 1"):
        rucola.read(str(rucola_folder))
