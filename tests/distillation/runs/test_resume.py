"""Runs that are stopped, in whatever way, go on as if they had not been; and say so when they cannot."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from distillation.runs.sealing import SEAL, checkpoints, is_whole, rotate, seal
from transformers import TrainerCallback, TrainingArguments

from distillation import run
from distillation.config.errors import Stopped, UserError
from distillation.hub import publishing as publish
from distillation.runs import exact_trainer as resumable
from distillation.runs.resume import MACHINE, begin, checkpoint_of
from tests.launched import ROOT, on_two_ranks

SHORT = dict(
    model=dict(student_hidden_size=16, student_initialisation="random"),
    per_device_train_batch_size=16,
    learning_rate=1e-3,
    max_steps=6,
    save_strategy="steps",
    save_steps=2,
)


class At(TrainerCallback):
    """Does something at the end of a step."""

    def __init__(self, step, action):
        self.step, self.action = step, action

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.action()


@pytest.fixture
def train(make_trainer):
    """A function that trains in a folder, after which `at` is a step and what happens in it."""

    def trained(folder, at=None, checkpoint=None, **options):
        trainer = make_trainer(folder, **{**SHORT, **options})
        if at:
            trainer.callback_handler.callbacks.insert(0, At(*at))  # before what the trainer itself does
        trainer.train(resume_from_checkpoint=checkpoint)
        return trainer

    return trained


def in_order(folder):
    return [path.name for path in reversed(checkpoints(folder))]


def assert_same_ends(resumed, whole):
    expected = whole.model.state_dict()
    assert all(torch.equal(weight, expected[name]) for name, weight in resumed.model.state_dict().items())


# Seals


def write_checkpoint(folder, **files):
    folder.mkdir(parents=True)
    for name, text in ({"model": "weights", "optimizer": "moments"} | files).items():
        (folder / name).write_text(text)
    (folder / "shards").mkdir()
    (folder / "shards" / "0").write_text("of all processes")


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def change(path):
    path.write_bytes(path.read_bytes()[:-1] + b"?")


@pytest.mark.parametrize("harm", [cut, change, Path.unlink])
def test_a_seal_is_broken_by_whatever_happens_to_a_file(make_trainer, tmp_path, harm):
    """Resumed from half an optimiser, a run would end elsewhere, or not start."""
    trainer = make_trainer("run", **(SHORT | dict(max_steps=1, save_steps=1)))
    trainer.train()
    folder = tmp_path / "run" / "checkpoint-1"
    files = sorted(path.name for path in folder.iterdir() if path.name != SEAL)
    assert {"model.safetensors", "projections.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= {
        *files
    }
    assert is_whole(folder) and "trainer_state.json" in files
    for name in files:
        shutil.copytree(folder, tmp_path / name)
        harm(tmp_path / name / name)
        assert not is_whole(tmp_path / name), name


def test_what_is_in_folders_is_sealed_too(tmp_path):
    """There FSDP has its shards."""
    write_checkpoint(tmp_path / "checkpoint-1")
    seal(tmp_path / "checkpoint-1")
    assert is_whole(tmp_path / "checkpoint-1")
    cut(tmp_path / "checkpoint-1" / "shards" / "0")
    assert not is_whole(tmp_path / "checkpoint-1")


def arguments(folder, checkpoint):
    return TrainingArguments(str(folder), resume_from_checkpoint=checkpoint, use_cpu=True)


def test_the_newest_whole_checkpoint_by_number(tmp_path, caplog):
    """By name 9 would come after 10; 11 is not sealed, 12 lacks a file, 13 was deleted half."""
    for step in (9, 10, 11, 12, 13):
        write_checkpoint(tmp_path / f"checkpoint-{step}")
        if step != 11:
            seal(tmp_path / f"checkpoint-{step}")
    (tmp_path / "checkpoint-12" / "model").unlink()
    shutil.rmtree(tmp_path / "checkpoint-13" / "shards")
    (tmp_path / "checkpoint-best").mkdir()
    assert checkpoint_of(arguments(tmp_path, "true"), {}) == str(tmp_path / "checkpoint-10")
    for step in (11, 12, 13):
        assert f"checkpoint-{step} is not whole" in caplog.text
    assert checkpoint_of(arguments(tmp_path, str(tmp_path / "checkpoint-9")), {}) == str(tmp_path / "checkpoint-9")
    for name in ("checkpoint-13", "nothing"):
        with pytest.raises(UserError, match="`resume_from_checkpoint`"):
            checkpoint_of(arguments(tmp_path, str(tmp_path / name)), {})


def test_what_says_that_there_is_nothing_to_go_on_from(tmp_path):
    for value in ("true", None, "false"):
        assert checkpoint_of(arguments(tmp_path, value), {}) is None


def test_rotation_keeps_the_newest_the_best_and_what_is_whole(tmp_path):
    """By its number a torn one would be kept, and the last whole one deleted."""
    for step in (2, 4, 6, 30):
        write_checkpoint(tmp_path / f"checkpoint-{step}")
        if step != 30:
            seal(tmp_path / f"checkpoint-{step}")
    newest = tmp_path / "checkpoint-6"
    rotate(newest, None, None)
    assert len(checkpoints(tmp_path)) == 4
    rotate(newest, str(tmp_path / "checkpoint-2"), 3)
    assert in_order(tmp_path) == ["checkpoint-2", "checkpoint-4", "checkpoint-6"]
    rotate(newest, str(tmp_path / "checkpoint-2"), 1)
    assert in_order(tmp_path) == ["checkpoint-2", "checkpoint-6"]
    rotate(newest, None, 1)
    assert in_order(tmp_path) == ["checkpoint-6"]


def test_no_checkpoint_is_deleted_before_the_next_is_sealed(train, tmp_path, monkeypatch):
    """Killed in between, a run would have none."""
    found = []

    def watched(folder):
        found.append([path.name for path in checkpoints(folder.parent) if is_whole(path)])
        seal(folder)

    monkeypatch.setattr(resumable, "seal", watched)
    train("run", save_total_limit=1)
    assert found == [[], ["checkpoint-2"], ["checkpoint-4"]] and in_order(tmp_path / "run") == ["checkpoint-6"]


def test_what_is_left_of_a_torn_checkpoint_is_not_sealed(train, tmp_path):
    """A file of another run, or half a file, would be taken for the checkpoint's own."""
    write_checkpoint(tmp_path / "run" / "checkpoint-4", stale="half a file")
    train("run")
    assert is_whole(tmp_path / "run" / "checkpoint-4")
    assert not (tmp_path / "run" / "checkpoint-4" / "stale").exists()


