"""A task teacher: its word reaches the right label of the right text, and who cannot teach is sent away."""

import dataclasses

import pytest
import torch
from transformers import AutoTokenizer, TrainingArguments

from distillation.config.errors import UserError
from distillation.models.loading import save_pretrained
from finetuning.arguments import TaskTeacherArguments
from finetuning.splits import Part
from finetuning.task_teacher import teach
from finetuning.trainer import TaskTrainer


@pytest.fixture
def make_teacher(tmp_path, teacher_folder, tasks):
    """A function that saves a model with random weights and a head for a task; perhaps with another tokenizer."""

    def make(task, tokenizer=None, name="teacher"):
        torch.manual_seed(1)
        tokenizer = tokenizer or AutoTokenizer.from_pretrained(teacher_folder)
        model = task.load_model(str(teacher_folder), random_weights=True)
        model.resize_token_embeddings(len(tokenizer))
        save_pretrained(model, tokenizer, tmp_path / name)
        return tmp_path / name

    return make


@pytest.fixture
def taught(tmp_path, tasks, rows, teacher_folder):
    """A function that lets a teacher teach and returns the parts, its figures, and the student's tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(teacher_folder)

    def run(task, folder, kind, max_length=40):
        some = {"train": rows[kind][:30], "validation": rows[kind][30:40]}
        parts = {name: Part(part, task.encode(part, tokenizer, max_length)) for name, part in some.items()}
        training = TrainingArguments(str(tmp_path / "out"), use_cpu=True, report_to="none", disable_tqdm=True)
        told = teach(task, TaskTeacherArguments(task_teacher=str(folder)), parts, max_length, training)
        return parts, told

    return run


def slow_logits(task, folder, text):
    """What a saved model says of one text."""
    model, tokenizer = task.model_class.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(text, return_tensors="pt", truncation=True, max_length=40)).logits[0]


@pytest.mark.parametrize("other", [False, True])
def test_a_classifier_with_any_tokenizer(tasks, rows, make_teacher, taught, byte_tokenizer, other):
    task = tasks["classification"]
    folder = make_teacher(task, byte_tokenizer if other else None)
    parts, told = taught(task, folder, "classification")
    for row, logits in zip(rows["classification"][:6], parts["train"].encoded.inputs["teacher_logits"], strict=False):
        assert torch.allclose(torch.tensor(logits), slow_logits(task, folder, row["text"]), atol=1e-4)
    assert told["model"] == str(folder) and set(told) == {"model"} | {
        f"validation_{name}" for name in ("loss", *task.metric.names)
    }
    assert "teacher_logits" not in parts["validation"].encoded.inputs.column_names


@pytest.mark.parametrize("kind", ["classification", "tagging"])
def test_labels_in_another_order(tasks, make_teacher, taught, kind):
    """The same weights under permuted rows of the head say the same: unsorted, a student would learn other labels."""
    task = tasks[kind]
    folder = make_teacher(task)
    plain, figures = taught(task, folder, kind)
    turned = dataclasses.replace(task, labels=(*task.labels[1:], task.labels[0]))
    model = task.model_class.from_pretrained(folder)
    with torch.no_grad():
        for values in (model.classifier.weight, model.classifier.bias):
            values.copy_(values.roll(-1, 0))
    model.config.id2label = dict(enumerate(turned.labels))
    model.config.label2id = {label: number for number, label in enumerate(turned.labels)}
    save_pretrained(model, AutoTokenizer.from_pretrained(folder), folder.with_name("turned"))
    parts, other_figures = taught(task, folder.with_name("turned"), kind)
    logits = [one["train"].encoded.inputs["teacher_logits"] for one in (parts, plain)]
    for one, other in zip(*logits, strict=True):
        assert torch.allclose(torch.tensor(one), torch.tensor(other), atol=1e-5, equal_nan=True)
    figures.pop("model"), other_figures.pop("model")
    assert other_figures == pytest.approx(figures)


def test_answers_need_the_same_tokens(tasks, make_teacher, taught, byte_tokenizer):
    task = tasks["question_answering"]
    parts, _ = taught(task, make_teacher(task), "question_answering")
    inputs = parts["train"].encoded.inputs
    assert [len(one) for one in inputs["teacher_logits"]] == inputs["length"][:]
    with pytest.raises(UserError, match="`task_teacher`.*ends of an answer are tokens.*student's tokenizer"):
        taught(task, make_teacher(task, byte_tokenizer, "other"), "question_answering")


def test_who_cannot_teach(tasks, make_teacher, taught, teacher_folder):
    other = dataclasses.replace(tasks["classification"], labels=("x", "y", "z"))
    with pytest.raises(UserError, match="`task_teacher`.*predicts x, y, z, and letters has a, b, c"):
        taught(tasks["classification"], make_teacher(other), "classification")
    for kind in ("tagging", "question_answering"):
        with pytest.raises(UserError, match=f"`task_teacher`.*lacks.*fine-tune it on {tasks[kind].name} first"):
            taught(tasks[kind], teacher_folder, kind)


def test_a_student_of_a_strong_teacher_says_what_it_says(tasks, make_teacher, taught, teacher_folder, tmp_path):
    """And not what the labels say."""
    task = tasks["classification"]
    parts, _ = taught(task, make_teacher(task), "classification")
    train = parts["train"].encoded.inputs
    wanted = torch.tensor(train["teacher_logits"][:]).softmax(-1)
    training = TrainingArguments(
        str(tmp_path / "out"), use_cpu=True, report_to="none", disable_tqdm=True, max_steps=25
    )
    training.learning_rate, training.per_device_train_batch_size, training.save_strategy = 4e-3, 30, "no"
    tokenizer, options = AutoTokenizer.from_pretrained(teacher_folder), {"weight_kl": 1e3, "temperature": 1.0}
    student = task.load_model(str(teacher_folder))
    trainer = TaskTrainer(student, training, task=task, train=train, validation=None, tokenizer=tokenizer, **options)

    def distance():
        return (torch.tensor(trainer.logits(train)).softmax(-1) - wanted).abs().mean().item()

    assert distance() > 0.1
    trainer.train()
    assert distance() < 0.1
