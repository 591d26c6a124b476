"""A cache gives what the teacher gave, epoch by epoch."""

from pathlib import Path
from unittest import mock

import pytest
import torch
from transformers import AutoModelForMaskedLM, TrainerState

from distillation import run
from distillation.assembly import live_targets
from distillation.config.errors import UserError
from distillation.teacher_cache import storage, targets
from distillation.teacher_cache.eight_bits import from_bytes, to_bytes
from distillation.teacher_cache.storage import SEED
from tests import gradients

STEP = dict(max_steps=1, learning_rate=0.0, max_grad_norm=0.0, per_device_train_batch_size=8)
alignments = pytest.mark.parametrize("alignment", ["same", "match", "reduce"])


def first_step(trainer):
    """The gradients and the log of one step."""
    (seen,) = gradients.of_each_step(trainer)
    return seen, trainer.state.log_history[0]


def no_chance(batch, *_):
    """In place of `_shares`: in every batch the same number at every position of the KL."""
    return torch.full((len(batch["teacher_positions"]),), 0.5)


def as_cached(trainer, kind):
    """A trainer whose teacher's outputs are rounded as in a cache and, if asked for, sampled."""
    layers, vocabulary = trainer.targets.student_layers, trainer.data_collator.vocabulary
    query = live_targets(trainer.targets.model, trainer.objective, layers, vocabulary, True, trainer.args)

    def rounded(numbers):
        return from_bytes(to_bytes(numbers))

    def stored(inputs):
        found = query(inputs)
        if kind == "samples":
            at = inputs["groups"], trainer.objective.temperature, no_chance(inputs)
            found.predictions = found.predictions.sample(*at)
        else:
            found.predictions.values = rounded(found.predictions.values)
        found.hidden_states = {view: [*map(rounded, states)] for view, states in found.hidden_states.items()}
        found.attentions = [rounded(maps.sqrt()).square() for maps in found.attentions]
        return found

    trainer.targets = mock.Mock(side_effect=stored)
    return trainer


@alignments
@pytest.mark.parametrize("kind", ["samples", "states"])
def test_a_cached_step_is_the_step_with_the_teacher(make_trainer, monkeypatch, alignment, kind):
    """Loss and every gradient, for all five terms, and an evaluation: the row of one position must not be read at
    another, and nothing but rounding, or draws, is lost."""
    monkeypatch.setattr(targets, "_shares", no_chance)
    objective = dict(weight_kl=2.0, weight_attention=100.0, weight_hidden_mse=0.5)
    objective["hidden_layers"] = "average" if alignment == "same" else "groups"
    options = dict(objective=objective, alignment=alignment, **STEP)
    cache = dict(teacher_cache_targets=kind)
    plain, trainer = make_trainer("with", **options), make_trainer("without", cache=cache, **options)
    plain.data_collator.seed = SEED
    assert trainer.targets.teacher is None
    evaluated, its_evaluation = trainer.evaluate(), plain.evaluate()
    for term in plain.objective.terms:
        tolerance = 0.05 if term == "kl" and kind == "samples" else 2e-3
        assert evaluated[f"eval_{term}"] == pytest.approx(its_evaluation[f"eval_{term}"], rel=tolerance)
    (seen, log), (expected, its_log) = first_step(trainer), first_step(as_cached(plain, kind))
    gradients.assert_same(seen, expected, tolerance=1e-4)  # in another batch a few values round the other way
    for term in ("loss", *plain.objective.terms):
        assert log[term] == pytest.approx(its_log[term], rel=1e-5)


@pytest.mark.parametrize("terms", [dict(weight_kl=1.0, weight_cosine=0.0), dict(weight_kl=0.0, weight_cosine=1.0)])
def test_a_run_of_fewer_terms_learns_the_same_from_a_cache_of_more(make_trainer, terms):
    """Without the KL it reads neither states nor positions; the masks are the same."""
    make_trainer("all", cache={}, objective=dict(weight_kl=1.0, weight_cosine=1.0))
    plain = make_trainer("plain", objective=terms, **STEP)
    plain.data_collator.seed = SEED
    shared = make_trainer("shared", cache={}, objective=terms, **STEP)
    assert shared.targets.teacher is None
    gradients.assert_same(first_step(shared)[0], first_step(plain)[0], tolerance=0.01)


