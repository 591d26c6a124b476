"""Answers as spans: found again in every window by every tokenizer, ranked exactly, and never in the padding."""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetuning.tasks import question_answering
from finetuning.tasks.losses import label_loss
from finetuning.tasks.question_answering import MAX_ANSWER_TOKENS, N_BEST, best_spans

CLS = 0  # its place in the inputs of these tokenizers


@pytest.fixture
def task(tasks):
    return tasks["question_answering"]


@pytest.fixture
def long_context(corpus_lines):
    return " ".join(corpus_lines[:30])


def row_of(context, answer, start=None, question="Кто?"):
    start = context.index(answer) if start is None else start
    return {"id": "1", "question": question, "context": context, "answers": [{"text": answer, "start": start}]}


def knowing(encoded):
    """Logits of a model that points at the labels, surely where it saw the answer and hardly where it did not."""
    draw = np.random.default_rng(0)
    logits = []
    for row in encoded.inputs:
        one = draw.normal(size=(row["length"], 2)).astype(np.float32)
        for place, end in enumerate(row["labels"]):
            one[end, place] += 50
        logits.append(one)
    return logits


def decoded(task, row, tokenizer, max_length):
    encoded = task.encode([row], tokenizer, max_length)
    (prediction,) = task.decode([row], encoded, knowing(encoded))
    return prediction


def pointed(encoded):
    """For each window whether it holds the answer."""
    (windows,) = encoded.places
    return [encoded.inputs[window.input]["labels"] != [CLS] * 2 for window in windows]


