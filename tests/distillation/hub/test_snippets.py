"""Code that people paste: whole, and only where the library can do it."""

import ast

import pytest

from distillation.hub.snippets import CHOICE, example, javascript, python

TASKS = (
    "fill-mask",
    "text-classification",
    "token-classification",
    "question-answering",
    CHOICE,
    "feature-extraction",
)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("task", TASKS)
def test_each_task_has_its_texts(task, count):
    texts = example(task, count, "<mask>")
    calls = [node for node in ast.walk(ast.parse(python("me", "me/onnx", texts))) if isinstance(node, ast.Call)]
    asked = next(call for call in calls if getattr(call.func, "id", "") == "model")
    assert tuple(one.value for one in asked.args) == tuple(texts)
    pair = task == "text-classification" and count == 2
    assert len(texts) == {"question-answering": 2, CHOICE: 3}.get(task, 1 + pair)
    script = javascript("me/it", task, texts, '{ dtype: "q8" }')
    assert (script == "") == (task == CHOICE), "transformers.js has no head that chooses"
    assert all(text in script for text in texts) == (task != CHOICE)
    assert ("text_pair" in script) == pair and ("sentence_embedding" in script) == (task == "feature-extraction")
