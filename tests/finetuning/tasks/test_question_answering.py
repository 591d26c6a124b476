"""Answers as spans: found again in every window by every tokenizer, ranked exactly, and never in the padding."""

import random

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetuning.tasks.base import Part
from finetuning.tasks.losses import label_loss
from finetuning.tasks.question_answering import MAX_ANSWER_TOKENS, N_BEST, NOWHERE, best_spans
from finetuning.tasks.windows import Window
from tests.finetuning.known import knowing


@pytest.fixture
def task(tasks):
    return tasks["question_answering"]


@pytest.fixture
def long_context(corpus_lines):
    return " ".join(corpus_lines[:30])


def row_of(context, answer, start=None, question="Кто?"):
    start = context.index(answer) if start is None else start
    return {"id": "1", "question": question, "context": context, "answers": [{"text": answer, "start": start}]}


def best_answer(task, row, tokenizer, max_length):
    part = task.encode([row], tokenizer, max_length)
    (prediction,) = task.decode(part, knowing(part, 2))
    return prediction["n_best"][0]


def pointed(part, windows):
    """For each window whether it holds the answer."""
    return [part.inputs[window.input]["labels"] != [NOWHERE] * 2 for window in windows]


@pytest.mark.parametrize("max_length", [16, 32, 64])
def test_windows_cover_the_context(task, long_context, any_tokenizer, max_length):
    """A token between two windows could never be an answer. And only windows that hold the complete answer point at
    it: half of an answer as a label would teach to cut them."""
    row = row_of(long_context, " ".join(long_context.split()[20:23]))
    start, end = row["answers"][0]["start"], row["answers"][0]["start"] + len(row["answers"][0]["text"])
    part = task.encode([row], any_tokenizer, max_length)
    (windows,) = part.places
    assert max(part.inputs["length"]) <= max_length and len(windows) > 5
    covered = set()
    for window, inputs, points in zip(windows, part.inputs, pointed(part, windows), strict=True):
        assert inputs["input_ids"][NOWHERE] == any_tokenizer.cls_token_id
        assert (window.offsets[[0, -1]] == 0).all() and len(window.offsets) == inputs["length"]
        read = [span for span in window.offsets.tolist() if span[0] < span[1]]
        assert points == (read[0][0] <= start and read[-1][1] >= end)
        covered |= set(map(tuple, read))
    complete = any_tokenizer(long_context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert covered == {span for span in complete if span[0] < span[1]}
    for place in (slice(300), slice(50, 350), slice(-300, None)):
        part = task.encode([row_of(long_context, long_context[place])], any_tokenizer, 32)
        assert not any(pointed(part, part.places[0]))


@pytest.mark.parametrize("max_length", [20, 48, 512])
def test_a_model_that_knows_gives_the_answers_back(task, rows, any_tokenizer, max_length):
    """Ends that are one token off cost exact match, and no error tells."""
    part = task.encode(rows["question_answering"][:40], any_tokenizer, max_length)
    assert (len(part.inputs) > 40) == (max_length < 512)
    predictions = task.decode(part, knowing(part, 2))
    found = [
        (row, prediction)
        for row, prediction, windows in zip(part.rows, predictions, part.places, strict=True)
        if any(pointed(part, windows))
    ]
    assert len(found) > 30
    for row, prediction in found:
        (answer,), best = row["answers"], prediction["n_best"][0]
        assert prediction["prediction"] == best["text"] == answer["text"] and prediction["id"] == row["id"]
        assert (best["start"], best["end"]) == (answer["start"], answer["start"] + len(answer["text"]))
        assert prediction["score"] == best["score"]


@pytest.mark.parametrize("max_length", [24, 512])
def test_where_an_answer_may_stand(task, long_context, any_tokenizer, max_length):
    """At both ends, in the middle, twice, and after a mark that has no width."""
    marked, words = "\ufeff" + long_context, long_context.split()
    middle = marked.index(" ", len(marked) // 2) + 1
    cases = [(long_context, words[0], 0), (long_context, words[-1], len(long_context) - len(words[-1]))]
    cases += [(marked, words[0], 1), (marked, marked[middle : marked.index(" ", middle)], middle)]
    cases += [(f"{words[0]} и {words[0]}, {words[0]}.", words[0], len(words[0]) + 3)]
    for context, answer, start in cases:
        best = best_answer(task, row_of(context, answer, start), any_tokenizer, max_length)
        assert best["text"].strip("\ufeff") == answer and best["end"] == start + len(answer)


@pytest.mark.parametrize("context", ["", " ", "\u200b"])
def test_a_context_with_nothing_to_read(task, rows, any_tokenizer, context):
    """One empty paragraph must not end a run that took hours."""
    nothing = {"id": "0", "question": "Кто?", "context": context, "answers": []}
    part = task.encode([nothing, *rows["question_answering"][:2]], any_tokenizer, 64)
    predictions = task.decode(part, knowing(part, 2))
    assert predictions[0]["prediction"] in ("", "\u200b") and predictions[1]["prediction"]


def test_a_long_question_is_cut_and_counted(task, long_context, any_tokenizer):
    """It would leave no room for the context, and the tokenizer would refuse."""
    some = [row_of(long_context, "", question=long_context), row_of(long_context, "")]
    part = task.encode(some, any_tokenizer, 40)
    assert part.truncated == 1 and len(part.places[0]) > 5
    for window in part.places[0][:-1]:
        assert (window.offsets[:, 0] < window.offsets[:, 1]).sum() >= 3


odd_texts = st.text("абвг АБ.,-—«»\u200b\ufeff\u0301é\xa0🦊ﬁ\n?", max_size=60)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(question=odd_texts, context=odd_texts.filter(bool), seed=st.integers(0, 99))
def test_any_text_in_any_windows(task, any_tokenizer, question, context, seed):
    """Whatever stands in a question or a context, the smallest inputs hold both, and an answer that was pointed at
    comes back, wider at most by what its own first and last token hold."""
    draw = random.Random(seed)
    start = draw.randrange(len(context))
    row = row_of(context, context[start : start + 1 + draw.randrange(4)], start, question)
    part = task.encode([row], any_tokenizer, 16)
    (prediction,) = task.decode(part, knowing(part, 2))
    assert max(part.inputs["length"]) <= 16
    if any(pointed(part, part.places[0])):
        assert row["answers"][0]["text"].strip(" \n\xa0\u200b\ufeff\u0301") in prediction["prediction"]
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
                scores[span] = max(float(logits[first][0]) + float(logits[last][1]), scores.get(span, -np.inf))
    return scores


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 90), st.integers(0, 60), st.integers(0, 30)), min_size=1, max_size=3),
    st.integers(0, 99),
)
def test_the_search_is_that_of_two_loops(shapes, seed):
    """Windows with no token, one, and more than an answer may have; they overlap, so that spans stand in two."""
    draw, windows = np.random.default_rng(seed), []
    for tokens, start, around in shapes:
        edges = np.arange(start, start + tokens + 1) * 2
        offsets = [np.zeros((around, 2), int), np.stack([edges[:-1], edges[1:]], 1), np.zeros((1, 2), int)]
        offsets = np.concatenate(offsets)
        windows.append((offsets, draw.normal(size=(len(offsets), 2)).astype(np.float32)))
    scores, found = slow_best(windows), best_spans(windows)
    best = sorted(found, key=found.get, reverse=True)[:N_BEST]
    assert [found[span] for span in best] == pytest.approx(sorted(scores.values(), reverse=True)[:N_BEST])
    assert all(scores[span] == pytest.approx(found[span]) for span in best)


