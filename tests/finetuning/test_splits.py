"""The parts of a benchmark: nothing of the test in training, no text on both sides, the same for everybody."""

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from finetuning.splits import held_out, joined, without_repeats

some_rows = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), max_size=30).map(
    lambda pairs: [{"id": i, "text": text, "label": label} for i, (text, label) in enumerate(pairs)]
)


def text(row):
    """The texts of a row, of which there is one."""
    return (row["text"],)


def label(row):
    return row["label"]


@given(some_rows, some_rows)
def test_what_may_be_trained_on(rows, tested):
    kept, left_out = without_repeats(rows, text, label, tested)
    labels = {text(row): {other["label"] for other in rows if text(other) == text(row)} for row in rows}
    in_test = {text(row) for row in tested}
    expected, seen = [], set()
    for row in rows:
        if text(row) not in in_test | seen and len(labels[text(row)]) == 1:
            expected.append(row)
        seen.add(text(row))
    assert kept == expected
    assert left_out["in_test"] == sum(text(row) in in_test for row in rows)
    assert left_out["conflicting"] == sum(text(row) not in in_test and len(labels[text(row)]) > 1 for row in rows)
    assert sum(left_out.values()) + len(kept) == len(rows) and set(left_out) == {"in_test", "repeated", "conflicting"}


@given(some_rows)
def test_what_is_held_out(rows):
    """A text on both sides would be learnt by heart and then measured; the order is that of the rows."""
    train, validation = held_out(rows, text)
    assert not {text(row) for row in train} & {text(row) for row in validation}
    assert sorted(train + validation, key=lambda row: row["id"]) == rows
    assert [row["id"] for row in train] == sorted(row["id"] for row in train)
    assert [row["id"] for row in validation] == sorted(row["id"] for row in validation)
    if rows:
        largest = max(Counter(map(text, rows)).values())
        assert 0.1 * len(rows) <= len(validation) < 0.1 * len(rows) + largest


def test_a_tenth_is_held_out():
    number = 50
    rows = [{"id": i, "text": f"text {i}"} for i in range(number)]
    train, validation = held_out(rows, text)
    assert (len(train), len(validation)) == (number * 9 // 10, number // 10)
    assert [row["id"] for row in validation] != list(range(number * 9 // 10, number)), "not the last, nor the first"


def test_the_same_tenth_whatever_else_happens():
    """Not the order of the file, nor what drew random numbers before: scores of two runs must compare."""
    rows = [{"id": i, "text": f"text {i % 150}"} for i in range(200)]
    expected = {row["id"] for row in held_out(rows, text)[1]}
    random.seed(5)
    shuffled = random.Random(3).sample(rows, len(rows))
    state = random.getstate()
    assert {row["id"] for row in held_out(shuffled, text)[1]} == expected
    assert random.getstate() == state, "and it draws none of others' numbers"


def test_rows_that_hang_together_by_a_text_stay_together():
    """A headline that is compared with several others would be met in training and then measured."""
    pairs = [(f"a{i}", f"b{i}") for i in range(40)] + [("a0", "b1"), ("b1", "c"), ("c", "a2")]
    rows = [{"id": i, "pair": pair} for i, pair in enumerate(pairs)]
    train, validation = held_out(rows, lambda row: row["pair"])
    assert len(validation) >= 5
    assert not {one for row in train for one in row["pair"]} & {one for row in validation for one in row["pair"]}
    assert joined(pairs)[:4] == ["a0", "a0", "a0", "a3"] and set(joined(pairs)[40:]) == {"a0"}
