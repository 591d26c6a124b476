"""What people get wrong, in every script; and that the guard of `tests/fuzz` sees what it is there to see."""

import json
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
from tests.fuzz.case import REFUSED, SURVIVED
from tests.fuzz.checkpoints import Payload
from tests.fuzz.entries import ENTRIES, TOKEN
from tests.fuzz.keys import people
from tests.fuzz.verdict import FAILED, ended, revealed, written

RUN = Path(__file__).parent / "fuzz" / "run.py"
MAIN = 'if __name__ == "__main__":'
SENTENCE = "error: `train_file` is missing: name a corpus"


def test_what_people_get_wrong(tmp_path):
    """In a process of its own, since this one may have trained, and a fork of it could not."""
    command = [sys.executable, str(RUN), "--count", str(len(people())), "--output", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]
    figures = json.loads((tmp_path / "figures.json").read_text(encoding="utf-8"))
    assert figures["cases"] == len(people()) >= 40 and not figures["failures"]


def test_every_script_takes_part():
    """One that is forgotten could do with bad inputs what it likes."""
    root = RUN.parents[2]
    scripts = [path for stage in ("distillation", "finetuning", "benchmarks") for path in (root / stage).glob("*.py")]
    scripts = {f"{path.parent.name}.{path.stem}" for path in scripts if MAIN in path.read_text("utf-8")}
    assert scripts == {entry.name for entry in ENTRIES}


@pytest.fixture
def watched(tmp_path):
    """A function that watches a call and gives outcome and faults; `here` is what it may write to."""
    here, work = tmp_path / "here", tmp_path / "here" / "work"
    work.mkdir(parents=True)

    def watch(call, limit=20.0):
        before = guard.contents(here)
        report = guard.watch(call, work, tmp_path / "said", [here], limit)
        outcome, faults = ended(report)
        after = guard.contents(here)
        return outcome, faults + written(before, after, outcome) + revealed([tmp_path / "said", here])

    return watch


def refuse(*lines, code=2):
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(code)


def test_one_sentence_is_a_refusal_and_a_return_is_a_survival(watched):
    assert watched(lambda: refuse("a warning", SENTENCE)) == (REFUSED, [])
    assert watched(lambda: print("done")) == (SURVIVED, [])


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        (lambda: 1 / 0, "told a traceback"),
        (lambda: refuse(SENTENCE, SENTENCE), "told 2 errors"),
        (lambda: refuse("no such file"), "told 0 errors"),
        (lambda: refuse("error: no"), "told an error of 9 characters"),
        (lambda: refuse(SENTENCE, code=1), "ended with code 1"),
        (lambda: sys.exit("a word"), "ended with code 1"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "ended with code -9"),
        (lambda: subprocess.run(["true"]), "did what it must not: subprocess.Popen true"),
        (lambda: os.system("true"), "did what it must not: os.system"),
        (lambda: socket.create_connection(("127.0.0.1", 9), timeout=1), "did what it must not: socket."),
        (lambda: print(TOKEN), "revealed the token in output"),
        (lambda: Path("../log").write_text(f"as {TOKEN}"), "revealed the token in log"),
        (lambda: Path("mine").touch(), "wrote work/mine into its working folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_seen(watched, call, fault):
    assert any(found.startswith(fault) for found in watched(call)[1])


def test_a_half_written_folder_is_seen(watched, tmp_path):
    def call():
        Path("../output").mkdir()
        Path("../output/config.json").touch()
        refuse(SENTENCE)

    assert watched(call) == (REFUSED, ["refused, and left output", "refused, and left output/config.json"])


def test_changed_inputs_are_seen(watched, tmp_path):
    (tmp_path / "here" / "corpus.txt").write_text("one")
    assert watched(lambda: Path("../corpus.txt").write_text("another")) == (
        SURVIVED,
        ["changed or removed corpus.txt"],
    )


@pytest.mark.parametrize("way", ["open", "mkdir", "rename", "remove", "link"])
def test_a_change_outside_is_seen(watched, tmp_path, way):
    outside = tmp_path / "outside"
    outside.write_text("theirs")
    ways = {
        "open": lambda: open(outside, "a").close(),
        "mkdir": lambda: (tmp_path / "new").mkdir(),
        "rename": lambda: outside.rename(tmp_path / "new"),
        "remove": lambda: os.remove("outside", dir_fd=os.open(tmp_path, os.O_RDONLY)),
        "link": lambda: os.symlink("anywhere", tmp_path / "new"),
    }
    outcome, (fault, *_) = watched(ways[way])
    assert fault.startswith("did what it must not: o") and str(tmp_path) in fault
    assert "test_fuzz.py" in fault, "and where"


def test_unpickling_is_seen(watched, tmp_path):
    content = pickle.dumps(Payload(tmp_path / "here"))
    outcome, faults = watched(lambda: pickle.loads(content))
    assert any("pickle.find_class builtins exec" in fault for fault in faults)
    assert "ran what was planted: executed" in faults


def test_a_hang_is_ended(watched):
    """Even one that no signal handler could end, with the processes that it has started."""

    def call():
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM})
        os.fork()
        time.sleep(60)

    begin = time.monotonic()
    outcome, faults = watched(call, limit=0.3)
    assert outcome == FAILED and faults == ["hung for 0 s"] and time.monotonic() - begin < 5