def test_a_torn_best_checkpoint_is_told_before_the_first_step(train, tmp_path):
    """At the end, when it is loaded, all steps would be lost."""
    options = dict(load_best_model_at_end=True, eval_strategy="steps", eval_steps=2, save_total_limit=None)
    trainer = train("run", **options)
    best = Path(trainer.state.best_model_checkpoint)
    newest = next(folder for folder in checkpoints(tmp_path / "run") if folder != best)
    state = json.loads((newest / "trainer_state.json").read_text())
    if state["best_model_checkpoint"] != str(best):  # it became the best one later
        (newest / "trainer_state.json").write_text(json.dumps(state | {"best_model_checkpoint": str(best)}))
    (best / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match=f"{best.name}, the best checkpoint so far, is not whole"):
        train("run", checkpoint=str(newest), **options)


def test_a_checkpoint_of_another_kind_is_refused(train, tmp_path):
    train("run")
    (tmp_path / "run" / "checkpoint-4" / "so_far.json").write_text("{}")
    with pytest.raises(UserError, match="is of another model or other terms"):
        train("run", checkpoint=str(tmp_path / "run" / "checkpoint-4"))


# Signals


def test_sigterm_writes_a_checkpoint_and_the_run_goes_on_from_it(train, tmp_path):
    """And who was there before listens again afterwards."""
    former = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(Stopped, match="after step 3.*checkpoint-3.*--resume_from_checkpoint true") as stopped:
            train("stopped", (3, lambda: signal.raise_signal(signal.SIGTERM)))
        assert stopped.value.code == 143 and signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
        assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    finally:
        signal.signal(signal.SIGTERM, former)
    assert in_order(tmp_path / "stopped") == ["checkpoint-2", "checkpoint-3"]
    resumed = train("stopped", checkpoint=str(tmp_path / "stopped" / "checkpoint-3"))
    assert_same_ends(resumed, train("whole"))


