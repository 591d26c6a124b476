"""The embedded demo is made where the recipe says `demo`, once, and only then."""

from distillation.config.arguments import DataArguments, ModelArguments
from distillation.demo import resolve as demo


def test_the_corpus_is_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "LINES", 50)
    path = demo.demo_corpus(tmp_path)
    before = path.stat().st_mtime_ns
    assert demo.demo_corpus(tmp_path) == path and path.stat().st_mtime_ns == before
    assert list(tmp_path.iterdir()) == [path]


def test_other_names_are_left_alone(monkeypatch):
    """With arguments of their own, users get nothing from the demo."""
    monkeypatch.setattr(demo, "demo_corpus", None)
    monkeypatch.setattr(demo, "demo_teacher", None)
    data, model = DataArguments(train_file="corpus.txt"), ModelArguments(teacher_name_or_path="teacher")
    demo.resolve_demo(data, model)
    assert (data.train_file, model.teacher_name_or_path) == ("corpus.txt", "teacher")


def test_the_word_is_replaced(monkeypatch):
    monkeypatch.setattr(demo, "demo_corpus", lambda: "made/corpus.txt.gz")
    monkeypatch.setattr(demo, "demo_teacher", lambda: "made/teacher")
    data, model = DataArguments(train_file="demo"), ModelArguments(teacher_name_or_path="demo")
    demo.resolve_demo(data, model)
    assert (data.train_file, model.teacher_name_or_path) == ("made/corpus.txt.gz", "made/teacher")
