"""Tags of words: every word once, at its first sub-word, whatever the tokenizer and the length of the text."""

import random

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetuning.deployed.model import Place, Window, word_places
from finetuning.tasks.base import Part
from finetuning.tasks.losses import IGNORED
from tests.finetuning.known import entities, knowing

SPECIAL = "\u200b"  # normalised away by WordPiece: a word without a token


def places_of(words, *offsets):
    return word_places(words, [Window(number, np.array(tokens)) for number, tokens in enumerate(offsets)])


@pytest.fixture
def long_row(rows):
    """All texts as one, many times longer than an input, with a word that some tokenizers do not see."""
    text, words, tags = "", [], []
    for row in rows["tagging"][:40]:
        words += [[start + len(text), end + len(text)] for start, end in row["words"]]
        text += row["text"]
        words.append([len(text) + 1, len(text) + 2])
        text, tags = f"{text} {SPECIAL} ", [*tags, *row["tags"], "O"]
    return {"id": "long", "text": text, "words": words, "tags": tags}


def lies_on(token, start, end):
    return token[0] < end and token[1] > start and token[0] < token[1]


def readable(row, places):
    """The tags that a model can give: `O` for a word without a token, no other entity for one that shares its own."""
    tags = []
    for tag, place in zip(row["tags"], places, strict=True):
        before = tags[-1] if tags else "O"
        tags.append("O" if place is None else before.replace("B-", "I-") if place.shared else tag)
    return tags


@pytest.mark.parametrize("max_length", [16, 64])
def test_a_model_that_knows_gives_the_tags_back(task, long_row, rows, any_tokenizer, max_length):
    """Every word of a long text counts once: some published results never scored those at the end of an input."""
    part = task.encode([long_row, *rows["tagging"][:20]], any_tokenizer, max_length)
    assert len(part.inputs) > 25 and max(part.inputs["length"]) <= max_length
    own = [(place.input, place.token) for places in part.places for place in places if place]
    counted = sum(label != IGNORED for labels in part.inputs["labels"] for label in labels)
    assert len(set(own)) == len(own) == counted, "no two words of these texts are one token"
    spans = zip(long_row["words"], part.places[0], strict=True)
    assert {long_row["text"][start:end] for (start, end), place in spans if place is None} <= {SPECIAL}
    predictions = task.decode(part, knowing(part, len(task.labels)))
    for row, places, prediction in zip(part.rows, part.places, predictions, strict=True):
        assert prediction["id"] == row["id"] and prediction["prediction"] == readable(row, places)
        found = [(one["type"], one["start"], one["end"], one["text"]) for one in prediction["entities"]]
        assert found == entities(row, prediction["prediction"])


def test_places_are_those_of_the_obvious_search(task, rows, any_tokenizer):
    """Of a text of one window: the first token that lies on the word."""
    part = task.encode(rows["tagging"][:30], any_tokenizer, 512)
    for row, places, labels in zip(part.rows, part.places, part.inputs["labels"], strict=True):
        offsets = any_tokenizer(row["text"], return_offsets_mapping=True)["offset_mapping"]
        on = [[i for i, token in enumerate(offsets) if lies_on(token, *word)] for word in row["words"]]
        assert [place and place.token for place in places] == [tokens[0] if tokens else None for tokens in on]
        assert [task.labels[labels[place.token]] for place in places] == row["tags"]


@st.composite
def texts_in_tokens(draw):
    """Words of a text and tokens on it: with gaps, under several words, and several on one character."""
    length = draw(st.integers(1, 30))
    cuts, edges = (sorted(draw(st.sets(st.integers(0, length), min_size=2))) for _ in "ab")
    words = [span for span in zip(cuts, cuts[1:], strict=False) if draw(st.booleans())]
    tokens = [span for span in zip(edges, edges[1:], strict=False) for _ in range(draw(st.integers(0, 3)))]
    return words, [(0, 0), *tokens, (0, 0)]


