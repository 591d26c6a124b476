"""The embedded demo is used where a recipe says `demo`, and only there."""

from distillation.config.arguments import DataArguments, ModelArguments
from distillation.demo import resolve as demo
from tests.texts import demo_lines


def test_the_corpus_is_there_and_its_lines_are_distinct():
    """A line that comes twice may be both trained on and set aside; the figures of the demo are those of this file."""
    lines = demo_lines(30_000)
    assert len(lines) == len(set(lines)) == 20_000
    assert lines[0] == "Учительница говорила с добрым журналом."


def test_only_the_word_demo_is_replaced(monkeypatch):
    """With arguments of their own, users get nothing from the demo."""
    monkeypatch.setattr(demo, "demo_teacher", lambda: "made/teacher")
    monkeypatch.setattr(demo, "demo_vocabulary", lambda: "made/vocabulary")
    data, model = DataArguments(train_file="corpus.txt"), ModelArguments(teacher_name_or_path="teacher")
    demo.resolve_demo(data, model)
    assert (data.train_file, model.teacher_name_or_path, model.student_vocabulary) == ("corpus.txt", "teacher", None)
    data, model = DataArguments(train_file="demo"), ModelArguments("demo", student_vocabulary="demo")
    demo.resolve_demo(data, model)
    found = data.train_file, model.teacher_name_or_path, model.student_vocabulary
    assert found == (str(demo.CORPUS), "made/teacher", "made/vocabulary")
