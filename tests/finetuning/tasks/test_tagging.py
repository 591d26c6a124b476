"""Tags of words: every word once, at its first sub-word, whatever the tokenizer and however long the text."""

import dataclasses
import random

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finetuning.tasks.base import Encoded
from finetuning.tasks.bio_spans import bio_tags
from finetuning.tasks.bio_spans import entities as entities_of
from finetuning.tasks.losses import IGNORED
from finetuning.tasks.tagging import Place, word_places
from finetuning.tasks.windows import Window

SPECIAL = "\u200b"  # normalised away by WordPiece: a word without a token


def windows_of(offsets):
    """Windows by the number of their input and the characters of their tokens."""
    return [Window(number, 0, np.array(tokens)) for number, tokens in offsets.items()]


@pytest.fixture
def task(tasks):
    return tasks["tagging"]


@pytest.fixture
def long_row(rows):
    """All texts as one, many times longer than an input, with a word that some tokenizers do not see."""
    text, words, tags = "", [], []
    for row in rows["tagging"][:40]:
        words += [[start + len(text), end + len(text)] for start, end in row["words"]]
        tags += row["tags"]
        text += row["text"]
        words.append([len(text) + 1, len(text) + 2])
        tags.append("O")
        text += f" {SPECIAL} "
    return {"id": "long", "text": text, "words": words, "tags": tags}


def reference(words, offsets):
    """The slow obvious one for a text of one window: the first token that lies on the word and under which no earlier
    token of that word is; whether an earlier word begins in the same token."""
    places = []
    for start, end in words:
        tokens = [i for i, (left, right) in enumerate(offsets) if left < end and right > start and left < right]
        places.append(tokens[0] if tokens else None)
    return places


def knowing(encoded, labels):
    """Logits of a model that gives the label where there is one, and says something else everywhere else."""
    draw = np.random.default_rng(0)
    logits = []
    for tags in encoded.inputs["labels"]:
        one = draw.normal(size=(len(tags), len(labels))).astype(np.float32)
        for place, tag in enumerate(tags):
            if tag != IGNORED:
                one[place, tag] += 100
        logits.append(one)
    return logits


def readable(row, places):
    """The tags that a model can give: `O` for a word without a token, no other entity for one that shares its own."""
    tags = []
    for tag, place in zip(row["tags"], places, strict=True):
        if place is None:
            tag = "O"
        elif place.shared:
            tag = "O" if tags[-1] == "O" else f"I-{tags[-1][2:]}"
        tags.append(tag)
    return tags


@pytest.mark.parametrize("max_length", [16, 23, 64])
def test_every_word_of_a_long_text_counts_once(task, long_row, any_tokenizer, max_length):
    """Words lost at the end of an input were never scored in some published results; twice-counted ones weigh more."""
    encoded = task.encode([long_row], any_tokenizer, max_length)
    assert len(encoded.inputs) > 5 and max(encoded.inputs["length"]) <= max_length
    (places,) = encoded.places
    own = [place for place in places if place and not place.shared]
    assert len({(place.input, place.token) for place in own}) == len(own)
    counted = sum(label != IGNORED for labels in encoded.inputs["labels"] for label in labels)
    assert counted == len(own)
    lost = [long_row["text"][s:e] for (s, e), place in zip(long_row["words"], places, strict=True) if place is None]
    assert set(lost) <= {SPECIAL}


def test_places_are_those_of_the_obvious_search(task, rows, any_tokenizer):
    for row in rows["tagging"][:30]:
        encoded = task.encode([row], any_tokenizer, 512)
        offsets = any_tokenizer(row["text"], return_offsets_mapping=True)["offset_mapping"]
        assert [place and place.token for place in encoded.places[0]] == reference(row["words"], offsets)
        labels = encoded.inputs["labels"][0]
        for tag, place in zip(row["tags"], encoded.places[0], strict=True):
            assert place.shared or task.labels[labels[place.token]] == tag


