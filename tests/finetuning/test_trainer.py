"""The trainer of tasks: exact over micro-batches, ranks, and resumptions; predictions in the order of the rows."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset, concatenate_datasets
from safetensors.torch import load_file
from transformers import AutoTokenizer, EarlyStoppingCallback, TrainingArguments

from finetuning.splits import Part
from finetuning.tasks.collator import Collator
from finetuning.tasks.losses import IGNORED, label_loss
from finetuning.tasks.multiple_choice import MultipleChoice
from finetuning.trainer import TaskTrainer
from tests import gradients, launched

KINDS = ("classification", "tagging", "question_answering", "multiple_choice")
kinds = pytest.mark.parametrize("kind", KINDS)
MAX_LENGTH = 48
assert_same = functools.partial(gradients.assert_same, tolerance=1e-4)


@pytest.fixture(scope="session")
def parts(tasks, rows, teacher_folder):
    """Of each kind `train` and `validation`, each text of any number of inputs."""
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)

    def part(kind, some):
        return Part(some, tasks[kind].encode(some, tokenizer, MAX_LENGTH))

    return {
        kind: {"train": part(kind, rows[kind][:50]), "validation": part(kind, rows[kind][50:71])} for kind in KINDS
    }


def taught(task, encoded):
    """With the word of a random teacher, NaN for some."""
    draw = np.random.default_rng(0)
    logits = []
    for row in encoded.inputs:
        shape = (row["size"],) if isinstance(task, MultipleChoice) else (row["length"], len(task.labels) or 2)
        one = draw.normal(size=shape).astype(np.float32)
        if task.padded == ("labels", "teacher_logits"):
            one[draw.random(len(one)) < 0.5] = np.nan
        logits.append(one if task.padded else one[0])
    column = Dataset.from_dict({"teacher_logits": logits})
    return concatenate_datasets([encoded.inputs, column], axis=1)


@pytest.fixture
def make_trainer(tmp_path, teacher_folder, tasks, parts):
    """A function that builds a trainer; its keywords are keys of a recipe."""

    def make(kind="tagging", folder="run", train=None, options=None, dropout=0.0, **training):
        torch.manual_seed(0)
        model = tasks[kind].load_model(str(teacher_folder))
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = dropout
        defaults = dict(output_dir=str(tmp_path / folder), use_cpu=True, report_to="none", save_strategy="no", seed=1)
        return TaskTrainer(
            model,
            TrainingArguments(**{**defaults, "disable_tqdm": True, "logging_steps": 1, **training}),
            task=tasks[kind],
            train=parts[kind]["train"].encoded.inputs if train is None else train,
            validation=parts[kind]["validation"],
            tokenizer=AutoTokenizer.from_pretrained(teacher_folder),
            **(options or {}),
        )

    return make


STEPS = dict(num_train_epochs=1, learning_rate=0.0, max_grad_norm=0.0, train_sampling_strategy="sequential")


@kinds
def test_accumulation_is_one_large_batch(make_trainer, tasks, parts, kind):
    """Means of means are not the mean where micro-batches hold different numbers of labels, and the last window of an
    epoch holds fewer of them. Both losses count the same labels; what the teacher says changes the gradient."""
    train = taught(tasks[kind], parts[kind]["train"].encoded).select(range(21))
    options = dict(kind=kind, train=train, options=dict(weight_kl=0.7, temperature=3.0), **STEPS)
    single = make_trainer(per_device_train_batch_size=8, **options)
    parted = make_trainer(per_device_train_batch_size=2, gradient_accumulation_steps=4, **options)
    if kind == "tagging":  # uneven, or it shows nothing
        counts = [int((np.array(labels) != IGNORED).sum()) for labels in train["labels"]]
        assert len({sum(counts[i : i + 2]) for i in range(0, 21, 2)}) > 3
    expected, found = gradients.of_each_step(single), gradients.of_each_step(parted)
    assert len(found) == len(expected) == 3
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    for one, other in zip(parted.state.log_history[:3], single.state.log_history[:3], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
    plain = make_trainer(kind=kind, train=train.remove_columns("teacher_logits"), folder="plain", **STEPS)
    pairs = zip(gradients.of_each_step(plain)[0].values(), expected[0].values(), strict=True)
    assert any((a - b).norm() > 0.01 * b.norm() for a, b in pairs)


@kinds
def test_the_loss_of_a_step_is_the_slow_mean(make_trainer, tasks, parts, kind):
    """A label of padding, or a text counted by its length, would still look like a falling loss."""
    trainer = make_trainer(kind, per_device_train_batch_size=8, max_steps=1, learning_rate=0.0)
    trainer.train_dataset = parts[kind]["train"].encoded.inputs.select(range(8))
    trainer.train()
    total, count = slow_loss(trainer, range(8))
    assert trainer.state.log_history[0]["loss"] == pytest.approx(total / count, rel=1e-4)


def slow_loss(trainer, which):
    """One input at a time, one label at a time."""
    task, total, count = trainer.task, 0.0, 0
    for index in which:
        one = trainer.train_dataset[index]
        with torch.no_grad():
            outputs = trainer.model.eval()(**trainer.data_collator.read([one]))
        if isinstance(task, MultipleChoice):
            scores, labels = outputs.logits, [one["labels"]]
        elif task.padded == ("teacher_logits",):
            scores, labels = [outputs.start_logits[0], outputs.end_logits[0]], one["labels"]
        elif task.padded:
            scores, labels = outputs.logits[0], one["labels"]
        else:
            scores, labels = outputs.logits, [one["labels"]]
        for score, label in zip(scores, labels, strict=True):
            if label != IGNORED:
                total, count = total - score.log_softmax(-1)[label].item(), count + 1
    return total, count


@kinds
@pytest.mark.parametrize("sampling", ["random", "group_by_length"])
def test_logits_come_in_the_order_of_the_inputs(make_trainer, parts, kind, sampling):
    """They are computed by length; shuffled answers score like chance, and only on texts of different lengths."""
    trainer = make_trainer(kind, train_sampling_strategy=sampling, per_device_eval_batch_size=4)
    inputs = parts[kind]["validation"].encoded.inputs
    assert len(set(inputs["length"])) > 5 and inputs["length"] != sorted(inputs["length"])
    found = trainer.logits(inputs)
    assert len(found) == len(inputs)
    for one, logits in zip(inputs, found, strict=True):
        read = trainer.data_collator.read([one])
        with torch.no_grad():
            expected = trainer.task.logits(trainer.model.eval()(**read))[0].numpy()
        assert logits.shape == expected.shape
        assert np.allclose(logits, expected, atol=1e-5)


@kinds
def test_measured_figures_do_not_depend_on_the_batch(make_trainer, parts, kind):
    """Means of batch means weigh a row by the company it is in."""
    part = parts[kind]["validation"]
    scores, predictions = make_trainer(kind, per_device_eval_batch_size=1).measure(part)
    trainer = make_trainer(kind, per_device_eval_batch_size=16)
    others, other_predictions = trainer.measure(part)
    assert scores == pytest.approx(others, rel=1e-5)
    assert [one["prediction"] for one in predictions] == [one["prediction"] for one in other_predictions]
    assert [one["id"] for one in predictions] == [row["id"] for row in part.rows]
    trainer.train_dataset = part.encoded.inputs
    total, count = slow_loss(trainer, range(len(part.encoded.inputs)))
    assert scores["loss"] == pytest.approx(total / count, rel=1e-5)
    logged = trainer.evaluate()
    for name, value in others.items():
        assert logged[f"eval_{name}"] == trainer.state.log_history[-1][f"eval_{name}"] == pytest.approx(value)


def test_two_ranks_are_one(tmp_path, make_trainer, tasks, parts):
    """Two processes with batches of 4 give the weights, losses, and scores of one process with batches of 8, in the
    second epoch too; an uneven number of rows to predict counts none twice."""
    assert len(parts["tagging"]["validation"].rows) % 2

    def train(folder, batch_size):
        for kind in KINDS[:3]:  # in a folder of its own each: a start is dearer than the steps
            trainer = make_trainer(
                kind,
                folder=f"{folder}/{kind}",
                train=taught(tasks[kind], parts[kind]["train"].encoded).select(range(32)),
                per_device_train_batch_size=batch_size,
                per_device_eval_batch_size=batch_size - 1,
                gradient_accumulation_steps=2,
                num_train_epochs=2,
                optim="sgd",  # Adam divides by the gradient's size and would hide a wrong factor
                learning_rate=0.05,
                train_sampling_strategy="group_by_length",
            )
            trainer.train()
            scores, predictions = trainer.measure(trainer.validation)
            if trainer.is_world_process_zero():
                trainer.save_model()
                losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
                found = {"scores": scores, "predictions": predictions, "losses": losses}
                (Path(trainer.args.output_dir) / "found.json").write_text(json.dumps(found))

    launched.run([{}], tmp_path / "log", train, "one", 8)
    launched.run(launched.ranks(2), tmp_path / "log", train, "two", 4)
    for kind in KINDS[:3]:
        folders = [tmp_path / name / kind for name in ("one", "two")]
        one, two = (json.loads((folder / "found.json").read_text()) for folder in folders)
        assert two["losses"] == pytest.approx(one["losses"], rel=1e-4)
        assert len(one["losses"]) == 4
        assert two["scores"] == pytest.approx(one["scores"], rel=1e-4)
        assert [p["prediction"] for p in two["predictions"]] == [p["prediction"] for p in one["predictions"]]
        assert_same(*(load_file(folder / "model.safetensors") for folder in reversed(folders)))


@kinds
def test_what_is_saved_loads_and_is_the_model(make_trainer, kind):
    """The point of a run is a folder that `AutoModelFor...` and `AutoTokenizer` open, without pickled arguments."""
    trainer = make_trainer(kind, max_steps=1, save_strategy="steps", save_steps=1)
    trainer.train()
    trainer.save_model()
    for folder in (Path(trainer.args.output_dir), Path(trainer.args.output_dir, "checkpoint-1")):
        assert not list(folder.glob("training_args.bin"))
        model, loading = trainer.task.model_class.from_pretrained(folder, output_loading_info=True)
        assert not loading["missing_keys"] and not loading["unexpected_keys"]
        for name, weight in trainer.model.state_dict().items():
            assert torch.equal(model.state_dict()[name], weight)
        assert AutoTokenizer.from_pretrained(folder).get_vocab() == trainer.processing_class.get_vocab()
        assert not trainer.task.labels or tuple(model.config.id2label.values()) == trainer.task.labels


def test_the_best_checkpoint_is_what_is_left_at_the_end(make_trainer):
    """Chosen by the benchmark's metric, or by the loss where lower is better."""
    for metric, pick in (("f1", max), ("loss", min)):
        trainer = make_trainer(
            "question_answering",
            folder=metric,
            num_train_epochs=4,
            per_device_train_batch_size=8,
            learning_rate=0.01,
            save_strategy="epoch",
            eval_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model=metric,
        )
        trainer.train()
        values = [log[f"eval_{metric}"] for log in trainer.state.log_history if f"eval_{metric}" in log]
        assert len(set(values)) > 1
        assert trainer.state.best_metric == pick(values)
        assert trainer.measure(trainer.validation)[0][metric] == pytest.approx(pick(values), rel=1e-5)


