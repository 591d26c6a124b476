"""The parts of a benchmark: no text on two sides, and the same parts for everybody."""

import dataclasses
import random
import shutil
import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distillation.config.errors import UserError
from finetuning.formats.locate import OwnFiles
from finetuning.sets import make_task, rusentiment
from finetuning.splits import group_names, read_parts, split_off, without_leaks, without_repeats

some_rows = st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("xyz")), max_size=30).map(
    lambda pairs: [{"id": i, "text": text, "label": label} for i, (text, label) in enumerate(pairs)]
)


def texts(row):
    return row["text"] if isinstance(row["text"], tuple) else (row["text"],)


def ids(rows):
    return [row["id"] for row in rows]


@given(some_rows, some_rows)
def test_what_may_be_trained_on(rows, tested):
    chosen, left_out = without_repeats(rows, [row["label"] for row in rows], tested, texts)
    labels = {texts(row): {other["label"] for other in rows if texts(other) == texts(row)} for row in rows}
    in_test = {texts(row) for row in tested}
    expected, seen = [], set()
    for row in rows:
        if texts(row) not in in_test | seen and len(labels[texts(row)]) == 1:
            expected.append(row)
        seen.add(texts(row))
    assert chosen == expected
    assert left_out["in_test"] == sum(texts(row) in in_test for row in rows)
    assert left_out["conflicting"] == sum(texts(row) not in in_test and len(labels[texts(row)]) > 1 for row in rows)
    assert sum(left_out.values()) + len(chosen) == len(rows)


@given(some_rows)
def test_no_text_is_on_both_sides(rows):
    train, validation = split_off(rows, texts)
    assert not set(map(texts, train)) & set(map(texts, validation))
    assert sorted(ids(train + validation)) == ids(rows)
    assert ids(train) == sorted(ids(train)) and ids(validation) == sorted(ids(validation))
    largest = max(Counter(map(texts, rows)).values(), default=1)
    assert 0.1 * len(rows) <= len(validation) < 0.1 * len(rows) + largest


def test_what_is_tested_chooses_nothing_and_what_chooses_is_not_learned():
    named = {
        name: [{"text": text} for text in letters]
        for name, letters in dict(train="abcd", validation="cde", test="ef").items()
    }
    assert without_leaks(named, texts) == {"validation_in_test": 1, "train_in_validation": 2}
    assert {name: "".join(row["text"] for row in part) for name, part in named.items()} == dict(
        train="ab", validation="cd", test="ef"
    )


def test_the_same_tenth_whatever_else_happens():
    rows = [{"id": i, "text": f"text {i % 150}"} for i in range(200)]
    expected = ids(split_off(rows, texts)[1])
    assert len(expected) in (20, 21) and expected[-1] - expected[0] > 20, "not the last, nor the first"
    shuffled, state = random.Random(3).sample(rows, len(rows)), random.getstate()
    assert sorted(ids(split_off(shuffled, texts)[1])) == expected
    assert random.getstate() == state, "and it changes no others' numbers"


def test_a_file_that_grows_keeps_its_tenth():
    """A model of the shorter file, which is fine-tuned further, would know texts of the new test part."""
    rows = [{"id": i, "text": f"{'a' if i < 1000 else 'b'} {i}"} for i in range(1500)]
    before, after = (set(ids(split_off(rows[:count], texts)[1])) for count in (1000, 1500))
    assert len(before & after) >= 90 and len(after) == 150


def test_rows_that_are_linked_by_a_text_stay_together():
    pairs = [(f"a{i}", f"b{i}") for i in range(40)] + [("a0", "b1"), ("b1", "c"), ("c", "a2")]
    train, validation = split_off([{"text": pair} for pair in pairs], texts)
    assert len(validation) >= 5
    assert not {one for row in train for one in row["text"]} & {one for row in validation for one in row["text"]}
    assert group_names(pairs)[:4] == ["a0", "a0", "a0", "a3"] and set(group_names(pairs)[40:]) == {"a0"}


def test_most_of_the_rows_are_not_set_aside_for_one_text_that_they_share():
    rows = [{"text": ("hub", f"a{i}") if i < 88 else (f"b{i}",)} for i in range(100)]
    assert [len(part) for part in split_off(rows, texts)] == [90, 10]


@pytest.mark.parametrize("answers", [("цена", "качество", "сервис"), ("да", "нет")])
def test_a_second_text_of_many_rows_links_nothing(answers):
    """An aspect, or a template: whole aspects would be set aside, or all rows would be one group."""
    rows = [{"text": (f"отзыв {n}", answer)} for n in range(100) for answer in answers]
    train, tested = split_off(rows, texts)
    assert {row["text"][1] for row in tested} == {row["text"][1] for row in train} == {*answers}
    assert 0.1 * len(rows) <= len(tested) < 0.1 * len(rows) + len(answers)
    assert not {row["text"][0] for row in train} & {row["text"][0] for row in tested}


def test_a_text_with_other_spaces_or_decomposed_letters_is_the_same_text():
    task = make_task("rusentiment")
    words = ["мой", "твой", "свой", "чужой", *"абвгдежз"]
    rows = [{"id": word, "text": word, "label": "neutral"} for word in words]
    again = [row | {"text": unicodedata.normalize("NFD", f"{row['text']}\r\n")} for row in rows]
    read = lambda source: {"train": rows + again, "test": again[:2]}  # noqa: E731
    _, facts = read_parts.__wrapped__(dataclasses.replace(task, read=read), "demo")
    assert facts["left_out"] == {"in_test": 4, "repeated": 10, "conflicting": 0}


def test_repeats_leave_ones_own_entities_and_stay_in_a_benchmark(tasks):
    """As of texts with a label. A text with other tags is a contradiction; two sentences may have the same tags."""

    def row(number, tag="O"):
        return {"text": f"Анна {number}", "words": [[0, 4], [5, 5 + len(str(number))]], "tags": [tag, "O"]}

    train = [row(n) for n in range(50)] + [row(0), row(1, "B-PER"), row(90), row(91)]
    parts = {"train": train, "validation": [row(91), row(92)], "test": [row(90), row(92)]}
    own = dataclasses.replace(tasks["tagging"], set="tagging", read=lambda source: dict(parts))
    found, facts = read_parts.__wrapped__(own, OwnFiles("train.jsonl"))
    assert facts["left_out"] == dict(in_test=1, repeated=1, conflicting=2, validation_in_test=1, train_in_validation=1)
    assert found == {"train": [row(0), *map(row, range(2, 50))], "validation": [row(91)], "test": parts["test"]}
    found, facts = read_parts.__wrapped__(dataclasses.replace(own, set=""), "demo")
    assert facts["left_out"] == {} and found == parts


@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_a_file_without_examples_is_named(tasks, part):
    """A tenth of train would stand in for it, and nobody would see."""
    parts = {name: [{"text": name}] * (name != part) for name in ("train", "validation", "test")}
    own = dataclasses.replace(tasks["classification"], set="classification", read=lambda source: parts)
    with pytest.raises(UserError, match=f"`{part}_file` '{part}.csv': there are no examples for {part}"):
        read_parts.__wrapped__(own, OwnFiles("train.csv", "validation.csv", "test.csv"))


def test_a_training_part_that_is_the_test_part_is_refused(benchmarks, tmp_path):
    for name in (rusentiment.TEST, *rusentiment.PARTS.values()):
        shutil.copy(benchmarks / "rusentiment" / rusentiment.TEST, tmp_path / name)
    with pytest.raises(UserError, match="no example is left for train .left out: 24 in test"):
        read_parts(make_task("rusentiment"), str(tmp_path))
