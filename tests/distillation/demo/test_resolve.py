"""The embedded demo is used where a recipe says `demo`, and only there."""

from distillation.config.arguments import ModelArguments
from distillation.config.corpus import DataArguments
from distillation.demo import resolve as demo
from tests.texts import demo_lines


def test_only_the_word_demo_is_replaced(monkeypatch):
    monkeypatch.setattr(demo, "_made", lambda name, *_: f"made/{name}")
    made, own = (str(demo.CORPUS), "made/teacher", "made/vocabulary"), ("corpus.txt", "teacher", None)
    for given, expected in ((("demo", "demo", "demo"), made), (own, own)):
        data, model = DataArguments(given[0]), ModelArguments(*given[1:])
        demo.resolve_demo(data, model)
        assert (data.train_file, model.teacher_name_or_path, model.student_vocabulary) == expected
    lines = demo_lines(30_000)
    assert len(set(lines)) == len(lines) == 20_000, "a line that comes twice could be both trained on and held out"
