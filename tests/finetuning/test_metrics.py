"""The benchmarks' metrics against their references: scikit-learn, seqeval, SQuAD's script, and values by hand."""

import functools

import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from finetuning.metrics import LABEL_FIGURES, AnswerScores, EntityScores, LabelScores, normalised, word_f1

LABELS = ("a", "b", "c", "d")
TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")
TYPES = ("PER", "ORG", "LOC")
few = settings(max_examples=60, deadline=None)


@few
@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS[:3])), min_size=1, max_size=40))
def test_label_scores_are_those_of_sklearn(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    metric = LabelScores(LABELS, *LABEL_FIGURES)
    found = metric.compute(predictions=predictions, references=references)
    assert tuple(found) == metric.names
    assert found["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(references, predictions))
    assert found["matthews_correlation"] == pytest.approx(sklearn.metrics.matthews_corrcoef(references, predictions))
    f1 = functools.partial(sklearn.metrics.f1_score, references, predictions, labels=LABELS, zero_division=0)
    assert [found["f1_weighted"], found["f1_macro"]] == pytest.approx([f1(average="weighted"), f1(average="macro")])
    assert found["f1"] == pytest.approx(f1(average=None)[-1]), "of the last label"


def test_label_scores_by_hand():
    """a: 2 of 3 found, none wrong; b: found, 1 wrong; c never occurs and counts in the macro mean."""
    answers = {"predictions": ["a", "a", "b", "b"], "references": ["a", "a", "a", "b"]}
    of_a, of_b = 2 * 1 * (2 / 3) / (1 + 2 / 3), 2 * 0.5 * 1 / 1.5
    found = LabelScores("abc", "f1_weighted", "accuracy", "f1_macro").compute(**answers)
    assert found == pytest.approx(
        {"f1_weighted": (3 * of_a + of_b) / 4, "accuracy": 0.75, "f1_macro": (of_a + of_b + 0) / 3}
    )
    assert LabelScores("ab", "f1").compute(**answers) == pytest.approx({"f1": of_b})
    # (2 x 1 - 1 x 0) / sqrt(2 x 2 x 3 x 1)
    assert LabelScores("ab", "matthews_correlation").compute(**answers) == pytest.approx(
        {"matthews_correlation": 2 / 12**0.5}
    )


def spans(tags):
    """The obvious set of spans: a run of tags of one type; `B-` begins another."""
    found, begun = set(), None
    for place, tag in enumerate([*tags, "O"]):
        ends = begun is not None and (tag == "O" or tag[0] == "B" or tag[2:] != tags[begun][2:])
        if ends:
            found.add((tags[begun][2:], begun, place))
            begun = None
        if tag != "O" and begun is None:
            begun = place
    return found


def ratio(part, whole):
    return part / whole if whole else 0.0


def figures(right, predicted, true):
    precision, recall = ratio(right, predicted), ratio(right, true)
    return [precision, recall, ratio(2 * precision * recall, precision + recall)]


pairs_of_tags = st.lists(
    st.integers(0, 9).flatmap(lambda n: st.tuples(*[st.lists(st.sampled_from(TAGS), min_size=n, max_size=n)] * 2)),
    min_size=1,
    max_size=6,
)


@few
@given(pairs_of_tags)
def test_entity_scores_are_those_of_sets_of_spans(pairs):
    predictions, references = map(list, zip(*pairs, strict=True))
    metric = EntityScores(TYPES)
    found = metric.compute(predictions=predictions, references=references)
    assert set(found) == set(metric.names)
    predicted = {(row, *span) for row, tags in enumerate(predictions) for span in spans(tags)}
    true = {(row, *span) for row, tags in enumerate(references) for span in spans(tags)}
    expected = figures(len(predicted & true), len(predicted), len(true))
    assert [found[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected)
    for kind in TYPES:
        p, t = ({span for span in some if span[1] == kind} for some in (predicted, true))
        expected = figures(len(p & t), len(p), len(t))
        assert [found[f"{kind}_{name}"] for name in ("precision", "recall", "f1")] == pytest.approx(expected)


def test_entity_scores_by_hand():
    """One person right, one with a wrong end, one place that is none: 1 of 3 predicted, 1 of 2 true."""
    found = EntityScores(TYPES).compute(
        predictions=[["B-PER", "I-PER", "O", "I-PER", "O"], ["B-LOC"]],
        references=[["B-PER", "I-PER", "O", "B-PER", "I-PER"], ["O"]],
    )
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((1 / 3, 1 / 2, 0.4))
    assert (found["PER_precision"], found["PER_recall"], found["PER_f1"]) == (0.5, 0.5, 0.5)
    assert found["LOC_f1"] == found["ORG_f1"] == found["ORG_precision"] == 0
    found = EntityScores(TYPES).compute(predictions=[["B-PER", "I-PER"]], references=[["B-PER", "B-PER"]])
    assert found["f1"] == 0, "two neighbours are two"
    assert EntityScores(TYPES).compute(predictions=[["O"], []], references=[["O"], []])["f1"] == 0


@pytest.mark.parametrize(
    ("answer", "right", "exact", "f1"),
    [
        ("«ёлки»", "ёлки", 1, 1),
        ("Ёлки", "ёлки", 1, 1),
        ("елки", "ёлки", 0, 0),  # two letters, as in the script
        ("Москва — столица", "москва столица", 1, 1),
        ("санкт-петербург", "Санкт Петербург", 0, 0),  # a dash joins, as in the script
        ("в Москве", "Москве", 0, 2 / 3),
        ("да да", "да", 0, 2 / 3),
        ("“да…”", "да", 1, 1),
        ("10 %", "10", 1, 1),
        ("", "да", 0, 0),
        ("—", "", 1, 1),
        ("the кот", "кот", 1, 1),
        ("а кот", "кот", 0, 2 / 3),  # Cyrillic а is no article
        ("5 №", "5", 0, 2 / 3),  # a symbol and no mark
        # What evaluate-v1.1.py gives
        ("An U.S. Cat", "the us cat,", 1, 1),
        ("theatre 1,000", "1000 a", 0, 2 / 3),
        ("cat's cat cat", "cats dog cat cat", 0, 6 / 7),
        ("a", "the", 1, 1),  # here its F1 is 0, and that of SQuAD 2.0's script 1
    ],
)
def test_answers_by_hand(answer, right, exact, f1):
    assert (normalised(answer) == normalised(right)) == exact and word_f1(answer, right) == pytest.approx(f1)
    found = AnswerScores().compute(predictions=[answer], references=[[right]])
    assert found == pytest.approx({"exact_match": 100 * exact, "f1": 100 * f1})


def test_the_best_of_several_answers_counts():
    metric = AnswerScores()
    found = metric.compute(
        predictions=["в Москве", "нет", "", "да"], references=[["Москва", "Москве", "в Москве!"], ["да"], [], []]
    )
    assert found == {"exact_match": 50.0, "f1": 50.0}, "no right answer is answered by the empty text"
    found = metric.compute(predictions=["в Москве"], references=[["Киев", "Москве"]])
    assert found == {"exact_match": 0.0, "f1": pytest.approx(200 / 3)}


def test_nothing_is_written(tmp_path, monkeypatch):
    """A cache of metrics would be shared by runs at the same time."""
    import evaluate.config

    for name in ("HF_METRICS_CACHE", "HF_EVALUATE_CACHE", "HF_MODULES_CACHE"):
        monkeypatch.setattr(evaluate.config, name, tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    for metric, answer in ((LabelScores(LABELS, "f1_macro"), "a"), (EntityScores(TYPES), ["O"])):
        for _ in "again":
            assert metric.compute(predictions=[answer], references=[answer])
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