def test_patience_ends_a_run(make_trainer):
    trainer = make_trainer(
        num_train_epochs=9,
        learning_rate=0.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        options=dict(patience=2),
    )
    assert any(isinstance(one, EarlyStoppingCallback) for one in trainer.callback_handler.callbacks)
    trainer.train()
    assert trainer.state.epoch == 3, "the first score is the best, and two more are no better"


def test_padding_by_hand(tokenizer, byte_tokenizer):
    """Labels of tokens are ignored where there is padding, and a teacher has nothing to say there."""
    tokenizer = byte_tokenizer
    inputs = [
        dict(
            input_ids=[7, 8], attention_mask=[1, 1], length=2, labels=[1, 0], teacher_logits=[[1.0, 2.0], [3.0, 4.0]]
        ),
        dict(input_ids=[9], attention_mask=[1], length=1, labels=[1], teacher_logits=[[5.0, float("nan")]]),
    ]
    batch = Collator(tokenizer, ("labels", "teacher_logits"))(inputs)
    assert set(batch) == {"input_ids", "attention_mask", "labels", "teacher_logits"}
    assert batch["input_ids"].tolist() == [[7, 8], [9, tokenizer.pad_token_id]]
    assert batch["attention_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["labels"].tolist() == [[1, 0], [1, IGNORED]]
    expected = torch.tensor([[[1, 2], [3, 4]], [[5, torch.nan], [torch.nan, torch.nan]]])
    assert torch.equal(batch["teacher_logits"].nan_to_num(-1), expected.nan_to_num(-1))
    ends = [dict(inputs[0], labels=[1, 1]), dict(inputs[1], labels=[0, 0])]
    assert Collator(tokenizer, ("teacher_logits",))(ends)["labels"].tolist() == [[1, 1], [0, 0]]
    texts = [dict(one, labels=2, teacher_logits=[1.0, 2.0, 3.0]) for one in inputs]
    batch = Collator(tokenizer, ())(texts)
    assert batch["labels"].tolist() == [2, 2] and batch["teacher_logits"].shape == (2, 3)


def test_inputs_without_a_label_train_all_the_same(make_trainer, parts):
    """A batch of texts that have no word must not divide by nothing."""
    train = parts["tagging"]["train"].encoded.inputs.select(range(8))
    nothing = [[IGNORED] * length for length in train["length"]]
    train = train.remove_columns("labels").add_column("labels", nothing)
    trainer = make_trainer(train=train, per_device_train_batch_size=8, **STEPS)
    (found,) = gradients.of_each_step(trainer)
    assert not any(gradient.any() for gradient in found.values())
    assert label_loss(torch.randn(1, 3), torch.tensor([IGNORED])) == 0