def test_shares_worked_by_hand(task):
    """A span in two windows is one answer with the better of its scores: twice in the list, it would take the share
    of others."""
    windows = [Window(i, np.array([[0, 0], [0, 4], [4, 8]])) for i in range(2)]
    one, other = np.log([[1, 1], [2, 1], [1, 4]]), np.log([[1, 1], [2, 1], [1, 2]])
    row = {"id": "1", "question": "?", "context": "abcd efg", "answers": []}
    (prediction,) = task.decode(Part([row], None, places=[windows]), [one, other])
    # abcd: 2 x 1, abcd efg: 2 x 4, efg: 1 x 4, of the second window 2 x 2 and 1 x 2 are worse
    spans = [(a["text"], a["start"], a["end"]) for a in prediction["n_best"]]
    assert spans == [("abcd efg", 0, 8), ("efg", 5, 8), ("abcd", 0, 4)]
    assert [a["score"] for a in prediction["n_best"]] == pytest.approx([8 / 14, 4 / 14, 2 / 14])


def test_segments_are_not_needed(task, rows, any_tokenizer):
    """DistilBERT and RoBERTa have none: the tokenizer tells what is context."""
    parts = []
    for names in (["input_ids", "attention_mask", "token_type_ids"], ["input_ids", "attention_mask"]):
        any_tokenizer.model_input_names = names
        parts.append(task.encode(rows["question_answering"][:10], any_tokenizer, 32))
    assert ["token_type_ids" in part.inputs.column_names for part in parts] == [True, False]
    assert parts[0].inputs["labels"][:] == parts[1].inputs["labels"][:]
    for one, other in zip(*(sum(part.places, []) for part in parts), strict=True):
        assert np.array_equal(one.offsets, other.offsets)


def test_padding_takes_no_probability(task):
    """Else the loss of a question would depend on the batch that it is in."""
    logits, labels = torch.randn(1, 5, 2), torch.tensor([[1, 3]])
    alone = label_loss(task.scores(logits, torch.ones(1, 5, dtype=torch.long)), labels)
    padded = torch.cat([logits, torch.full((1, 4, 2), 99.0)], 1)
    scores = task.scores(padded, torch.tensor([[1] * 5 + [0] * 4]))
    assert label_loss(scores, labels) == pytest.approx(alone.item()) and scores.softmax(-1)[..., 5:].max() == 0
    by_hand = -sum(logits[0, :, k].log_softmax(0)[labels[0, k]].item() for k in (0, 1))
    assert alone.item() == pytest.approx(by_hand, rel=1e-5)


def test_nothing_is_an_answer_where_train_has_questions_without_one(task, tokenizer):
    """Only there: in SQuAD v1.1 every question has one."""
    row = row_of("Кошка спит на столе.", "")
    nothing = {**row, "answers": []}
    assert not task.adapted([row]).may_have_none and task.references([nothing]) == [[]]
    for adapted, right in ((task, False), (task.adapted([row, nothing]), True)):
        part = adapted.encode([nothing], tokenizer, 64)
        (prediction,) = adapted.decode(part, knowing(part, 2))
        assert not any(pointed(part, part.places[0])) and (prediction["prediction"] == "") == right
