"""A user's mistake ends a script with one sentence and exit code 2."""

import errno
import logging
import os
from unittest.mock import Mock

import pytest
from torch._utils import ExceptionWrapper

from distillation.config.errors import LAUNCHED, LocalError, Stopped, UserError, cli_entry, one_line

LONG = f"file.txt:1: expected a tag, got {'x' * 20_000}; a blank line ends a sentence"
FULL = "error: '/a' cannot be written (full): make room, or name another place\n"


def from_a_worker(error):
    """What a data loader raises: the error of its worker, with the traceback in front."""
    try:
        raise error
    except UserError:
        with pytest.raises(UserError) as caught:
            ExceptionWrapper(where="in DataLoader worker process 0").reraise()
        return caught.value


@pytest.mark.parametrize(
    ("rank", "error", "code", "printed"),
    [
        (None, UserError("`temperature` is cold"), 2, "error: `temperature` is cold\n"),
        ("7", UserError("`temperature` is cold"), 2, ""),  # eight ranks would print it eight times
        ("3", from_a_worker(LocalError("`train_file` is torn")), 2, "error: `train_file` is torn\n"),
        ("0", from_a_worker(UserError("`train_file` is torn")), 2, "error: `train_file` is torn\n"),
        ("0", UserError(LONG), 2, f"error: {LONG[:290]} ... {LONG[-290:]}\n"),  # the remedy stands at the end
        ("7", OSError(errno.ENOSPC, "full", "/a"), 2, FULL),
        ("0", Stopped("stopped: resume it", 143), 143, "stopped: resume it\n"),
        ("7", KeyboardInterrupt(), 130, ""),
    ],
)
def test_one_line_and_the_exit_code(capsys, monkeypatch, rank, error, code, printed):
    """Shells and schedulers tell Ctrl-C, a signal, and a mistake apart by the code. One rank prints what all meet."""
    for name in LAUNCHED if rank else []:
        monkeypatch.setenv(name, rank)
    if not rank:
        monkeypatch.setenv("RANK", "1")  # by a pod that numbers its replicas
    with pytest.raises(SystemExit) as caught:
        cli_entry(Mock(side_effect=error, __name__="main"))([])
    assert (caught.value.code, capsys.readouterr().err) == (code, printed)
    assert logging.getLogger("distillation").level == (logging.INFO if rank in (None, "0") else logging.WARNING)


def test_a_rank_that_no_launcher_has_set_is_not_waited_for(monkeypatch):
    """A pod may number its replicas so. Beside another name of a launcher it stays: its mistake must be told."""
    read = cli_entry(lambda argv: os.environ.get("LOCAL_RANK"))
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert read([]) is None
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert read([]) == "1"


@pytest.mark.parametrize("error", [ZeroDivisionError, OSError])
def test_a_mistake_of_ours_does_not_look_like_one_of_the_users(error):
    with pytest.raises(error):
        cli_entry(Mock(side_effect=error, __name__="main"))([])


def test_a_librarys_message_has_neither_lines_nor_colours():
    """torch's ONNX exporter writes for a terminal; a log shows the codes."""
    assert one_line("\x1b[96mThis is\x1b[0m\n  step 1\x1b[1;31m/3\x1b[0m") == "This is step 1/3"