def test_epochs_come_in_turn_with_masks_of_their_own_and_of_no_seed(make_trainer):
    """Else a later epoch would hide other words than those that the teacher was asked about."""
    cache, seen = {"teacher_cache_epochs": 2}, []
    trainer, other = make_trainer(cache=cache), make_trainer("other", cache=cache, seed=7)
    for one, epoch in ((trainer, 0), (trainer, 1), (trainer, 2), (trainer, 3), (other, 0)):
        one.callback_handler.on_epoch_begin(one.args, TrainerState(epoch=epoch), one.control)
        seen.append(one.data_collator([one.train_dataset[i] for i in range(20)])["student"]["input_ids"])
    for a, b, alike in ((0, 1, False), (0, 2, True), (1, 3, True), (0, 4, True)):
        assert torch.equal(seen[a], seen[b]) == alike


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(make_trainer):
    """In the second epoch, which has masks of its own, on a cache that is there already."""
    options = dict(cache={"teacher_cache_epochs": 2}, alignment="match", per_device_train_batch_size=64, max_steps=10)
    options |= dict(learning_rate=1e-3, save_strategy="steps", save_steps=8)
    complete, resumed = make_trainer("complete", **options), make_trainer("resumed", **options)
    complete.train()
    resumed.train(resume_from_checkpoint=str(Path(complete.args.output_dir, "checkpoint-8")))
    assert complete.state.epoch > 1
    gradients.assert_same(dict(resumed.model.state_dict()), dict(complete.model.state_dict()), tolerance=1e-7)


def test_what_is_drawn_depends_on_the_example_and_the_epoch_alone(make_trainer):
    """A pass that goes on after an interruption, or in another number of processes, must draw the same."""
    trainer = make_trainer(alignment="reduce")
    examples = list(trainer.train_dataset.select(range(9)))

    def shares(examples, epoch=0):
        batch = trainer.data_collator(examples)
        return targets._shares(batch, examples, SEED, epoch)[batch["teacher_positions"].argsort()].tolist()

    drawn = shares(examples)
    assert drawn == [number for one in examples for number in shares([one])] and len(set(drawn)) == len(drawn) > 50
    assert not set(drawn) & set(shares(examples, 1))


@alignments
def test_batches_without_a_position_train_all_the_same(make_trainer, alignment):
    """Of short texts with few masks, hours into a run."""
    objective = dict(weight_kl=1, weight_mlm=0, weight_cosine=0, kl_positions="masked")
    options = dict(objective=objective, masking=dict(masking_probability=1e-9), alignment=alignment)
    trainer = make_trainer(cache={}, **options, **STEP)
    assert not any(gradient.any() for gradient in first_step(trainer)[0].values())


def test_states_that_a_cache_cannot_hold_are_refused(make_trainer):
    """Infinite targets would train towards nothing."""
    trainer = make_trainer()
    batch = next(iter(trainer.get_train_dataloader()))
    found = trainer.targets(batch)
    next(iter(found.hidden_states.values()))[0] += 1e5
    with pytest.raises(UserError, match="finite numbers"):
        targets.to_rows(batch, found)


def test_a_position_takes_128_bytes_at_any_width(make_trainer):
    """States take a byte a number: 770 at width 768."""
    objective = dict(weight_kl=1.0, weight_cosine=0.0, kl_positions="all")
    trainer = make_trainer(cache=dict(teacher_cache_targets="samples"), objective=objective)
    (table,) = trainer.train_dataset.epochs
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(20)])
    stored = sum(len(table["samples"][index]) for index in range(20))
    assert table.column_names == ["samples"] and table.schema.field("samples").type.value_type.bit_width == 8
    assert 100 * len(batch["teacher_positions"]) < stored <= 128 * len(batch["teacher_positions"])


def test_the_command_fills_a_cache_and_another_student_reads_it(tmp_path, teacher_folder, corpus_file, monkeypatch):
    """From a recipe's key to a student that loads."""
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    argv += ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "32", "--max_steps", "2"]
    argv += ["--weight_cosine", "0", "--weight_attention", "0", "--teacher_cache", str(tmp_path / "cache")]
    run.main([*argv, "--output_dir", str(tmp_path / "first")])
    monkeypatch.setattr(storage, "_rows", None)  # the teacher is not asked again
    other = ["--student_hidden_size", "16", "--student_layers", "4", "--seed", "3"]
    run.main([*argv, *other, "--output_dir", str(tmp_path / "second")])
    assert AutoModelForMaskedLM.from_pretrained(tmp_path / "second").config.n_layers == 4


@pytest.mark.parametrize(("objective", "chosen"), [(dict(weight_cosine=0.0), True), (dict(weight_cosine=1.0), False)])
def test_predictions_alone_may_be_made_in_bf16(make_trainer, monkeypatch, objective, chosen):
    """Hidden states and maps are compared number by number. The KL does not change."""
    exact = make_trainer("exact", objective=objective).evaluate()["eval_kl"]
    monkeypatch.setattr(targets, "faster_in_bf16", lambda run: True)
    trainer = make_trainer("cached", cache={}, objective=objective)
    assert trainer.targets.bf16 == chosen and trainer.evaluate()["eval_kl"] == pytest.approx(exact, rel=0.01)
