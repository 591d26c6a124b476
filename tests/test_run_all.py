"""run_all.sh, with a stand-in for Python: every command that it gives can be followed, and what fails ends it."""

import shutil
import subprocess

import pytest

from tests.stand_in import ROOT, StandIn, check


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Beside a copy of the script that needs no environment."""
    shutil.copy(ROOT / "run_all.sh", tmp_path)
    for name in ("distillation", "finetuning", "benchmarks"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "environment.sh").write_text("")
    monkeypatch.chdir(tmp_path)
    return StandIn(tmp_path)


@pytest.mark.parametrize(("options", "seeds"), [((), ["0", "1", "2"]), (("--quick",), ["0"])])
def test_every_command_of_the_demo_can_be_followed(stand_in, options, seeds):
    commands = stand_in.run("./run_all.sh", *options)
    assert {"distillation/run.py", "finetuning/run_benchmarks.py"} < {script for script, *_ in commands}
    for script, *words in commands:
        assert all((ROOT / word).is_file() for word in (script, *words) if word.endswith((".py", ".yaml")))
        check(script, words)
    (comparison,) = (words for script, *words in commands if script == "benchmarks/quality.py" and seeds[-1] in words
                     and "demo.yaml" in " ".join(words))  # fmt: skip
    assert comparison[comparison.index("--seeds") + 1 :][: len(seeds)] == seeds


def test_a_recipe_with_a_vocabulary_of_its_own_gets_it_from_the_corpus_first(stand_in, tmp_path):
    (tmp_path / "lines.txt").write_text("Строка.\n", encoding="utf-8")
    call = ["./run_all.sh", "tiny-5k", "--train_file", "lines.txt", "--max_steps", "9"]
    vocabulary, student = stand_in.run(*call)
    assert vocabulary == ["distillation/run_vocabulary.py", "--vocab_size", "5000", "--output_dir",
                          "outputs/vocabulary-5000", "--train_file", "lines.txt"]  # fmt: skip
    assert student == ["distillation/run.py", "--config", "distillation/recipes/tiny-5k.yaml", *call[2:]]
    check(vocabulary[0], vocabulary[1:])
    assert stand_in.run(*call) == [student]  # the vocabulary is there


def test_what_fails_meanwhile_ends_the_demo(stand_in):
    fails = 'if [[ "$*" = *match* ]]; then echo sorry; exit 1; fi\nwhile ['
    stand_in.write(stand_in.text.replace("while [", fails, 1))
    with pytest.raises(subprocess.CalledProcessError) as failure:
        stand_in.run("./run_all.sh", "--quick")
    assert "sorry" in failure.value.stderr and "== done" not in failure.value.stdout