@given(texts_in_tokens())
def test_places_among_any_tokens(case):
    words, offsets = case
    places = places_of(words, offsets)
    for word, place in zip(words, places, strict=True):
        on = [i for i, token in enumerate(offsets) if lies_on(token, *word)]
        assert place is None and not on or place.input == 0 and place.token in on
    own = [place.token for place in places if place and not place.shared]
    assert own == sorted(set(own)), "a label a token"


def test_scores_worked_by_hand(task):
    """A third word has no token and is surely nothing."""
    shares = np.full((3, 5), 1e-9)
    shares[1, [0, 1]], shares[2, [0, 2]] = (0.25, 0.75), (0.4999, 0.5001)
    places = [Place(0, 1, False), Place(0, 2, False), None]
    row = {"id": "1", "text": "Анна Оби -", "words": [[0, 4], [5, 8], [9, 10]]}
    (prediction,) = task.decode(Part([row], Dataset.from_dict({}), places=[places]), [np.log(shares)])
    assert prediction["prediction"] == ["B-PER", "I-PER", "O"]
    assert prediction["score"] == pytest.approx((0.75 + 0.5001 + 1) / 3, abs=1e-6)
    (entity,) = prediction["entities"]
    assert (entity["start"], entity["end"], entity["text"]) == (0, 8, "Анна Оби")
    assert entity["score"] == pytest.approx((0.75 + 0.5001) / 2, abs=1e-6)


def test_the_window_that_shows_most_around_a_word_is_its_place():
    """But the end of a word, however much stands around it, is not where its label is."""
    words = [(i, i + 1) for i in range(8)]
    places = places_of(words, [(0, 0), *words[:6], (0, 0)], [(0, 0), *words[2:], (0, 0)])
    assert [place.input for place in places] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [place.token for place in places] == [1, 2, 3, 4, 3, 4, 5, 6]
    windows = [(0, 0), (0, 1), (1, 2)], [(0, 0), (2, 3), (3, 4), (4, 5), (0, 0)]
    assert places_of([(0, 1), (1, 4), (4, 5)], *windows)[1] == Place(0, 2, False)


@pytest.mark.parametrize("name", ["tokenizer", "byte_tokenizer", "unigram_tokenizer"])
def test_the_logits_of_a_teacher_with_another_tokenizer(task, rows, long_row, any_tokenizer, name, request):
    some = [*rows["tagging"][:10], long_row]
    teacher, student = task.encode(some, request.getfixturevalue(name), 50), task.encode(some, any_tokenizer, 24)
    logits = knowing(teacher, len(task.labels))
    expected = [np.full((length, 5), np.nan, np.float32) for length in student.inputs["length"]]
    for there, here in zip(sum(teacher.places, []), sum(student.places, []), strict=True):
        if there and here:
            expected[here.input][here.token] = logits[there.input][there.token]
    moved = task.teacher_logits(teacher, logits, student)
    assert sum(np.isfinite(one).any() for one in moved) > 10
    found = Dataset.from_dict({"teacher_logits": moved})["teacher_logits"]  # where NaN might become a null
    for one, other in zip(found, expected, strict=True):
        assert np.array_equal(np.array(one, np.float32), other, equal_nan=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text("абвг АБ.,-—«»\u200b\ufeff\u0301é\xa0🦊ﬁ\n", max_size=60), seed=st.integers(0, 99))
def test_any_text_in_any_windows(task, any_tokenizer, text, seed):
    draw, words, place = random.Random(seed), [], 0
    while place < len(text):
        after = min(place + draw.randrange(1, 5), len(text))
        words += [[place, after]] * (draw.random() < 0.8)
        place = after
    row = {"id": "1", "text": text, "words": words, "tags": [draw.choice(task.labels[:3]) for _ in words]}
    part, complete = (task.encode([row], any_tokenizer, max_length) for max_length in (16, 512))
    (prediction,) = task.decode(part, knowing(part, len(task.labels)))
    assert prediction["prediction"] == readable(row, part.places[0])
    assert [p is None for p in complete.places[0]] == [p is None for p in part.places[0]]
