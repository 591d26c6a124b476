"""A task teacher: its logits reach the right label of the right text."""

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from distillation.config.errors import UserError
from distillation.models.loading import save_pretrained
from distillation.runs.files import read_json, write_json
from finetuning.task_teacher import teach, unlabelled_rows
from finetuning.tasks.losses import IGNORED
from finetuning.trainer import TaskTrainer
from tests.finetuning.known import arguments


@pytest.fixture
def make_teacher(tmp_path, teacher_folder):
    """A function that saves a model with random weights and a head for a task."""

    def make(task, tokenizer=None):
        torch.manual_seed(1)
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(teacher_folder)
        model = task.load_model(str(teacher_folder), random_weights=True)
        model.resize_token_embeddings(len(tokenizer))
        save_pretrained(model, tokenizer, tmp_path / "teacher")
        return tmp_path / "teacher"

    return make


@pytest.fixture
def taught(tmp_path, tasks, rows, teacher_folder):
    """A function that lets a teacher teach and returns the inputs of `train`, and the teacher's figures."""
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)

    def run(kind, folder):
        some = {"train": rows[kind][:30], "validation": rows[kind][30:40]}
        parts = {name: tasks[kind].encode(part, tokenizer, 40) for name, part in some.items()}
        figures = teach(tasks[kind], str(folder), parts, 40, arguments(tmp_path / "out"))
        assert "teacher_logits" not in parts["validation"].inputs.column_names
        return parts["train"].inputs, figures

    return run


@pytest.mark.parametrize("other", [False, True])
def test_a_classifier_with_any_tokenizer(tasks, rows, make_teacher, taught, byte_tokenizer, other):
    task = tasks["classification"]
    folder = make_teacher(task, byte_tokenizer if other else None)
    inputs, figures = taught("classification", folder)
    model, tokenizer = task.model_class.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row, logits in zip(rows["classification"][:6], inputs["teacher_logits"], strict=False):
        with torch.no_grad():
            expected = model(**tokenizer(row["text"], return_tensors="pt", truncation=True, max_length=40)).logits[0]
        assert torch.allclose(torch.tensor(logits), expected, atol=1e-4)
    assert set(figures) == {"model"} | {f"validation_{name}" for name in ("loss", *task.metric.names)}


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_labels_in_another_order(tasks, make_teacher, taught, kind):
    """The same weights under permuted rows of the head say the same."""
    task, folder = tasks[kind], make_teacher(tasks[kind])
    model = task.model_class.from_pretrained(folder)
    with torch.no_grad():
        for values in (model.classifier.weight, model.classifier.bias):
            values.copy_(values.roll(-1, 0))
    model.config.id2label = dict(enumerate((*task.labels[1:], task.labels[0])))
    save_pretrained(model, AutoTokenizer.from_pretrained(folder), folder.with_name("turned"))
    (plain, figures), (turned, other_figures) = (taught(kind, one) for one in (folder, folder.with_name("turned")))
    for one, other in zip(plain["teacher_logits"], turned["teacher_logits"], strict=True):
        assert torch.allclose(torch.tensor(one), torch.tensor(other), atol=1e-5, equal_nan=True)
    assert other_figures | {"model": 0} == pytest.approx(figures | {"model": 0})
    again, other = (task.load_model(str(one)).classifier.weight for one in (folder, folder.with_name("turned")))
    assert torch.equal(again, other), "and a checkpoint that goes on has its rows in the task's order"


def test_a_model_that_cannot_teach(tasks, make_teacher, taught, teacher_folder, byte_tokenizer):
    answering = tasks["question_answering"]
    inputs, _ = taught("question_answering", make_teacher(answering))
    assert [len(one) for one in inputs["teacher_logits"]] == inputs["length"][:]
    with pytest.raises(UserError, match="`task_teacher`.*student's tokenizer"):
        taught("question_answering", make_teacher(answering, byte_tokenizer))
    several = make_teacher(tasks["classification"])
    write_json(
        several / "config.json", read_json(several / "config.json") | {"problem_type": "multi_label_classification"}
    )
    with pytest.raises(UserError, match="predicts a, b, c, several a text, and letters"):
        taught("classification", several)
    other = dataclasses.replace(tasks["classification"], labels=("x", "y", "z"))
    with pytest.raises(UserError, match="`task_teacher`.*predicts x, y, z, and letters has a, b, c"):
        taught("classification", make_teacher(other))
    with pytest.raises(UserError, match="`task_teacher`.*lacks.*fine-tune it on names first"):
        taught("tagging", teacher_folder)


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_texts_without_labels_are_learned_by_the_teachers_answers_alone(
    tasks, rows, make_teacher, teacher_folder, tmp_path, kind
):
    """Each once, and none that is tested; the mean is over all places, with a label or without."""
    task, texts = tasks[kind], [f"{row['text']} Да." for row in rows[kind][:9]]
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)
    parts = {"train": rows[kind][:8], "validation": rows[kind][8:16], "test": rows[kind][16:24]}
    file = tmp_path / "more.txt"
    tested = parts["test"][0]["text"]
    parts["test"][0] = {**parts["test"][0], "text": f"{tested.replace(' ', '  ')}\nДа ."}  # as a file of tokens has it
    file.write_text("\n".join([*texts, texts[0], tested, "Да."]) + "\n", encoding="utf-8")
    more = unlabelled_rows(task, str(file), "review", parts)
    assert [row["text"] for row in more] == texts
    assert unlabelled_rows(task, str(tmp_path / "*.txt"), "review", parts) == more
    table = tmp_path / "more.csv"  # a cell may have several lines
    table.write_text(f'review\n"{parts["test"][0]["text"]}"\n{texts[0]}\n', encoding="utf-8")
    assert [row["text"] for row in unlabelled_rows(task, str(table), "review", parts)] == texts[:1]
    encoded = {
        "train": task.encode(more, tokenizer, 40),
        "validation": task.encode(parts["validation"], tokenizer, 40),
    }
    assert all((np.array(labels) == IGNORED).all() for labels in encoded["train"].inputs["labels"])
    teach(task, str(make_teacher(task)), encoded, 40, arguments(tmp_path / "out"))
    keys = dict(max_steps=3, per_device_train_batch_size=4, learning_rate=1e-2, logging_steps=1)
    model = task.load_model(str(teacher_folder))
    trainer = TaskTrainer(
        model, arguments(tmp_path / "out", **keys), task=task, tokenizer=tokenizer, train=encoded["train"].inputs
    )
    batch = task.collator(tokenizer)(list(encoded["train"].inputs))
    assert trainer.count(batch) == (9 if kind == "classification" else sum(len(row["words"]) for row in more))
    trainer.train()
    losses = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert 0 < losses[-1] < losses[0]


def test_a_task_of_more_than_a_text_has_no_unlabelled_ones(tasks, rows, tmp_path):
    file = tmp_path / "more.txt"
    file.write_text(rows["classification"][0]["text"], encoding="utf-8")
    with pytest.raises(UserError, match="an example of questions is more than a text"):
        unlabelled_rows(tasks["question_answering"], str(file), "text", {"train": rows["question_answering"]})
    with pytest.raises(UserError, match="has no text that is not in train"):
        unlabelled_rows(tasks["classification"], str(file), "text", {"train": rows["classification"]})
