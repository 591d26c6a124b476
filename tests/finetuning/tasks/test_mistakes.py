"""The table of confusions and the mistakes are those of the predictions."""

import csv
from collections import Counter

import numpy as np

from finetuning.tasks import mistakes


def prediction(row, label, score):
    return {"id": row["id"], "prediction": label, "reference": row["label"], "score": score}


def test_what_is_shown(tmp_path, tasks, rows):
    some, task = rows["classification"][:60], tasks["classification"]
    wrong = {n: "abc"["abc".index(some[n]["label"]) - 1] for n in range(30)}
    said = [prediction(row, wrong.get(n, row["label"]), 0.4 + n / 100) for n, row in enumerate(some)]
    mistakes.save(tmp_path, task, some, said)
    header, *lines = csv.reader((tmp_path / "test_mistakes.csv").open(encoding="utf-8", newline=""))
    assert header == ["id", "text", "label", "prediction", "score"] and len(lines) == 20
    assert [line[0] for line in lines] == [some[n]["id"] for n in range(29, 9, -1)], "the most confident first"
    assert lines[0][1:4] == [some[29]["text"], some[29]["label"], wrong[29]]
    assert (tmp_path / "test_confusion.png").read_bytes().startswith(b"\x89PNG")
    table = (tmp_path / "test_confusion.md").read_text(encoding="utf-8").splitlines()
    assert table[0] == "| right \\ predicted | a | b | c | precision | recall | F1 |"
    counts = Counter((one["reference"], one["prediction"]) for one in said)
    assert table[2].startswith(f"| a | {counts['a', 'a']} | {counts['a', 'b']} | {counts['a', 'c']} | ")


def test_a_model_that_tells_no_labels_apart_is_warned_of(tmp_path, tasks, rows, caplog):
    some, task = rows["classification"][:30], tasks["classification"]
    mistakes.save(tmp_path, task, some, [prediction(row, row["label"], 0.5) for row in some])
    assert not caplog.messages
    mistakes.save(tmp_path, task, some, [prediction(row, "a", 0.5) for row in some])
    assert "the only answer on the test part is 'a'" in caplog.text


def test_figures_of_a_label_by_hand():
    """3 of 4 of `a` are found, and 1 of 4 that are called `a` is none; `b` is never right."""
    table = mistakes.confusion_table("ab", np.array([[3, 1], [1, 0]])).splitlines()
    assert table[2:] == ["| a | 3 | 1 | 0.750 | 0.750 | 0.750 |", "| b | 1 | 0 | 0.000 | 0.000 | 0.000 |"]


def test_of_many_labels_the_picture_shows_the_worst():
    labels = [f"label $_{n}" for n in range(100)]
    counts = 5 * np.eye(100, dtype=int)
    counts[range(50, 60), range(10)] = 9
    axes = mistakes.picture(labels, counts).axes[0]
    names = [tick.get_text() for tick in axes.get_yticklabels()]
    assert len(names) == mistakes.MOST and {*labels[:10], *labels[50:60]} <= set(names)