@st.composite
def texts_in_tokens(draw):
    """Words of a text and tokens on it: with gaps, under several words, and several on one character."""
    length = draw(st.integers(1, 30))
    cuts = sorted(draw(st.sets(st.integers(0, length), min_size=2)))
    words = [span for span in zip(cuts, cuts[1:], strict=False) if draw(st.booleans())]
    edges = sorted(draw(st.sets(st.integers(0, length), min_size=2)))
    tokens = [(0, 0)]
    for left, right in zip(edges, edges[1:], strict=False):
        tokens += [(left, right)] * draw(st.integers(0, 3))
    return words, [*tokens, (0, 0)]


@given(texts_in_tokens())
def test_places_among_any_tokens(case):
    """A word that begins where another's token ends needs a token of its own if it has one."""
    words, offsets = case
    for (start, end), place in zip(words, word_places(words, windows_of({7: offsets})), strict=True):
        over = [i for i, (left, right) in enumerate(offsets) if left < end and right > start and left < right]
        assert (place is None) <= (not over)
        if place is not None:
            assert place.input == 7 and place.token in over
    own = [place.token for place in word_places(words, windows_of({0: offsets})) if place and not place.shared]
    assert own == sorted(set(own)), "a label a token"


@pytest.mark.parametrize("max_length", [16, 23, 64])
def test_a_model_that_knows_gives_the_tags_back(task, long_row, rows, any_tokenizer, max_length):
    """Scores read at another place than labels were put would look like a bad model."""
    some = [long_row, *rows["tagging"][:20]]
    encoded = task.encode(some, any_tokenizer, max_length)
    predictions = task.decode(some, encoded, knowing(encoded, task.labels))
    for row, places, prediction in zip(some, encoded.places, predictions, strict=True):
        assert prediction["id"] == row["id"]
        assert prediction["prediction"] == readable(row, places)
        assert prediction["score"] == pytest.approx(1, abs=1e-4)
        found = [(one["type"], one["start"], one["end"], one["text"]) for one in prediction["entities"]]
        assert found == entities_of(row, prediction["prediction"])
        assert all(row["text"][start:end] == surface for _, start, end, surface in found)
        assert all(one["score"] == pytest.approx(1, abs=1e-4) for one in prediction["entities"])
    apart = [row for row, places in zip(some, encoded.places, strict=True) if not any(p and p.shared for p in places)]
    assert len(apart) == len(some), "no two words of these texts are one token"


def test_scores_worked_by_hand(task):
    """Two words, P = 0.75 and 0.5 for their tags; a third has no token and is surely nothing."""
    row = {"id": "1", "text": "Анна Оби -", "words": [[0, 4], [5, 8], [9, 10]], "tags": ["B-PER", "I-PER", "O"]}
    encoded = Encoded(Dataset.from_dict({"labels": [[]]}), [[Place(0, 1, False), Place(0, 2, False), None]])
    shares = np.full((3, 5), 1e-9)
    shares[1, [0, 1]], shares[2, [0, 2]] = (0.25, 0.75), (0.4999, 0.5001)
    (prediction,) = task.decode([row], encoded, [np.log(shares)])
    assert prediction["prediction"] == ["B-PER", "I-PER", "O"]
    assert prediction["score"] == pytest.approx((0.75 + 0.5001 + 1) / 3, abs=1e-6)
    (entity,) = prediction["entities"]
    assert (entity["start"], entity["end"], entity["text"]) == (0, 8, "Анна Оби")
    assert entity["score"] == pytest.approx((0.75 + 0.5001) / 2, abs=1e-6)


