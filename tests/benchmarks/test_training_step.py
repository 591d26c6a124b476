"""What the benchmark of a step compares is one step: the same batch, no more and no less."""

import json
import os

import pytest
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import training_step
from benchmarks.timing import RECIPES, roofline, synthetic
from benchmarks.timing.step import build
from tests.benchmarks.tiny_models import SHAPE

STUDENT = dict(student_layers=2, student_hidden_size=16, student_initialisation="random", masking_unit="word")
TEACHER = dict(model_type="bert", vocab_size=900, max_position_embeddings=64, **SHAPE | {"num_hidden_layers": 4})


@pytest.fixture
def step(tmp_path, teacher_folder, student_vocabulary, corpus_file):
    """A function from an alignment to a step on the tests' models and text."""

    def make(alignment, **more):
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(STUDENT))
        more |= {} if alignment == "same" else {"student_vocabulary": student_vocabulary}
        more |= dict(teacher_name_or_path=teacher_folder, train_file=corpus_file, max_length=32, use_cpu=True)
        words = {key: [str(value)] for key, value in more.items()}
        return build(training_step.command(f"{tmp_path / 'recipe.yaml'}:{alignment}", words, tmp_path))

    return make


@pytest.mark.parametrize("alignment", ["same", "match", "reduce"])
def test_the_floor_multiplies_what_the_step_has_to(step, alignment, tmp_path):
    made, counted = step(alignment, weight_attention=0, weight_cosine=0), {}
    for name, call in {"floor": made.floor, "step": made.step}.items():
        with FlopCounterMode(display=False) as counter:
            call()
        counted[name] = counter.get_total_flops()
    assert 0.7 * counted["step"] < counted["floor"] <= counted["step"]
    if alignment == "match":  # with its teacher the cached step would be measured as well, and nobody would see
        assert step(alignment, teacher_cache=tmp_path / "cache").trainer.targets.teacher is None


def test_a_published_recipe_gets_what_it_lacks_and_no_other(tmp_path):
    """A recipe of one's own would be measured with another teacher, silently."""
    found = training_step.command("tiny-5k:reduce:weight_cosine=0", {}, tmp_path)
    changes = {"--alignment=reduce", "--weight_cosine=0"}
    assert changes | {f"--student_vocabulary={tmp_path / 'vocabulary-5000'}", "--max_length=128"} <= set(found)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus.txt", "teacher", "vocabulary-5000"]
    assert training_step.command(os.path.relpath(RECIPES / "tiny-5k.yaml"), {}, tmp_path)[2:] == found[2:-2]
    (tmp_path / "mine.yaml").write_text("student_vocabulary: v\nper_device_train_batch_size: 4\n")
    own = training_step.command(str(tmp_path / "mine.yaml"), {"train_file": ["c.txt"]}, tmp_path)
    assert not any(word.startswith(("--student_vocabulary", "--per_device_train_batch_size")) for word in own)
    assert "--train_file" in own and f"--teacher_name_or_path={tmp_path / 'teacher'}" in own


def test_table_and_json(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(roofline, "measure_machine", lambda *_: roofline.Machine({"fp32": 1e12}, 1e10))
    (tmp_path / "vocabulary-500").mkdir()
    synthetic.fill(tmp_path, None)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(STUDENT | {"per_device_train_batch_size": 4}))
    (tmp_path / "shape.yaml").write_text(yaml.safe_dump(TEACHER))
    words = "--recipes {0}/tiny.yaml:match --teacher_shape {0}/shape.yaml --output {0}/steps.json --max_length 32 "
    words += "--student_vocabulary {0}/vocabulary-500 --validation_lines 4 --cached --rounds 1 --use_cpu=true"
    argv = words.format(tmp_path).split()
    training_step.main(argv)
    printed, figures = capsys.readouterr().out, json.loads((tmp_path / "steps.json").read_text())
    assert json.loads(printed.splitlines()[-1]) == figures
    (row,), seconds = figures["rows"], figures["rows"][0]["seconds"]
    assert row["recipe"] == argv[1] and row["examples"] == 4 and row["flops"] > 0
    assert seconds.keys() == {"input pipeline", "step", "floor", "cached", "optimiser"} == row["steady"].keys()
    for other in ("floor", "cached"):
        assert row["ratios"][f"step to {other}"]["median"] == pytest.approx(seconds["step"][0] / seconds[other][0])
    assert "step to floor" in printed and "examples/s" in printed
