"""Every script answers `--help` and a mistake on the command line before it imports anything that takes seconds."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAIN = 'if __name__ == "__main__":\n    main()'
FILES = [path for stage in ("distillation", "finetuning", "benchmarks") for path in (ROOT / stage).rglob("*.py")]
SCRIPTS = [str(path.relative_to(ROOT)) for path in sorted(FILES) if MAIN in path.read_text(encoding="utf-8")]
HEAVY = ["torch", "transformers", "datasets", "accelerate", "evaluate", "huggingface_hub", "scipy", "sklearn"]
HEAVY += ["pandas", "matplotlib", "onnx", "onnxruntime", "openvino", "tensorboard"]
TABLE = str(ROOT / "finetuning/demo/rusentiment/rusentiment_test.csv.gz")
OF_ALL = [["--help"], ["--xyzzy", "1"], ["--config", "nowhere.yaml"]]
TUNED = ["--model_name_or_path", "me/model", "--data_dir", "demo"]
OF_ONE = [  # mistakes that a script finds after its command line is parsed
    ("distillation/run.py", ["--train_file", "nowhere.txt"]),
    ("distillation/run_publish.py", ["--checkpoint", "nowhere"]),
    ("benchmarks/inference.py", ["--output", "no/such/x.json"]),
    ("benchmarks/training_step.py", ["--recipes", "nowhere"]),
    ("benchmarks/quality.py", ["--variants", "weight"]),
    ("benchmarks/compare.py", ["--models", "nowhere", "--baseline", "nowhere"]),
    ("benchmarks/scores.py", ["nowhere"]),
    ("benchmarks/report.py", ["nowhere", "--output_dir", "new"]),
    ("finetuning/run_benchmarks.py", ["--tasks", "glue", "--models", "me/model", "--output_dir", "new"]),
    ("finetuning/run_classification.py", [*TUNED[:2], "--train_file", TABLE, "--label_column", "stars"]),
    ("finetuning/run_tagging.py", [*TUNED[:2], "--train_file", TABLE]),
    ("finetuning/run_russian_superglue.py", [*TUNED, "--task", "glue"]),
    ("finetuning/run_encodechka.py", ["--model_name_or_path", "me/model", "--data_dir", "nowhere"]),
    ("finetuning/run_predict.py", ["--model_name_or_path", "me/model", "--input", "absent", "--output", "x.csv"]),
]
CALLS = [(script, argv) for script in SCRIPTS for argv in OF_ALL] + OF_ONE
STARTER = """
import contextlib, io, json, runpy, sys

root, heavy, calls = json.load(sys.stdin)
for script, argv in calls:
    out, err, code = io.StringIO(), io.StringIO(), None
    sys.argv = [script, *argv]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            runpy.run_path(f"{root}/{script}", run_name="__main__")
        except SystemExit as ended:
            code = ended.code
        except Exception as error:
            code = repr(error)
    print(json.dumps([code, out.getvalue(), err.getvalue(), [name for name in heavy if name in sys.modules]]))
"""


def answers_of(calls, folder, *options):
    """(exit code or exception, standard output, standard error, heavy modules so far) of each call."""
    words, text = [sys.executable, *options, "-c", STARTER], json.dumps([str(ROOT), HEAVY, calls])
    ended = subprocess.run(words, input=text, cwd=folder, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert not list(folder.iterdir())
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return answers_of(CALLS, tmp_path_factory.mktemp("start"))


@pytest.mark.parametrize("number", range(len(CALLS)), ids=lambda number: CALLS[number][0])
def test_a_script_starts_light(number, answers):
    """A mistyped key would cost ten seconds before it is told."""
    (_, argv), (code, out, err, imported) = CALLS[number], answers[number]
    assert not imported
    if argv == ["--help"]:
        assert code in (0, None) and "usage:" in out and "--config" in out
    else:
        assert code == 2 and err.startswith("error: ") and err.count("\n") == 1


def test_a_python_without_the_requirements_is_told_where_they_are(tmp_path):
    for code, _, err, _ in answers_of([(script, ["--help"]) for script in SCRIPTS], tmp_path, "-S"):
        assert code == 2 and err.startswith("error: ") and "`source .venv/bin/activate`" in err
