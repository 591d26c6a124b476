"""The figures of the board: by hand where a few rows tell, else the laws that they follow."""

import json
import shutil

import numpy as np
import pytest

from distillation.config.errors import UserError
from finetuning.encodechka import tasks


class Known:
    """An encoder whose vectors are given: by text, else one and the same."""

    parameters, mib = 0, 0.0

    def __init__(self, vectors=None):
        self.vectors = vectors or {}

    def sentences(self, texts):
        return {"known": np.array([self.vectors.get(text, (1.0, 0.0)) for text in texts])}

    def words(self, texts):
        return np.array([self.vectors.get(word, (1.0, 0.0)) for text in texts for word in text])


def at(degrees):
    return np.cos(np.radians(degrees)), np.sin(np.radians(degrees))


def test_words_and_tags():
    """The first word has no tag, and the earlier of two entities that share a word keeps it: so the board counts."""
    text = "Иван Петров живёт в Нижнем Новгороде."
    spans = [("PER", 0, 11), ("LOC", 20, 36), ("ORG", 27, 36), ("LOC", 20, 20)]
    words, tags = tasks.words_and_tags(text, spans)
    assert words == ["Иван", "Петров", "живёт", "в", "Нижнем", "Новгороде", "."]
    assert tags == ["O", "B-PER", "O", "O", "B-LOC", "I-LOC", "O"]


def test_similarity_is_the_rank_correlation_of_cosines_with_the_answers():
    data = {"stsb_dev": {"sentence1": list("abc"), "sentence2": list("def"), "similarity_score": ["3", "1", "2"]}}
    angles = {"a": 10, "d": 11, "b": 0, "e": 90, "c": 20, "f": 60}
    encoder = Known({text: at(angle) for text, angle in angles.items()})
    assert tasks.score("sts", data, encoder) == {"known of length 1": pytest.approx(1)}
    encoder.vectors["e"] = at(5)  # now the second most alike
    assert tasks.score("sts", data, encoder) == {"known of length 1": pytest.approx(0.5)}


def test_vectors_are_tried_as_they_are_and_of_length_one():
    found = tasks.both_lengths({"short": np.array([[0.6, 0.8]]), "long": np.array([[3.0, 4.0]])})
    assert {way: vectors.tolist() for way, vectors in found.items()} == {
        "short of length 1": [[0.6, 0.8]],
        "long of length 1": [[0.6, 0.8]],
        "long": [[3, 4]],
    }


def test_a_relation_is_learned_from_the_cosine_alone():
    cosines = np.array([0.9, 0.1] * 30)
    assert tasks.relation(cosines, ["entailment", "neutral"] * 30) == 1
    assert tasks.relation(cosines * 0, ["entailment", "neutral", "neutral"] * 20) == pytest.approx(2 / 3)


def test_labels_take_the_better_of_two_classifiers():
    """Neighbours tell rings apart, which no line does."""
    angles = np.arange(0, 360, 6)
    vectors = np.concatenate([np.transpose(at(angles)), 3 * np.transpose(at(angles))])
    labels = ["in"] * 60 + ["out"] * 60
    found = tasks.label(vectors, labels, vectors * 1.01, labels)
    assert found["neighbours"] == 1 and found["regression"] < 0.7


def test_intents_across_languages_are_learned_from_the_english_text():
    test = {"text": ["да", "нет"] * 3, "answer": ["yes", "no"] * 3, "label": ["y", "n"] * 3}
    data = {"intents_train": test | {"text": ["?"] * 6}, "intents_test": test}
    encoder = Known({"yes": at(0), "да": at(1), "no": at(90), "нет": at(89), "?": at(0)})
    assert max(tasks.score("icx", data, encoder).values()) == 1
    assert max(tasks.score("ic", data, encoder).values()) == 0.5


def test_entities_are_scored_without_the_words_outside_of_them():
    texts = [f"Там {name} живёт" for name in ("Иван", "Пётр", "Олег", "Яков")]
    data = tasks.Marked(texts, [[("PER", 4, 8)]] * 4)
    names = {name: at(90) for name in ("Иван", "Пётр", "Олег", "Яков")}
    assert tasks.score("ne1", {"factru": data}, Known(names)) == {"words": 1}
    assert tasks.score("ne1", {"factru": data}, Known()) == {"words": 0}


def test_every_task_of_a_board_is_scored(board):
    from finetuning.encodechka.encoders import HASHING, Hashing

    data, encoder = tasks.read(board), Hashing(HASHING["hashing_300"])
    found = {task: max(tasks.score(task, data, encoder).values()) for task in tasks.TASKS}
    assert all(-1 <= value <= 1 for value in found.values())
    assert data[tasks.SAMPLE] == ["Он пришёл.", "Она ушла."]


def test_vectors_that_are_all_the_same_have_no_figure(board):
    with pytest.raises(UserError, match="sts cannot be scored"):
        tasks.score("sts", tasks.read(board), Known())


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("stsb_dev.csv", None, "lacks stsb_dev.csv"),
        ("toxic_test.csv", "text,toxic\nа,2\n", "toxic '2' is none of 0, 1"),
        ("factru.json", json.dumps({"texts": ["а"], "labels": [[["PER", 0, 9]]]}), "outside of its text"),
        ("sentences_sample.txt", "\n \n", "has no text"),
        ("rudrec.json", json.dumps({"texts": ["а"], "labels": []}), "labels"),
    ],
)
def test_damaged_files_are_refused(board, tmp_path, file, content, message):
    folder = shutil.copytree(board, tmp_path / "board")
    (folder / file).unlink()
    if content:
        (folder / file).write_text(content, "utf-8")
    with pytest.raises(UserError, match=message):
        tasks.read(folder)
