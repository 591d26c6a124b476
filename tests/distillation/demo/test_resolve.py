"""The embedded demo is used where a recipe says `demo`, and only there."""

import pytest

from distillation.config.arguments import DataArguments, ModelArguments
from distillation.demo import resolve as demo
from tests.texts import demo_lines


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("corpus.txt", "teacher", None), ("corpus.txt", "teacher", None)),  # users get nothing from the demo
        (("demo", "demo", "demo"), (str(demo.CORPUS), "made/teacher", "made/vocabulary")),
    ],
)
def test_only_the_word_demo_is_replaced(monkeypatch, given, expected):
    monkeypatch.setattr(demo, "_made", lambda name, *_: f"made/{name}")
    data, model = DataArguments(given[0]), ModelArguments(*given[1:])
    demo.resolve_demo(data, model)
    assert (data.train_file, model.teacher_name_or_path, model.student_vocabulary) == expected
    lines = demo_lines(30_000)  # a line that comes twice may be both trained on and held out
    assert len(lines) == len(set(lines)) == 20_000 and lines[0] == "Учительница говорила с добрым журналом."
