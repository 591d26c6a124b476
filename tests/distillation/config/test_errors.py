"""What a user got wrong ends a script with one sentence and exit code 2."""

import errno
import logging
from unittest.mock import Mock

import pytest
from torch._utils import ExceptionWrapper

from distillation.config.errors import LocalError, Stopped, UserError, cli_entry


def ended(capsys, error):
    """The exit code and standard error of a script that raises."""
    with pytest.raises(SystemExit) as caught:
        cli_entry(Mock(side_effect=error, __name__="main"))([])
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("rank", "lines"), [(None, 1), ("0", 1), ("7", 0)])
def test_one_rank_prints_one_line(capsys, monkeypatch, rank, lines):
    """Eight ranks would print the same error eight times, and log everything eightfold."""
    monkeypatch.delenv("RANK", raising=False)
    if rank:
        monkeypatch.setenv("RANK", rank)
    assert ended(capsys, UserError("`temperature` is cold")) == (2, "error: `temperature` is cold\n" * lines)
    for stage in ("distillation", "finetuning", "benchmarks"):
        assert logging.getLogger(stage).level == (logging.INFO if lines else logging.WARNING)


def test_a_sentence_that_quotes_a_file_keeps_its_remedy(capsys):
    error = UserError(f"file.txt:1: expected a tag, got {'x' * 20_000}; a blank line ends a sentence")
    _, printed = ended(capsys, error)
    assert len(printed) < 620 and "file.txt:1: expected" in printed
    assert printed.endswith("; a blank line ends a sentence\n")


@pytest.mark.parametrize(("error", "rank"), [(LocalError, "3"), (UserError, "0")])
def test_an_error_of_a_worker_is_printed_without_its_traceback(capsys, monkeypatch, error, rank):
    """A data loader raises what its worker raised, with the traceback in front. A local error no other rank meets."""
    monkeypatch.setenv("RANK", rank)
    try:
        raise error("`train_file` is torn")
    except UserError:
        raised = ExceptionWrapper(where="in DataLoader worker process 0")
    with pytest.raises(SystemExit) as caught:
        cli_entry(lambda argv: raised.reraise())([])
    assert (caught.value.code, capsys.readouterr().err) == (2, "error: `train_file` is torn\n")


def test_a_full_disk_is_named_wherever_it_is_met(capsys):
    code, printed = ended(capsys, OSError(errno.ENOSPC, "No space left", "/cache/part"))
    assert code == 2 and "'/cache/part' cannot be written (No space left)" in printed


def test_what_ends_a_run_from_outside(capsys):
    """Shells and schedulers tell Ctrl-C, a signal, and a mistake apart by the exit code."""
    assert ended(capsys, KeyboardInterrupt())[0] == 130
    assert ended(capsys, Stopped("stopped: resume it", 143)) == (143, "stopped: resume it\n")
    with pytest.raises(ZeroDivisionError):  # a mistake of ours must not look like one of the user's
        cli_entry(lambda argv: 1 / 0)([])