def test_a_word_that_shares_its_token_continues_the_entity(task, byte_tokenizer):
    """Two words under one token have one prediction: repeated, it would make two entities of one."""
    text = "он ,,,, она"
    ((one, more),) = ([[3, 5], [5, 7]],)
    row = {"id": "1", "text": text, "words": [one, more], "tags": ["B-PER", "I-PER"]}
    encoded = Encoded(Dataset.from_dict({"labels": [[]]}), [[Place(0, 0, False), Place(0, 0, True)]])
    (prediction,) = task.decode([row], encoded, [np.array([[0, 9, 0, 0, 0]])])
    assert prediction["prediction"] == ["B-PER", "I-PER"] and len(prediction["entities"]) == 1
    (nothing,) = task.decode([row], encoded, [np.array([[9, 0, 0, 0, 0]])])
    assert nothing["prediction"] == ["O", "O"] and nothing["entities"] == []
    windows = windows_of({0: [(0, 0), (0, 2), (2, 7), (7, 11)]})
    assert word_places([one, more], windows) == [Place(0, 2, False), Place(0, 2, True)]


def test_the_window_that_shows_most_around_a_word_is_its_place():
    """At the edge of a window a model sees half of what it could. But the end of a word, however much stands around
    it, is not where its label is."""
    words = [(i, i + 1) for i in range(8)]
    windows = {0: [(0, 0), *words[:6], (0, 0)], 1: [(0, 0), *words[2:], (0, 0)]}
    places = word_places(words, windows_of(windows))
    assert [place.input for place in places] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [place.token for place in places] == [1, 2, 3, 4, 3, 4, 5, 6]
    windows = {0: [(0, 0), (0, 1), (1, 2)], 1: [(0, 0), (2, 3), (3, 4), (4, 5), (0, 0)]}
    assert word_places([(0, 1), (1, 4), (4, 5)], windows_of(windows))[1] == Place(0, 2, False)


@pytest.mark.parametrize("teacher", ["tokenizer", "byte_tokenizer", "unigram_tokenizer"])
def test_the_word_of_a_teacher_with_another_tokenizer(task, rows, long_row, any_tokenizer, teacher, request):
    """Each word's scores land at that word; shifted by one, a student would learn noise."""
    some = [*rows["tagging"][:10], long_row]
    theirs = task.encode(some, request.getfixturevalue(teacher), 50)
    ours = task.encode(some, any_tokenizer, 24)
    logits = knowing(theirs, task.labels)
    taught = task.teacher_logits(theirs, logits, ours)
    assert [one.shape for one in taught] == [(length, 5) for length in ours.inputs["length"]]
    told = set()
    for there, here in zip(sum(theirs.places, []), sum(ours.places, []), strict=True):
        if there and here:
            assert np.array_equal(taught[here.input][here.token], logits[there.input][there.token])
            told.add((here.input, here.token))
    assert told
    for number, one in enumerate(taught):
        for token, scores in enumerate(one):
            assert np.isnan(scores).all() == ((number, token) not in told)
    # Through the columns of a data set, where NaN might become a null.
    kept = Dataset.from_dict({"teacher_logits": taught})["teacher_logits"]
    assert all(np.array_equal(np.array(a, np.float32), b, equal_nan=True) for a, b in zip(kept, taught, strict=True))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=st.text("абвг АБ.,-—«»\u200b\ufeff\u0301é\xa0🦊ﬁ\n", max_size=60), seed=st.integers(0, 99))
def test_any_text_in_any_windows(task, any_tokenizer, text, seed):
    """What real texts hold: spaces without a width, accents, emoji; a word for every run, some inside of others'
    tokens."""
    draw, words, place = random.Random(seed), [], 0
    while place < len(text):
        after = min(place + draw.randrange(1, 5), len(text))
        if draw.random() < 0.8:
            words.append([place, after])
        place = after
    row = {"id": "1", "text": text, "words": words, "tags": [draw.choice(bio_tags(("PER",))) for _ in words]}
    encoded = task.encode([row], any_tokenizer, 16)
    small = dataclasses.replace(task, labels=bio_tags(("PER",)))
    (prediction,) = task.decode([row], encoded, knowing(encoded, small.labels))
    assert prediction["prediction"] == readable(row, encoded.places[0])
    whole = task.encode([row], any_tokenizer, 512)
    assert [p is None for p in whole.places[0]] == [p is None for p in encoded.places[0]]
