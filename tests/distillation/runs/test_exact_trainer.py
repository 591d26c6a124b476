"""Exact over micro-batches, ranks, and interruptions; one sentence for what is no number or cannot be written."""

import functools

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerState

from distillation.config.errors import UserError
from distillation.runs.checkpoint import checkpoints, is_complete
from distillation.runs.files import STATE
from tests import gradients, launched
from tests.distillation.runs.tiny import assert_same_ends, make, train

assert_same = functools.partial(gradients.assert_same, tolerance=1e-5)


def losses(state):
    return [log["loss"] for log in state.log_history if "loss" in log]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_accumulation_is_one_large_batch(tmp_path, batch_size):
    """Means of means are not the mean where micro-batches have different counts; the last of an epoch has fewer."""
    options = dict(
        dropout=0.0, learning_rate=0.0, max_grad_norm=0.0, max_steps=-1, num_train_epochs=1, logging_steps=1
    )
    options |= dict(save_strategy="no", train_sampling_strategy="random")
    single = make(tmp_path, per_device_train_batch_size=20, **options)
    options |= dict(per_device_train_batch_size=batch_size, gradient_accumulation_steps=20 // batch_size)
    parted = make(tmp_path, **options)
    expected, found = gradients.of_each_step(single), gradients.of_each_step(parted)
    assert len(expected) == len(found) == 3
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    assert losses(parted.state) == pytest.approx(losses(single.state), rel=1e-5)


def test_two_ranks_are_one(tmp_path):
    """Their gradients are averaged, their counts summed; each writes its random numbers."""

    def trained(folder, batch_size):
        options = dict(dropout=0.0, optim="sgd", gradient_accumulation_steps=2, max_steps=6, logging_steps=1)
        options |= dict(per_device_train_batch_size=batch_size)
        trainer = train(folder, **options)
        trainer.save_model()
        resumed = train(folder, checkpoint=folder / "checkpoint-2", **options)
        assert_same(dict(resumed.model.state_dict()), dict(trainer.model.state_dict()))

    trained(tmp_path / "one", 8)
    launched.run(launched.ranks(2), tmp_path / "log", trained, tmp_path / "two", 4)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    assert_same(two, one)
    last = checkpoints(tmp_path / "two")[0]
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= {path.name for path in last.iterdir()} and is_complete(last)
    states = [TrainerState.load_from_json(tmp_path / name / last.name / STATE) for name in ("one", "two")]
    assert losses(states[1]) == pytest.approx(losses(states[0]), rel=1e-5)


def test_the_last_step_of_an_epoch_takes_each_example_once(tmp_path):
    """Of 13 examples one is left after steps of four, and 5 are after steps of eight: filled up from the epoch's
    beginning, as accelerate does it, they would count twice. The second rank has none, and takes the step with it."""

    def trained(name, ranks):
        for steps in (1, 2):
            options = dict(dropout=0.0, optim="sgd", count=13, max_steps=-1, num_train_epochs=2, save_strategy="epoch")
            options |= dict(per_device_train_batch_size=4 // ranks, gradient_accumulation_steps=steps)
            train(tmp_path / name / str(steps), **options)

    trained("one", 1)
    launched.run(launched.ranks(2), tmp_path / "log", trained, "two", 2)
    for steps in "12":
        one, two = (checkpoints(tmp_path / name / steps)[0] for name in ("one", "two"))
        assert one.name == two.name
        assert_same(load_file(two / "model.safetensors"), load_file(one / "model.safetensors"))


@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
@pytest.mark.parametrize("steps", [4, 6, 10])  # of 6 an epoch: in the midst of one, between two, the run's last
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, sampling, steps):
    """Order, dropout, optimiser, and scheduler come back, in the second epoch too. Resumed at its end a run takes no
    step, where the stock Trainer takes one more. Seconds and totals are those of all parts."""
    undisturbed = train(tmp_path, train_sampling_strategy=sampling)
    checkpoint = tmp_path / f"checkpoint-{steps}"
    state = TrainerState.load_from_json(checkpoint / STATE)
    before = state.stateful_callbacks["Progress"]["attributes"]
    assert before["totals"] == {"checkpoints": steps // 2} and before["seconds_before"] > 0
    before["seconds_before"] = 1000.0
    state.save_to_json(checkpoint / STATE)
    resumed = train(tmp_path, checkpoint=checkpoint, train_sampling_strategy=sampling)
    assert_same_ends(resumed, undisturbed)
    assert resumed.state.global_step == 10
    assert resumed.progress.totals == {"checkpoints": 5} and 1000 < resumed.progress.seconds < 1100


def test_a_resumed_run_with_workers_that_stay_ends_where_an_uninterrupted_one_does(tmp_path):
    """They make one iterator, and a resumed run makes another: neither may draw from the generator of dropout."""
    workers = dict(dataloader_num_workers=1, dataloader_persistent_workers=True)
    undisturbed = train(tmp_path, **workers)
    assert_same_ends(train(tmp_path, checkpoint=tmp_path / "checkpoint-4", **workers), undisturbed)


def test_an_evaluation_leaves_the_generator_of_dropout_alone(tmp_path):
    """A run that is resumed behind a checkpoint does not repeat the evaluation that followed it."""
    trainer = make(tmp_path, per_device_eval_batch_size=8)
    before = torch.get_rng_state()
    assert len(list(trainer.get_eval_dataloader())) == 6 and torch.equal(torch.get_rng_state(), before)


def test_a_step_that_has_grown_is_told_and_does_not_end_the_run(tmp_path, caplog):
    """Fewer steps are an epoch then: the run would be over before its epochs are."""
    train(tmp_path, max_steps=-1, num_train_epochs=2, save_steps=6)
    keys = dict(checkpoint=tmp_path / "checkpoint-6", max_steps=-1, per_device_train_batch_size=64)
    with pytest.raises(UserError, match="keep .* examples a step, or give `max_steps`"):
        train(tmp_path, num_train_epochs=3, **keys)
    assert "a step has 64 examples, and had" in caplog.text


def test_a_resumed_run_logs_and_saves_as_often_as_it_says(tmp_path):
    """The Trainer would go on at the intervals of the checkpoint, whatever this call says."""
    train(tmp_path, max_steps=4, save_steps=2)
    train(tmp_path, checkpoint=tmp_path / "checkpoint-2", max_steps=6, save_steps=3)
    assert [one.name for one in checkpoints(tmp_path)] == [
        "checkpoint-6",
        "checkpoint-4",
        "checkpoint-3",
        "checkpoint-2",
    ]


def test_the_order_of_a_resumed_epoch_is_that_epochs_on_every_rank(tmp_path):
    """The loader of several ranks does not reach the sampler of a resumed epoch, which would be that of the first."""
    trainer = make(tmp_path)
    sampler = trainer._get_train_sampler()
    trainer.callback_handler.on_epoch_begin(trainer.args, TrainerState(epoch=2.5), trainer.control)
    assert sampler.epoch == 2


def test_the_best_checkpoint_is_kept_and_loaded(tmp_path):
    """By its number it would be deleted; at the end its weights count, also where an earlier part wrote it."""
    options = dict(eval_strategy="steps", eval_steps=2, load_best_model_at_end=True, save_total_limit=1, max_steps=6)
    trainer = make(tmp_path, at=(3, lambda: trainer.model.layer.weight.data.mul_(100)), **options)
    trainer.train()
    assert trainer.state.best_model_checkpoint == str(tmp_path / "checkpoint-2")
    best = load_file(tmp_path / "checkpoint-2" / "model.safetensors")
    assert all(torch.equal(weight, best[name]) for name, weight in trainer.model.state_dict().items())


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    """Where it is logged. Before that nothing is saved of its weights."""
    for message, options in (
        (r"the loss `loss` is (nan|inf) by step 3: .*lower `learning_rate`", dict(logging_steps=3, save_steps=50)),
        ("the loss `train_loss` is", dict(logging_steps=50, save_strategy="no")),
        ("after step 2 some weights are not finite", dict(logging_steps=50)),
    ):
        with pytest.raises(UserError, match=message):
            train(tmp_path, learning_rate=1e38, lr_scheduler_type="constant", **options)
    assert not checkpoints(tmp_path)