def test_sigterm_at_the_end_of_an_epoch_comes_after_what_is_due_there(train, make_trainer, tmp_path):
    """A checkpoint of the last step would be resumed in the next epoch, without the evaluation of this one."""
    options = dict(max_steps=-1, num_train_epochs=2, save_strategy="epoch", eval_strategy="epoch")
    options |= dict(per_device_train_batch_size=100)
    last = -(-len(make_trainer("whole", **(SHORT | options)).train_dataset) // 100)
    with pytest.raises(Stopped):
        train("stopped", (last, lambda: signal.raise_signal(signal.SIGTERM)), **options)
    state = json.loads((tmp_path / "stopped" / f"checkpoint-{last}" / "trainer_state.json").read_text())
    assert any("eval_loss" in log for log in state["log_history"])


@pytest.fixture
def student(teacher_folder, corpus_file, tmp_path):
    """The arguments of a short run, and its output folder."""
    argv = ["--teacher_name_or_path", str(teacher_folder), "--train_file", str(corpus_file), "--student_layers", "2"]
    argv += ["--use_cpu", "true", "--disable_tqdm", "true", "--max_length", "32", "--max_steps", "4"]
    return [*argv, "--save_steps", "2", "--output_dir", str(tmp_path / "student")], tmp_path / "student"


def test_sigterm_to_a_launcher_of_two_processes(student):
    """All end at the same step, one tells, and nothing is published."""
    argv, output = student
    launch = [sys.executable, *on_two_ranks(), ROOT / "distillation/run.py"]
    argv = [*argv, "--max_steps", "100000", "--save_total_limit", "2"]
    argv += ["--dataloader_num_workers", "1", "--dataloader_persistent_workers", "true"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    running = subprocess.Popen([*launch, *argv], stderr=subprocess.PIPE, text=True, env=environment)
    deadline = time.monotonic() + 240
    while running.poll() is None and not list(output.glob(f"checkpoint-*/{SEAL}")) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGTERM)
    _, errors = running.communicate(timeout=300)
    assert running.returncode != 0 and errors.count("stopped by SIGTERM after step") == 1, errors
    last = checkpoints(output)[0]
    assert f"{last} is written" in errors and is_whole(last) and (last / "rng_state_1.pth").exists()
    assert not (output / "model.safetensors").exists() and not (output / "all_results.json").exists()


# Numbers that are none


def test_a_loss_that_is_no_number_ends_the_run(student, capsys):
    """It says where, and what was saved before it is whole."""
    argv, output = student
    with pytest.raises(SystemExit) as ended:
        run.main([*argv, "--learning_rate", "1e18", "--save_steps", "1", "--masking_unit", "word"])
    assert ended.value.code == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "the loss `kl` is nan in step 2, in a batch with '" in error and "and 7 more" in error
    assert "lower `learning_rate`" in error
    text = error.split("in a batch with '")[1].split("'")[0]
    assert "MASK" not in text and len(text.split()) > 1
    assert in_order(output) == ["checkpoint-1"] and is_whole(output / "checkpoint-1")
    assert not (output / "model.safetensors").exists()


class Event:
    """As a GPU has it."""

    def record(self):
        self.recorded = True

    def synchronize(self):
        assert self.recorded


@pytest.mark.parametrize(("save_steps", "ended"), [(6, 3), (2, 2)])
def test_on_a_gpu_an_answer_is_read_a_step_later_or_before_a_checkpoint(
    make_trainer, tmp_path, monkeypatch, save_steps, ended
):
    """Waiting for the device in every step would cost more than it saves; a checkpoint is worth the wait."""
    trainer = make_trainer("run", **(SHORT | dict(learning_rate=1e30, save_steps=save_steps)))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    trainer.watch.device = torch.device("cuda")
    with pytest.raises(UserError, match="in step 2, in a batch with"):
        trainer.train()
    assert trainer.state.global_step == ended and not checkpoints(tmp_path / "run")


def test_weights_that_are_no_numbers_are_not_saved(train, make_trainer, tmp_path):
    """Gradients may be lost where every loss is a number."""
    trainer = make_trainer("run", **SHORT)

    def lose():
        with torch.no_grad():
            next(iter(trainer.model.projections.parameters()))[0, 0] = torch.inf

    trainer.callback_handler.callbacks.insert(0, At(4, lose))
    with pytest.raises(UserError, match="after step 4 the weights `projections"):
        trainer.train()
    assert in_order(tmp_path / "run") == ["checkpoint-2"]


# Folders that cannot be written


@pytest.mark.parametrize("room", ["of half a model", "of a model and half an optimiser"])
def test_a_full_disk(student, capsys, room):
    """One sentence, and the checkpoint before is whole."""
    argv, output = student
    run.main([*argv, "--max_steps", "2"])
    model, optimizer = (
        (output / "checkpoint-2" / name).stat().st_size for name in ("model.safetensors", "optimizer.pt")
    )
    limit = model // 2 if "half a model" in room else (model + optimizer) // 2
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(SystemExit) as ended:
            run.main([*argv, "--resume_from_checkpoint", "true"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert ended.value.code == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert f"`output_dir` {str(output)!r} cannot be written" in error
    assert "go on from checkpoint-2, which is whole, by `--resume_from_checkpoint true`" in error
    assert in_order(output) == ["checkpoint-2"] and is_whole(output / "checkpoint-2")
    run.main([*argv, "--resume_from_checkpoint", "true"])
    assert (output / "all_results.json").exists()


def test_a_disk_that_is_full_at_the_end(student, capsys, monkeypatch):
    argv, output = student

    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(publish, "write", full)
    with pytest.raises(SystemExit) as ended:
        run.main(argv)
    assert ended.value.code == 2 and "cannot be written (No space left on device)" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_refused_before_training(student, capsys, tmp_path, monkeypatch):
    argv, _ = student
    monkeypatch.setattr("distillation.assembly.build_run", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as ended:
        run.main([*argv, "--output_dir", str(tmp_path / "file" / "student")])
    assert ended.value.code == 2 and "`output_dir`" in capsys.readouterr().err


def test_a_folder_that_turns_out_not_to_be_writable(tmp_path):
    """To the superuser nothing looks so."""
    (tmp_path / "recipe.json.part").mkdir()
    with pytest.raises(UserError, match="`output_dir`.*cannot be written.*Is a directory"):
        begin(arguments(tmp_path, None), {})


# Folders that were used


def test_a_folder_with_checkpoints_is_not_begun_in(tmp_path):
    """An older checkpoint with a higher number would be what a resumption takes."""
    write_checkpoint(tmp_path / "checkpoint-1")
    for value in (None, "false"):
        with pytest.raises(UserError, match="`output_dir`.*--resume_from_checkpoint true"):
            checkpoint_of(arguments(tmp_path, value), {})


def test_another_recipe_does_not_go_on(tmp_path, caplog):
    """What makes another model is refused; what another machine may need is told."""
    begin(arguments(tmp_path, None), {"weight_kl": 2.0, "seed": 1, "max_steps": 10, "output_dir": "here"})
    again = {"weight_kl": 2.0, "seed": 1, "max_steps": 10, "output_dir": "there"}
    assert checkpoint_of(arguments(tmp_path, "true"), again, MACHINE) is None and "goes on with" not in caplog.text
    for key, value in (("weight_kl", 1.0), ("seed", 2), ("alignment", "match"), ("learning_rate", 1.0)):
        with pytest.raises(UserError, match=f"`output_dir`.*`{key}`"):
            checkpoint_of(arguments(tmp_path, "true"), again | {key: value}, MACHINE)
    checkpoint_of(arguments(tmp_path, "true"), again | {"max_steps": 20}, MACHINE)
    assert "the run goes on with `max_steps` 20, and began with 10" in caplog.text


def test_results_of_an_earlier_run_are_taken_away(tmp_path):
    (tmp_path / "all_results.json").write_text("{}")
    begin(arguments(tmp_path, None), {})
    assert [path.name for path in tmp_path.iterdir()] == ["recipe.json"]


# The whole


def test_figures_are_those_of_all_parts(train, tmp_path):
    """Steps of all parts beside the seconds and tokens of the last one made a run look many times as fast."""
    whole = train("whole", logging_steps=3)
    resumed = train("resumed", checkpoint=str(tmp_path / "whole" / "checkpoint-4"), logging_steps=3)
    first, found = whole.so_far(), resumed.so_far()
    assert found["tokens"] == first["tokens"] > 0 and found["steps"] == first["steps"] == 6
    for term, total in first["terms"].items():
        assert found["terms"][term] == pytest.approx(total, rel=1e-5)
    entries = json.loads((tmp_path / "whole" / "checkpoint-4" / "so_far.json").read_text())
    assert resumed.seconds > entries["seconds"] > 0 and entries["steps"] == 4
    results = resumed.measured()
    assert results["train_seconds"] == resumed.seconds
    assert results["train_kl"] == pytest.approx(whole.measured()["train_kl"], rel=1e-5)


def test_runs_that_are_killed_end_where_others_do():
    """A few of the many that kill.py can do: of a stream in two processes."""
    command = [sys.executable, str(ROOT / "tests" / "kill.py"), "--runs", "1", "--kills", "2", "--seed", "1"]
    done = subprocess.run([*command, "--modes", "streaming-2"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    modes = json.loads(done.stdout.splitlines()[-1])["modes"]
    assert all(mode["equal"] == mode["runs"] == 1 and mode["kills"] for mode in modes)
