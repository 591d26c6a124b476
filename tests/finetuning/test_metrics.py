"""The benchmarks' metrics against their references, and values by hand."""

import functools

import evaluate.config
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from finetuning.metrics import (
    LABEL_FIGURES,
    AnswerScores,
    EntityScores,
    LabelScores,
    LabelSetScores,
    normalised,
    word_f1,
)

LABELS = ("a", "b", "c", "d")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")
TYPES = ("PER", "ORG", "LOC")
few = settings(max_examples=60, deadline=None)


@few
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS[:3])), min_size=1, max_size=40))
def test_label_scores_are_those_of_sklearn(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    found = LabelScores(LABELS, *LABEL_FIGURES).compute(predictions=predictions, references=references)
    assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(references, predictions))
    assert found["matthews_correlation"] == pytest.approx(sklearn.metrics.matthews_corrcoef(references, predictions))
    f1 = functools.partial(sklearn.metrics.f1_score, references, predictions, zero_division=0)
    assert [found["f1_weighted"], found["f1_macro"]] == pytest.approx([f1(average="weighted"), f1(average="macro")])
    assert found["f1"] == pytest.approx(f1(average=None, labels=LABELS)[-1]), "of the last label"


def spans(tags):
    """The obvious set of spans: a run of tags of one type; `B-` starts another."""
    found, first = set(), None
    for place, tag in enumerate([*tags, "O"]):
        if first is not None and (tag == "O" or tag[0] == "B" or tag[2:] != tags[first][2:]):
            found.add((tags[first][2:], first, place))
            first = None
        if tag != "O" and first is None:
            first = place
    return found


def figures(predicted, true):
    right, ratio = len(predicted & true), lambda part, total: part / total if total else 0.0
    precision, recall = ratio(right, len(predicted)), ratio(right, len(true))
    return [precision, recall, ratio(2 * precision * recall, precision + recall)]


@few
@given(st.lists(st.lists(st.tuples(*[st.sampled_from(TAGS)] * 2), max_size=9), min_size=1, max_size=6))
def test_entity_scores_are_those_of_sets_of_spans(sentences):
    sides = [[[pair[side] for pair in sentence] for sentence in sentences] for side in (0, 1)]
    predicted, true = ({(row, *span) for row, tags in enumerate(side) for span in spans(tags)} for side in sides)
    expected = dict(zip(("precision", "recall", "f1"), figures(predicted, true), strict=True))
    for kind in TYPES:
        of_kind = figures(*({span for span in side if span[1] == kind} for side in (predicted, true)))
        expected |= dict(zip((f"{kind}_precision", f"{kind}_recall", f"{kind}_f1"), of_kind, strict=True))
    assert EntityScores(TYPES).compute(predictions=sides[0], references=sides[1]) == pytest.approx(expected)


def test_entity_scores_by_hand():
    """One person right, one with a wrong end, one place that is none: 1 of 3 predicted, 1 of 2 true."""
    found = EntityScores(TYPES).compute(
        predictions=[["B-PER", "I-PER", "O", "I-PER", "O"], ["B-LOC"]],
        references=[["B-PER", "I-PER", "O", "B-PER", "I-PER"], ["O"]],
    )
    assert list(found.values()) == pytest.approx([1 / 3, 1 / 2, 0.4, 0.5, 0.5, 0.5, 0, 0, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("«ёлки»", "ёлки", 0, 0),  # the script drops the marks of ASCII alone
        ("елки", "ёлки", 0, 0),  # two letters, as in the script
        ("Москва — столица", "москва столица", 0, 4 / 5),
        ("санкт-петербург", "Санкт Петербург", 0, 0),  # a dash joins, as in the script
        ("да да", "да", 0, 2 / 3),
        ("the кот", "кот", 1, 1),
        ("а кот", "кот", 0, 2 / 3),  # Cyrillic а is no article
        # What evaluate-v1.1.py gives
        ("An U.S. Cat", "the us cat,", 1, 1),
        ("theatre 1,000", "1000 a", 0, 2 / 3),
        ("cat's cat cat", "cats dog cat cat", 0, 6 / 7),
        ("a", "the", 1, 0),
    ],
)
def test_answers_by_hand(answer, right, exact, f1):
    assert (normalised(answer) == normalised(right)) == exact and word_f1(answer, right) == pytest.approx(f1)
    found = AnswerScores().compute(predictions=[answer], references=[[right]])
    assert found == pytest.approx({"exact_match": 100 * exact, "f1": 100 * f1})


def test_the_best_of_several_answers_counts():
    """No right answer is answered by the empty text."""
    answers, right = ["в Москве", "нет", "", "да"], [["Москва", "Москве", "в Москве!"], ["да"], [], []]
    assert AnswerScores().compute(predictions=answers, references=right) == {"exact_match": 50.0, "f1": 50.0}


def test_a_label_that_no_answer_has_costs_nothing():
    names = "f1_macro", "f1_micro", "f1_weighted"
    right = [["a"], ["a", "b"], []]
    assert set(LabelSetScores("abc", *names).compute(predictions=right, references=right).values()) == {1.0}
    assert LabelSetScores("abc", "f1_macro").compute(predictions=[["a"]], references=[["b"]]) == {"f1_macro": 0.0}
    assert LabelSetScores("abc", "f1_macro").compute(predictions=[[]], references=[[]]) == {"f1_macro": 0.0}


def test_nothing_is_written(tmp_path, monkeypatch):
    for name in ("HF_METRICS_CACHE", "HF_EVALUATE_CACHE", "HF_MODULES_CACHE"):
        monkeypatch.setattr(evaluate.config, name, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    assert LabelScores(LABELS, "f1_macro").compute(predictions=["a"], references=["a"])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