@pytest.mark.parametrize("max_length", [16, 32, 64])
def test_windows_cover_the_context(task, long_context, any_tokenizer, max_length):
    """A token between two windows could never be an answer."""
    encoded = task.encode([row_of(long_context, "")], any_tokenizer, max_length)
    assert max(encoded.inputs["length"]) <= max_length and len(encoded.places[0]) > 5
    read = {tuple(span) for window in encoded.places[0] for span in window.offsets.tolist() if span[0] < span[1]}
    whole = any_tokenizer(long_context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert read == {span for span in whole if span[0] < span[1]}
    for window, row in zip(encoded.places[0], encoded.inputs, strict=True):
        assert row["input_ids"][CLS] == any_tokenizer.cls_token_id
        assert (window.offsets[[0, -1]] == 0).all() and len(window.offsets) == row["length"]


@pytest.mark.parametrize("max_length", [20, 48, 512])
def test_a_model_that_knows_gives_the_answers_back(task, rows, any_tokenizer, max_length):
    """Ends that are one token off cost exact match, and no error tells."""
    some = rows["question_answering"][:40]
    encoded = task.encode(some, any_tokenizer, max_length)
    assert (len(encoded.inputs) > len(some)) == (max_length < 512)
    predictions = task.decode(some, encoded, knowing(encoded))
    held = 0
    for row, windows, prediction in zip(some, encoded.places, predictions, strict=True):
        labels = encoded.inputs["labels"]
        if any(labels[window.input] != [CLS] * 2 for window in windows):
            held += 1
            (answer,) = row["answers"]
            assert prediction["prediction"] == answer["text"] and prediction["id"] == row["id"]
            best = prediction["n_best"][0]
            assert (best["start"], best["end"]) == (answer["start"], answer["start"] + len(answer["text"]))
            assert prediction["score"] == best["score"]
    assert held > 30


def test_where_an_answer_may_stand(task, long_context, any_tokenizer):
    """At both ends, after a mark that has no width, and twice."""
    first, last = long_context.split()[0], long_context.split()[-1]
    for answer, start in ((first, 0), (last, len(long_context) - len(last))):
        for max_length in (24, 512):
            prediction = decoded(task, row_of(long_context, answer, start), any_tokenizer, max_length)
            assert prediction["prediction"] == answer and prediction["n_best"][0]["start"] == start
    marked = "\ufeff" + long_context
    assert decoded(task, row_of(marked, first), any_tokenizer, 64)["prediction"].strip("\ufeff") == first
    assert decoded(task, row_of(marked, "\ufeff" + first, 0), any_tokenizer, 64)["prediction"].strip("\ufeff") == first
    middle = len(marked) // 2
    second = marked.index(" ", middle) + 1
    word = marked[second : marked.index(" ", second)]
    assert decoded(task, row_of(marked, word, second), any_tokenizer, 64)["n_best"][0]["start"] == second
    twice = f"{first} и {first}, {first}."
    prediction = decoded(task, row_of(twice, first, len(first) + 3), any_tokenizer, 512)
    assert prediction["n_best"][0]["start"] == len(first) + 3


def test_only_windows_that_hold_the_whole_answer_point_at_it(task, long_context, any_tokenizer):
    """Half of an answer as a label would teach to cut them."""
    for place in (slice(300), slice(50, 350), slice(-300, None)):
        assert not any(pointed(task.encode([row_of(long_context, long_context[place])], any_tokenizer, 32)))
    row = row_of(long_context, " ".join(long_context.split()[20:23]))
    encoded = task.encode([row], any_tokenizer, 32)
    assert 1 <= sum(pointed(encoded)) < len(encoded.inputs)
    start = row["answers"][0]["start"]
    end = start + len(row["answers"][0]["text"])
    for window, points in zip(encoded.places[0], pointed(encoded), strict=True):
        read = window.offsets[window.offsets[:, 0] < window.offsets[:, 1]]
        assert points == (read[0, 0] <= start and read[-1, 1] >= end)


@pytest.mark.parametrize("context", ["", " ", "\u200b"])
def test_a_context_with_nothing_to_read(task, rows, any_tokenizer, context):
    """One empty paragraph must not end a run that took hours."""
    some = [{"id": "0", "question": "Кто?", "context": context, "answers": []}, *rows["question_answering"][:2]]
    encoded = task.encode(some, any_tokenizer, 64)
    predictions = task.decode(some, encoded, knowing(encoded))
    assert predictions[0]["prediction"] in ("", "\u200b") and predictions[1]["prediction"]


def test_a_long_question_is_cut_and_counted(task, long_context, any_tokenizer):
    """It would leave no room for the context, and the tokenizer would refuse."""
    some = [row_of(long_context, "", question=long_context), row_of(long_context, "")]
    encoded = task.encode(some, any_tokenizer, 40)
    assert encoded.truncated == 1
    for window in encoded.places[0]:
        assert (window.offsets[:, 0] < window.offsets[:, 1]).sum() >= 3 or window is encoded.places[0][-1]
    assert len(encoded.places[0]) > 5


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    question=st.text("абвг АБ.,-—«»\u200b\ufeff\u0301é\xa0🦊ﬁ\n?", max_size=40),
    context=st.text("абвг АБ.,-—«»\u200b\ufeff\u0301é\xa0🦊ﬁ\n", min_size=1, max_size=60),
    seed=st.integers(0, 99),
)
def test_any_text_in_any_windows(task, any_tokenizer, question, context, seed):
    """Whatever stands in a question or a context, the smallest inputs hold both, and an answer that was pointed at
    comes back, wider at most by what its own first and last token hold."""
    draw = random.Random(seed)
    start = draw.randrange(len(context))
    end = min(len(context), start + 1 + draw.randrange(4))
    row = row_of(context, context[start:end], start, question)
    encoded = task.encode([row], any_tokenizer, 16)
    (prediction,) = task.decode([row], encoded, knowing(encoded))
    assert max(encoded.inputs["length"]) <= 16
    if any(pointed(encoded)):
        stripped = row["answers"][0]["text"].strip(" \n\xa0\u200b\ufeff\u0301")
        assert stripped in prediction["prediction"] or not stripped
    for one in prediction["n_best"]:
        assert context[one["start"] : one["end"]] == one["text"] == one["text"].strip()


