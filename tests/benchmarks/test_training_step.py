"""What the benchmark of a step compares is one step: the same loss, the same batch, no more and no less."""

import json
import statistics

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import training_step
from benchmarks.timing import synthetic as made_up
from benchmarks.timing.roofline import Machine
from benchmarks.timing.rounds import is_steady

STUDENT = dict(student_layers=2, student_hidden_size=16, student_initialisation="random", masking_unit="word")
SHAPE = dict(
    model_type="bert",
    vocab_size=900,
    hidden_size=32,
    num_hidden_layers=4,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
)


@pytest.fixture
def recipe(tmp_path):
    """A recipe of a tiny student, and the shape of a tiny teacher; everything else is made up."""
    made_up.vocabulary(tmp_path / "vocabulary-500")
    own = {**STUDENT, "student_vocabulary": str(tmp_path / "vocabulary-500"), "per_device_train_batch_size": 4}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(own))
    (tmp_path / "shape.yaml").write_text(yaml.safe_dump(SHAPE))
    return [f"{tmp_path / 'tiny.yaml'}:match", f"{tmp_path / 'tiny.yaml'}:reduce"], tmp_path / "shape.yaml"


@pytest.fixture
def step(tmp_path, teacher_folder, student_vocabulary, corpus_file):
    """A function from an alignment to a step on the tests' models and text."""

    def make(alignment, *more):
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(STUDENT))
        argv = [f"--teacher_name_or_path={teacher_folder}", f"--train_file={corpus_file}", "--max_length=32"]
        if alignment != "same":
            argv.append(f"--student_vocabulary={student_vocabulary}")
        name = f"{recipe}:{alignment}"
        argv = training_step.recipe_argv(name, [*argv, "--use_cpu=true", *more], tmp_path, None)
        return training_step.build(argv)[0]

    return make


@pytest.mark.parametrize("alignment", ["same", "match", "reduce"])
def test_the_full_vocabulary_gives_the_loss_of_the_step(step, alignment):
    """Twice as fast as something else would prove nothing."""
    made = step(alignment)
    made.student.eval()  # dropout would tell them apart
    found, expected = made.full_vocabulary_loss(), made.loss()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    parameters = [p for p in made.student.parameters() if p.requires_grad]
    ours, theirs = (torch.autograd.grad(loss, parameters, allow_unused=True) for loss in (expected, found))
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("alignment", ["same", "match"])
def test_the_floor_multiplies_what_the_step_has_to(step, alignment):
    """A floor that left out a layer, a head, or the backward pass could be kept to by nothing."""
    made, counted = step(alignment, "--weight_attention=0", "--weight_cosine=0"), {}
    for name, call in {"floor": made._floor, "step": made._step, "full": made._full_vocabulary}.items():
        with FlopCounterMode(display=False) as counter:
            call()
        counted[name] = counter.get_total_flops()
    assert 0.7 * counted["step"] < counted["floor"] <= counted["step"] < counted["full"]


def test_a_published_recipe_gets_what_it_lacks_and_no_other(tmp_path, recipe):
    """A recipe of one's own would be measured with another teacher, silently."""
    argv = training_step.recipe_argv("tiny-5k", [], tmp_path / "out", recipe[1])
    assert {f"--student_vocabulary={tmp_path / 'out' / 'vocabulary-5000'}", "--max_length=128"} <= set(argv)
    own = training_step.recipe_argv(recipe[0][0], ["--train_file=c.txt"], tmp_path / "own", recipe[1])
    assert not any("vocabulary-" in word and str(tmp_path / "own") in word for word in own)
    assert not any(word.startswith("--per_device_train_batch_size") for word in own)


def test_the_cached_step_has_no_teacher(step, tmp_path):
    """It would be measured with it, and nobody would see."""
    assert step("match", f"--teacher_cache={tmp_path / 'cache'}").trainer.teacher is None


def test_the_parts_leave_the_student_with_gradients(step):
    """In the order of a step: what each begins with, the one before it has made."""
    made = step("same")
    for call in made.parts().values():
        call()
    assert all(p.grad is not None for p in made.student.parameters() if p.requires_grad)


def test_tables_and_json(recipe, tmp_path, capsys, monkeypatch):
    """With nothing but shapes at hand, two recipes and a cache."""
    names, shape = recipe
    monkeypatch.setattr(training_step, "measure_machine", lambda *_: Machine({"fp32": 1e12}, 1e10))
    argv = ["--recipes", *names, "--teacher_shape", str(shape), "--cached", "--rounds", "1"]
    argv += ["--output", str(tmp_path / "steps.json"), "--max_length=32", "--use_cpu=true"]
    training_step.main([*argv, "--validation_lines=4"])
    printed = capsys.readouterr().out
    figures = json.loads((tmp_path / "steps.json").read_text())
    assert json.loads(printed.splitlines()[-1]) == figures
    assert [row["recipe"] for row in figures["rows"]] == names
    for row in figures["rows"]:
        assert row["examples"] == 4 and row["tokens"] > 0 and row["flops"] > 0
        assert {"teacher", "losses", "optimiser", "step", "floor", "full vocabulary", "cached"} <= row[
            "seconds"
        ].keys()
        if not all(is_steady(row["seconds"][part]) for part in ("step", "floor", "full vocabulary", "cached")):
            continue
        medians = {name: statistics.median(seconds) for name, seconds in row["seconds"].items()}
        assert row["ratios"]["step to floor"]["median"] == pytest.approx(medians["step"] / medians["floor"])
        assert row["ratios"]["step to cached"]["median"] == pytest.approx(medians["step"] / medians["cached"])
        fuller = medians["full vocabulary"] / medians["step"]
        assert row["ratios"]["full vocabulary to step"]["median"] == pytest.approx(fuller)
    assert "step to floor" in printed and "full vocabulary" in printed


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(recipe, tmp_path):
    """Memory and the share of the machine's best are those of the device."""
    names, shape = recipe
    argv = ["--recipes", *names, "--teacher_shape", str(shape), "--rounds", "2", "--max_length=32", "--bf16=true"]
    figures = training_step.main(argv)
    for row in figures["rows"]:
        assert row["device"].startswith("cuda") and row["precision"] == "bf16"
        assert 0 < row["flops"] / statistics.median(row["seconds"]["step"]) < figures["best_flops"]["bf16"]
        assert all(mib > 0 for mib in row["mib"]["step"])


def test_a_made_up_vocabulary_has_its_size_and_knows_its_share(tmp_path):
    """Like that of a real pair: a small one knows two thirds of the words, a large one most."""
    made_up.corpus(tmp_path / "corpus.txt", 20)
    words = (tmp_path / "corpus.txt").read_text(encoding="utf-8").split()
    known = {}
    for size in (5000, 119_547):
        tokenizer = made_up.tokenizer(size)
        assert len(tokenizer) == size
        known[size] = sum(len(tokenizer.tokenize(word)) == 1 for word in words) / len(words)
        assert tokenizer.unk_token not in tokenizer.tokenize(" ".join(words[:500]))
    assert 0.55 < known[5000] < 0.75 and 0.9 < known[119_547]
