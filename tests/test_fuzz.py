"""What people get wrong, in every script; and the guard of `tests/fuzz` finds what it is there to find."""

import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fuzz import guard
from tests.fuzz.cases import FILES, people
from tests.fuzz.checkpoints import Payload
from tests.fuzz.entries import ENTRIES
from tests.fuzz.guard import FAILED, REFUSED, SURVIVED, TOKEN

ROOT = Path(__file__).resolve().parents[1]
SENTENCE = "error: `train_file` is missing: name a corpus"


def test_what_people_get_wrong():
    """In a process of its own: this one may have trained, and then a fork of it could not."""
    count = len(people())
    assert count >= 50
    command = [sys.executable, ROOT / "tests" / "fuzz" / "run.py", "--count", str(count + 1)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    cells = [cell.strip() for cell in done.stdout.splitlines()[-1].strip("| ").split("|")]
    assert cells == ["all", str(count), "1", "0"], "the last is a good call"


def test_every_script_takes_part():
    scripts = [path for stage in ("distillation", "finetuning", "benchmarks") for path in (ROOT / stage).glob("*.py")]
    scripts = [path for path in scripts if 'if __name__ == "__main__":' in path.read_text("utf-8")]
    assert {f"{path.parent.name}.{path.stem}" for path in scripts} == {entry.name for entry in ENTRIES}
    assert {folder for _, folder in filter(None, (entry.folder for entry in ENTRIES))} <= FILES.keys()


@pytest.fixture
def watched(tmp_path):
    """A function that watches a call and gives outcome and faults; the call may write to `here`."""

    def watch(call, limit=20.0):
        report = guard.watch(call, tmp_path, [], limit)
        return report.outcome, report.faults

    return watch


def refuse(*lines):
    print(*lines, sep="\n", file=sys.stderr)
    sys.exit(2)


def test_one_sentence_is_a_refusal_and_a_return_is_a_survival(watched):
    assert watched(lambda: refuse("a warning", SENTENCE)) == (REFUSED, [])
    assert watched(lambda: print("done")) == (SURVIVED, [])


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: 1 / 0, "printed a traceback"),
        (lambda: refuse(SENTENCE, SENTENCE), "printed 2 errors"),
        (lambda: refuse("error: no"), "printed an error of 9 characters"),
        (lambda: sys.exit("a word"), "ended with code 1"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended with code -9"),
        (lambda: subprocess.run(["true"]), "did what it must not: subprocess.Popen true"),
        (lambda: socket.create_connection(("127.0.0.1", 9), timeout=1), "did what it must not: socket."),
        (lambda: Path("../log").write_text(f"as {TOKEN}"), "revealed the token in log"),
        (lambda: Path("mine").touch(), "wrote work/mine into its working folder"),
        (lambda: Path("../corpus.txt").write_text("another"), "changed corpus.txt"),
        (lambda: (Path("../output").touch(), refuse(SENTENCE)), "refused, and left output"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_is_found(watched, tmp_path, call, fault):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "corpus.txt").write_text("one")
    assert any(found.startswith(fault) for found in watched(call)[1])


@pytest.mark.parametrize(
    "change",
    [
        lambda path: open(path, "a").close(),
        lambda path: path.with_name("new").mkdir(),
        lambda path: path.rename(path.with_name("new")),
        lambda path: os.remove(path.name, dir_fd=os.open(path.parent, os.O_RDONLY)),
        lambda path: os.symlink("anywhere", path.with_name("new")),
    ],
)
def test_a_change_outside_is_found(watched, tmp_path, change):
    (tmp_path / "outside").touch()
    outcome, (fault, *_) = watched(lambda: change(tmp_path / "outside"))
    assert fault.startswith("did what it must not: o") and str(tmp_path) in fault and "test_fuzz.py" in fault


def test_unpickling_is_found(watched, tmp_path):
    content = pickle.dumps(Payload(tmp_path / "here"))
    _, faults = watched(lambda: pickle.loads(content))
    assert any("pickle.find_class builtins exec" in fault for fault in faults)
    assert "ran what was planted: executed" in faults


def test_a_hang_is_ended(watched):
    """No signal handler could end this one; its own processes end too."""

    def call():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
        os.fork()
        time.sleep(60)

    outcome, (fault,) = watched(call, limit=0.3)
    assert outcome == FAILED and fault.startswith("hung for ")