def slow_best(windows):
    """Every pair of tokens of every window, one at a time."""
    scores = {}
    for offsets, logits in windows:
        read = [i for i, (left, right) in enumerate(offsets) if left < right]
        for a, first in enumerate(read):
            for last in read[a : a + MAX_ANSWER_TOKENS]:
                span = int(offsets[first][0]), int(offsets[last][1])
                score = float(logits[first][0]) + float(logits[last][1])
                scores[span] = max(score, scores.get(span, -np.inf))
    return sorted(scores.values(), reverse=True), scores


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=3),
    st.integers(0, 99),
)
def test_the_search_is_that_of_two_loops(shapes, seed):
    """Windows with no token, one, and more than an answer may have; they overlap, so that spans stand in two."""
    draw = np.random.default_rng(seed)
    windows = []
    for tokens, start, around in shapes:
        edges = np.arange(start, start + tokens + 1) * 2
        offsets = np.stack([edges[:-1], edges[1:]], 1)
        offsets = np.concatenate([np.zeros((around, 2), int), offsets, np.zeros((1, 2), int)])
        windows.append((offsets, draw.normal(size=(len(offsets), 2)).astype(np.float32)))
    values, scores = slow_best(windows)
    found = best_spans(windows)
    best = sorted(found, key=found.get, reverse=True)[:N_BEST]
    assert [found[span] for span in best] == pytest.approx(values[:N_BEST])
    assert all(scores[span] == pytest.approx(found[span]) for span in best)


def test_shares_worked_by_hand(task):
    """A span in two windows is one answer with the better of its scores: twice in the list, it would take the share
    of others."""
    offsets = np.array([[0, 0], [0, 4], [4, 8]])
    one, other = np.log([[1, 1], [2, 1], [1, 4]]), np.log([[1, 1], [2, 1], [1, 2]])
    windows = [question_answering.Window(i, 0, offsets) for i in range(2)]
    row = {"id": "1", "question": "?", "context": "abcd efg", "answers": []}
    encoded = question_answering.Encoded(None, [windows])
    (prediction,) = task.decode([row], encoded, [one, other])
    # abcd: 2 x 1, abcd efg: 2 x 4, efg: 1 x 4, of the second window 2 x 2 and 1 x 2 are worse
    assert [(a["text"], a["start"], a["end"]) for a in prediction["n_best"]] == [
        ("abcd efg", 0, 8),
        ("efg", 5, 8),
        ("abcd", 0, 4),
    ]
    assert [a["score"] for a in prediction["n_best"]] == pytest.approx([8 / 14, 4 / 14, 2 / 14])


def test_segments_are_not_needed(task, rows, any_tokenizer):
    """DistilBERT and RoBERTa have none: what is context must come from elsewhere."""
    some = rows["question_answering"][:10]
    any_tokenizer.model_input_names = ["input_ids", "attention_mask", "token_type_ids"]
    whole = task.encode(some, any_tokenizer, 32)
    any_tokenizer.model_input_names = ["input_ids", "attention_mask"]
    bare = task.encode(some, any_tokenizer, 32)
    assert "token_type_ids" in whole.inputs.column_names and "token_type_ids" not in bare.inputs.column_names
    assert whole.inputs["labels"][:] == bare.inputs["labels"][:]
    for one, other in zip(sum(whole.places, []), sum(bare.places, []), strict=True):
        assert np.array_equal(one.offsets, other.offsets)


def test_padding_takes_no_probability(task):
    """Else the loss of a question would depend on the batch that it is in."""
    logits = torch.randn(1, 5, 2)
    labels = torch.tensor([[1, 3]])
    alone = label_loss(task.scores(logits, torch.ones(1, 5, dtype=torch.long)), labels)
    padded = torch.cat([logits, torch.full((1, 4, 2), 99.0)], 1)
    mask = torch.tensor([[1] * 5 + [0] * 4])
    assert label_loss(task.scores(padded, mask), labels) == pytest.approx(alone.item())
    assert task.scores(padded, mask).softmax(-1)[..., 5:].max() == 0
    by_hand = -sum(logits[0, :, k].log_softmax(0)[labels[0, k]].item() for k in (0, 1))
    assert alone.item() == pytest.approx(by_hand, rel=1e-5)


def test_nothing_is_an_answer_where_train_has_questions_without_one(task, tokenizer):
    """Only there: in SQuAD v1.1 every question has one."""
    row = row_of("Кошка спит на столе.", "")
    nothing = {**row, "answers": []}
    assert not task.adapted([row]).may_have_none and task.references([nothing]) == [[]]
    for adapted, right in ((task, False), (task.adapted([row, nothing]), True)):
        encoded = adapted.encode([nothing], tokenizer, 64)
        (prediction,) = adapted.decode([nothing], encoded, knowing(encoded))
        assert not any(pointed(encoded)) and (prediction["prediction"] == "") == right
