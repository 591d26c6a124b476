"""SIGTERM and Ctrl-C end a run in good order, on all ranks after the same step; and the run goes on."""

import contextlib
import functools
import json
import os
import signal
import time

import pytest

from distillation.config.errors import Stopped, cli_entry
from distillation.runs.checkpoint import checkpoints, is_complete
from tests import launched
from tests.distillation.runs.tiny import assert_same_ends, make, train

TERMINATE = functools.partial(signal.raise_signal, signal.SIGTERM)


@contextlib.contextmanager
def handled(number, handler):
    former = signal.signal(number, handler)
    try:
        yield
        assert signal.getsignal(number) is handler, "who was there before listens again afterwards"
    finally:
        signal.signal(number, former)


@pytest.mark.parametrize("number, name, code", [(signal.SIGTERM, "SIGTERM", 143), (signal.SIGINT, "Ctrl-C", 130)])
def test_a_signal_writes_a_checkpoint_and_the_run_goes_on_from_it(tmp_path, number, name, code):
    before = signal.SIG_IGN if number == signal.SIGTERM else signal.default_int_handler
    stopped = pytest.raises(Stopped, match=f"stopped by {name} after step 4.*checkpoint-4 is written")
    with handled(number, before), stopped as stop:
        train(tmp_path / "stopped", at=(3, functools.partial(signal.raise_signal, number)), save_steps=5)
    assert stop.value.code == code and number not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    (checkpoint,) = checkpoints(tmp_path / "stopped")
    assert_same_ends(train(tmp_path / "stopped", checkpoint=checkpoint), train(tmp_path / "undisturbed"))


def test_a_second_ctrl_c_ends_the_run_at_once(tmp_path):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with handled(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        train(tmp_path, at=(3, twice), save_steps=5)
    assert not checkpoints(tmp_path)


@pytest.mark.parametrize("options", [{}, dict(max_steps=-1, num_train_epochs=2, save_strategy="epoch")])
def test_ctrl_c_in_the_last_step_ends_a_script_that_would_go_on(tmp_path, options):
    last = 6 * options.get("num_train_epochs", 0) or 10
    with handled(signal.SIGINT, signal.default_int_handler), pytest.raises(Stopped, match=f"after step {last}"):
        train(tmp_path, at=(last, functools.partial(signal.raise_signal, signal.SIGINT)), **options)
    assert is_complete(tmp_path / f"checkpoint-{last}")
    assert_same_ends(
        train(tmp_path, checkpoint=tmp_path / f"checkpoint-{last}", **options), train(tmp_path / "other", **options)
    )


def test_ctrl_c_after_the_last_step_is_not_lost(tmp_path):
    trainer = make(tmp_path)
    trainer.log = lambda logs, *_: "train_runtime" in logs and signal.raise_signal(signal.SIGINT)
    with handled(signal.SIGINT, signal.default_int_handler), pytest.raises(KeyboardInterrupt):
        trainer.train()


def test_ctrl_c_that_is_ignored_stays_so(tmp_path):
    """A shell starts what runs in the background with it."""
    with handled(signal.SIGINT, signal.SIG_IGN):
        train(tmp_path, at=(3, functools.partial(signal.raise_signal, signal.SIGINT)), save_steps=50)


def test_sigterm_at_the_end_of_an_epoch_comes_after_what_is_due_there(tmp_path):
    """A checkpoint of the last step would be resumed in the next epoch, without the evaluation of this one."""
    options = dict(max_steps=-1, num_train_epochs=2, save_strategy="epoch", eval_strategy="epoch")
    with pytest.raises(Stopped):
        train(tmp_path, at=(5, TERMINATE), **options)  # of 6
    state = json.loads((tmp_path / "checkpoint-6" / "trainer_state.json").read_text())
    assert any("eval_loss" in log for log in state["log_history"])


def test_one_of_two_ranks_is_signalled(tmp_path):
    """Both stop after the same step, and one prints; their data loaders' workers have inherited the signal's mask."""

    @cli_entry
    def endless(argv):
        train(tmp_path / "run", max_steps=10**6, save_total_limit=2, dataloader_num_workers=1)

    processes = launched.start(launched.ranks(2), tmp_path / "log", endless, None)
    while not any(map(is_complete, checkpoints(tmp_path / "run"))) and launched.running(processes):
        time.sleep(0.02)
    os.kill(processes[1], signal.SIGTERM)
    assert launched.wait(processes) == [143, 143], (tmp_path / "log").read_text()
    last, printed = checkpoints(tmp_path / "run")[0], (tmp_path / "log").read_text()
    assert printed.count("stopped by SIGTERM after step") == 1 and f"{last} is written" in printed
    assert is_complete(last) and (last / "rng_state_1.pth").exists()
