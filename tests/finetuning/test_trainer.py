"""The trainer of tasks: exact over micro-batches and ranks; predictions in the order of the rows."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from safetensors.torch import load_file
from transformers import AutoTokenizer

from distillation.config.errors import Diverged
from finetuning.tasks.losses import IGNORED
from finetuning.trainer import TaskTrainer
from tests import gradients, launched
from tests.finetuning.known import arguments

KINDS = ("classification", "tagging", "question_answering", "multiple_choice")
kinds = pytest.mark.parametrize("kind", KINDS)
assert_same = functools.partial(gradients.assert_same, tolerance=1e-4)


@pytest.fixture(scope="session")
def parts(tasks, rows, teacher_folder):
    """Of each kind `train` and `validation`."""
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)
    of = {kind: (rows[kind][:50], rows[kind][50:71]) for kind in KINDS}
    of = {kind: [tasks[kind].encode(some, tokenizer, 48) for some in both] for kind, both in of.items()}
    return {kind: dict(zip(("train", "validation"), both, strict=True)) for kind, both in of.items()}


def taught(kind, part):
    """The inputs with the logits of a random teacher, NaN for some words."""
    draw, logits = np.random.default_rng(0), []
    for row in part.inputs:
        shape = {"classification": 3, "multiple_choice": row.get("size"), "tagging": (row["length"], 5)}
        one = draw.normal(size=shape.get(kind, (row["length"], 2))).astype(np.float32)
        if kind == "tagging":
            one[(draw.random(len(one)) < 0.5) | (np.array(row["labels"]) == IGNORED)] = np.nan
        logits.append(one)
    return concatenate_datasets([part.inputs, Dataset.from_dict({"teacher_logits": logits})], axis=1)


@pytest.fixture
def make_trainer(tmp_path, teacher_folder, tasks, parts):
    """A function that builds a trainer without dropout; its keywords are keys of a recipe."""

    def make(kind="tagging", folder="run", train=None, options=None, **training):
        torch.manual_seed(0)
        model = tasks[kind].load_model(str(teacher_folder))
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        train = parts[kind]["train"].inputs if train is None else train
        more = dict(validation=parts[kind]["validation"], tokenizer=AutoTokenizer.from_pretrained(teacher_folder))
        training = arguments(tmp_path / folder, logging_steps=1, **training)
        return TaskTrainer(model, training, task=tasks[kind], train=train, **more, **(options or {}))

    return make


STEPS = dict(num_train_epochs=1, learning_rate=0.0, max_grad_norm=0.0, train_sampling_strategy="sequential")


@kinds
def test_accumulation_is_one_large_batch(make_trainer, parts, kind):
    """Means of means are no mean if micro-batches hold different numbers of labels. Both losses count the same."""
    train = taught(kind, parts[kind]["train"]).select(range(21))
    options = dict(kind=kind, train=train, options=dict(weight_kl=0.7, temperature=3.0), **STEPS)
    single = make_trainer(per_device_train_batch_size=8, **options)
    parted = make_trainer(per_device_train_batch_size=2, gradient_accumulation_steps=4, **options)
    expected, found = gradients.of_each_step(single), gradients.of_each_step(parted)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    losses = [[log["loss"] for log in trainer.state.log_history[:3]] for trainer in (parted, single)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[1][0] == pytest.approx(slow_loss(single, train.select(range(8)), 0.7, 3.0), rel=1e-4)


def places(logits):
    """The scores wherever there is a label: of a text, of the ends of an answer, or of words."""
    logits = torch.as_tensor(logits)
    return [logits] if logits.dim() == 1 else logits.T if logits.shape[1] == 2 else logits


def slow_loss(trainer, inputs, weight_kl=0.0, temperature=1.0):
    """The mean, one label at a time."""
    losses = []
    for one in inputs:
        with torch.no_grad():
            logits = trainer.task.logits(trainer.model.eval()(**trainer.data_collator.read([one])))[0]
        labels = one["labels"] if isinstance(one["labels"], list) else [one["labels"]]
        goals = places(one.get("teacher_logits", logits))
        for scores, goal, label in zip(places(logits), goals, labels, strict=True):
            if label != IGNORED:
                p, q = ((some / temperature).log_softmax(-1) for some in (goal, scores))
                kl = temperature**2 * (p.exp() * (p - q)).sum().nan_to_num()  # NaN: no teacher here
                losses.append(weight_kl * kl.item() - scores.log_softmax(-1)[label].item())
    return sum(losses) / len(losses)


@kinds
def test_measured_figures_are_those_of_each_input_alone(make_trainer, parts, kind):
    """Logits are computed by length: in another order, answers score like chance."""
    part = parts[kind]["validation"]
    assert (lengths := part.inputs["length"][:]) != sorted(lengths)
    trainer = make_trainer(kind, train_sampling_strategy="group_by_length", per_device_eval_batch_size=4)
    for one, logits in zip(part.inputs, trainer.logits(part.inputs), strict=True):
        with torch.no_grad():
            outputs = trainer.model.eval()(**trainer.data_collator.read([one]))
        expected = trainer.task.logits(outputs)[0].numpy()
        assert logits.shape == expected.shape and np.allclose(logits, expected, atol=1e-5)
    scores, predictions = trainer.measure(part)
    assert [one["id"] for one in predictions] == [row["id"] for row in part.rows]
    assert scores["loss"] == pytest.approx(slow_loss(trainer, part.inputs), rel=1e-5)


def test_two_ranks_are_one(tmp_path, make_trainer, parts):
    """Two processes with batches of 4 give the weights, losses, and scores of one process with batches of 8."""
    assert len(parts["tagging"]["validation"].rows) % 2  # none may count twice
    keys = dict(gradient_accumulation_steps=2, num_train_epochs=2, train_sampling_strategy="group_by_length")
    keys |= dict(optim="sgd", learning_rate=0.05)  # Adam divides by the gradient's size and would hide a wrong factor

    def train(folder, batch_size):
        keys.update(per_device_train_batch_size=batch_size, per_device_eval_batch_size=batch_size - 1)
        for kind in KINDS[:3]:  # in a folder of its own each: a start is dearer than the steps
            inputs = taught(kind, parts[kind]["train"]).select(range(32))
            trainer = make_trainer(kind, f"{folder}/{kind}", inputs, **keys)
            trainer.train()
            scores, predictions = trainer.measure(trainer.validation)
            if trainer.is_world_process_zero():
                trainer.save_model()
                losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
                found = [losses, scores, [one["prediction"] for one in predictions]]
                (Path(trainer.args.output_dir) / "found.json").write_text(json.dumps(found))

    launched.run([{}], tmp_path / "log", train, "one", 8)
    launched.run(launched.ranks(2), tmp_path / "log", train, "two", 4)
    for kind in KINDS[:3]:
        folders = [tmp_path / name / kind for name in ("two", "one")]
        (losses, scores, answers), one = (json.loads((folder / "found.json").read_text()) for folder in folders)
        assert losses == pytest.approx(one[0], rel=1e-4) and len(losses) == 4
        assert scores == pytest.approx(one[1], rel=1e-4) and answers == one[2]
        assert_same(*(load_file(folder / "model.safetensors") for folder in folders))


def test_logits_that_are_no_numbers_are_told(make_trainer, parts):
    """A library that computes a metric would end in a traceback, and with it a search of learning rates."""
    trainer = make_trainer("classification")
    with torch.no_grad():
        next(trainer.model.parameters()).fill_(torch.nan)
    with pytest.raises(Diverged, match="lower `learning_rate`"):
        trainer.measure(parts["classification"]["validation"])


def test_inputs_without_a_label_train_all_the_same(make_trainer, parts):
    """A batch of texts that have no word must not divide by nothing."""
    train = parts["tagging"]["train"].inputs.select(range(8))
    nothing = [[IGNORED] * length for length in train["length"]]
    train = train.remove_columns("labels").add_column("labels", nothing)
    (found,) = gradients.of_each_step(make_trainer(train=train, per_device_train_batch_size=8, **STEPS))
    assert not any(gradient.any() for gradient in found.values())
