"""Answers as spans: found in every window by every tokenizer, ranked exactly, and never in the padding."""

import random
import unicodedata

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from finetuning.deployed.model import MAX_ANSWER_TOKENS, N_BEST, Window, answer, best_spans
from finetuning.tasks.base import Part
from finetuning.tasks.losses import label_loss
from finetuning.tasks.question_answering import NOWHERE
from tests.finetuning.known import knowing


@pytest.fixture
def long_context(corpus_lines):
    return " ".join(corpus_lines[:30])


def row_of(context, answer, start=None, question="Кто?"):
    start = context.index(answer) if start is None else start
    return {"id": "1", "question": question, "context": context, "answers": [{"text": answer, "start": start}]}


def pointed(part, windows):
    return [part.inputs[window.input]["labels"] != [NOWHERE] * 2 for window in windows]


@pytest.mark.parametrize("max_length", [16, 64])
def test_windows_cover_the_context(task, long_context, any_tokenizer, max_length):
    """And only those that hold the complete answer point at it: half of one as a label would teach to cut them."""
    row = row_of(long_context, " ".join(long_context.split()[20:23]))
    start, end = row["answers"][0]["start"], row["answers"][0]["start"] + len(row["answers"][0]["text"])
    part = task.encode([row], any_tokenizer, max_length)
    (windows,), covered = part.places, set()
    assert max(part.inputs["length"]) <= max_length and len(windows) > 5
    for window, inputs, points in zip(windows, part.inputs, pointed(part, windows), strict=True):
        assert inputs["input_ids"][NOWHERE] == any_tokenizer.cls_token_id
        assert (window.offsets[[0, -1]] == 0).all() and len(window.offsets) == inputs["length"]
        read = [span for span in window.offsets.tolist() if span[0] < span[1]]
        assert points == (read[0][0] <= start and read[-1][1] >= end)
        covered |= set(map(tuple, read))
    complete = any_tokenizer(long_context, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    assert covered == {span for span in complete if span[0] < span[1]}
    part = task.encode([row_of(long_context, long_context[50:350])], any_tokenizer, 32)
    assert not any(pointed(part, part.places[0]))


@pytest.mark.parametrize("max_length", [20, 48, 512])
def test_a_model_that_knows_gives_the_answers_back(task, rows, any_tokenizer, max_length):
    if max_length == 48:  # DistilBERT and RoBERTa have no segments
        any_tokenizer.model_input_names = ["input_ids", "attention_mask"]
    part = task.encode(rows["question_answering"][:40], any_tokenizer, max_length)
    assert (len(part.inputs) > 40) == (max_length < 512)
    found = zip(part.rows, task.decode(part, knowing(part, 2)), part.places, strict=True)
    found = [(row, prediction) for row, prediction, windows in found if any(pointed(part, windows))]
    assert len(found) > 30
    for row, prediction in found:
        (answer,), best = row["answers"], prediction["n_best"][0]
        assert prediction["prediction"] == best["text"] == answer["text"] and prediction["id"] == row["id"]
        assert (best["start"], best["score"]) == (answer["start"], prediction["score"])


def test_a_long_question_is_cut_and_counted(task, long_context, any_tokenizer):
    some = [row_of(long_context, "", question=long_context), row_of(long_context, "")]
    part = task.encode(some, any_tokenizer, 40)
    assert part.truncated == 1 and len(part.places[0]) > 5
    assert all((window.offsets[:, 0] < window.offsets[:, 1]).sum() >= 3 for window in part.places[0][:-1])


sizes = st.tuples(st.integers(0, 90), st.integers(0, 60), st.integers(0, 30))  # tokens, first place, padding
odd_texts = st.text("абвг АБ.,-—«»\u200b\ufeff\u0301é\xa0🦊ﬁ\n?", max_size=60)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(question=odd_texts, context=odd_texts, seed=st.integers(0, 99))
@example(question="Кто?", context="", seed=0)
@example(question="Кто?", context="\u200b ", seed=0)
def test_any_text_in_any_windows(task, any_tokenizer, question, context, seed):
    """An answer that was pointed at comes back, wider at most by what its own first and last token hold."""
    draw = random.Random(seed)
    start = draw.randrange(len(context) or 1)
    answer = context[start : start + 1 + draw.randrange(4)]
    part = task.encode([row_of(context, answer, start, question)], any_tokenizer, 16)
    (prediction,) = task.decode(part, knowing(part, 2))
    assert max(part.inputs["length"]) <= 16
    if any(pointed(part, part.places[0])) and (bare := answer.strip(" \n\xa0\u200b\ufeff\u0301")):
        best, start = prediction["n_best"][0], start + answer.index(bare)
        assert best["start"] <= start and start + len(bare) <= best["end"]
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
@given(st.lists(sizes, min_size=1, max_size=3), st.integers(0, 99))
def test_the_search_is_that_of_two_loops(shapes, seed):
    """Windows with no token, one, and more than an answer may have; spans may stand in two."""
    draw, windows = np.random.default_rng(seed), []
    for tokens, start, around in shapes:
        edges = np.arange(start, start + tokens + 1) * 2
        inner = np.stack([edges[:-1], edges[1:]], 1)
        offsets = np.concatenate([np.zeros((around, 2), int), inner, np.zeros((1, 2), int)])
        windows.append((offsets, draw.normal(size=(len(offsets), 2)).astype(np.float32)))
    offsets, logits = zip(*windows, strict=True)
    scores, found = slow_best(windows), best_spans([Window(*one) for one in enumerate(offsets)], logits)
    best = sorted(found, key=found.get, reverse=True)[:N_BEST]
    assert [found[span] for span in best] == pytest.approx(sorted(scores.values(), reverse=True)[:N_BEST])
    assert all(scores[span] == pytest.approx(found[span]) for span in best)


def test_shares_worked_by_hand(task):
    """A span in two windows is one answer with the better of its scores."""
    windows = [Window(i, np.array([[0, 0], [0, 4], [4, 8]])) for i in range(2)]
    one, other = np.log([[1, 1], [2, 1], [1, 4]]), np.log([[1, 1], [2, 1], [1, 2]])
    row = {"id": "1", "question": "?", "context": "abcd efg", "answers": []}
    (prediction,) = task.decode(Part([row], None, places=[windows]), [one, other])
    # abcd: 2 x 1, abcd efg: 2 x 4, efg: 1 x 4, of the second window 2 x 2 and 1 x 2 are worse
    spans = [(a["text"], a["start"], a["end"]) for a in prediction["n_best"]]
    assert spans == [("abcd efg", 0, 8), ("efg", 5, 8), ("abcd", 0, 4)]
    assert [a["score"] for a in prediction["n_best"]] == pytest.approx([8 / 14, 4 / 14, 2 / 14])


def test_padding_takes_no_probability(task):
    logits, labels = torch.randn(1, 5, 2), torch.tensor([[1, 3]])
    alone = label_loss(task.scores(logits, torch.ones(1, 5, dtype=torch.long)), labels)
    padded = torch.cat([logits, torch.full((1, 4, 2), 99.0)], 1)
    scores = task.scores(padded, torch.tensor([[1] * 5 + [0] * 4]))
    assert label_loss(scores, labels) == pytest.approx(alone.item()) and scores.softmax(-1)[..., 5:].max() == 0


def test_nothing_is_an_answer_where_train_has_questions_without_one(task, tokenizer):
    """Only there: in SQuAD v1.1 every question has one."""
    row = row_of("Кошка спит на столе.", "")
    nothing = {**row, "answers": []}
    assert not task.adapted({"train": [row]}).may_have_no_answer and task.references([nothing]) == [[]]
    for adapted, right in ((task, False), (task.adapted({"train": [row, nothing]}), True)):
        part = adapted.encode([nothing], tokenizer, 64)
        (prediction,) = adapted.decode(part, knowing(part, 2))
        assert not any(pointed(part, part.places[0])) and (prediction["prediction"] == "") == right


def test_an_answer_keeps_the_mark_of_its_last_letter():
    """Of a decomposed letter a tokenizer counts the base alone: герой would become герои."""
    context = unicodedata.normalize("NFD", "герой и")
    assert answer(context, 0, 5, 1.0) == {"text": context[:6], "start": 0, "end": 6, "score": 1.0}
