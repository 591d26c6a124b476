"""What the rows are made of: stray numbers and quotation marks, spans that miss their word, labels of every type."""

import pytest

from finetuning.russian_superglue.rows import make, passage, phrase_at, word_at

LINE = {"idx": 1, "passage": "", "premise": "", "hypothesis": "", "choice1": "", "choice2": "", "question": "cause"}
ANSWER = {"idx": {"paragraph": 1, "question": 2, "answer": 3}, "paragraph": "", "answer": ""}


@pytest.mark.parametrize(
    ("task", "spellings", "label"),
    [
        ("danetqa", (True, "true", "True", 1, "1"), "true"),
        ("danetqa", (False, "false", 0), "false"),
        ("rcb", ("neutral", 2), "neutral"),
        ("parus", (1, "1", "choice2"), 1),
        ("muserc", (1, "True"), "1"),
    ],
)
def test_labels_of_every_type(task, spellings, label):
    line = LINE | (ANSWER if task == "muserc" else {})
    for labelled in (True, False):
        assert {make(task, line | {"label": one}, labelled)["label"] for one in spellings} == {label}
    assert [make(task, line | hidden, False)["label"] for hidden in ({}, {"label": -1})] == [None, None]


@pytest.mark.parametrize(
    ("numbered", "bare"),
    [
        ('"(1) Раз. (2) Два."', "Раз. Два."),
        ('"(1) «Раз» и "два".', '«Раз» и "два".'),
        ('"Раз" сказал он. (2) Два "три"', '"Раз" сказал он. Два "три"'),
        ("(1) В том году (1965) было.\n(2) Да.", "В том году (1965) было.\nДа."),
    ],
)
def test_passages_lose_numbers_and_stray_quotation_marks(numbered, bare):
    """A model would read the numbers as text; quotation marks of the text itself stay."""
    assert passage(numbered) == bare


@pytest.mark.parametrize(
    ("sentence", "start", "end", "lemma", "word"),
    [
        ("Где коты, где", 4, 9, "кот", "коты"),  # with a comma
        ("по почерку этого", 8, 13, "почерк", "почерку"),  # begins inside of the word and touches the next
        ("де\u0301вка тут", 0, 3, "девка", "де\u0301вка"),
        ("Где -- кот", 4, 6, "кот", "Где"),  # none: the nearest
    ],
)
def test_the_span_of_a_word_is_the_whole_word(sentence, start, end, lemma, word):
    """Half a word or a comma would be pooled for its sense."""
    assert sentence[slice(*word_at(sentence, start, end, lemma))] == word


@pytest.mark.parametrize(
    ("sentence", "phrase", "index", "span"),
    [
        ("Он, потом он, и он.", "он", 2, (10, 12)),
        ("стон, он", "он", 0, (6, 8)),  # whole words first
        ("стоны", "он", 0, (2, 4)),
        ("Тостер, который он у него купил.", "он купил", 2, (16, 20)),  # not there: as many words
        ("Пэм", "Пол и Пэт", 9, (0, 3)),
        ("— !", "Пэм", 0, (0, 1)),
    ],
)
def test_the_span_of_a_phrase(sentence, phrase, index, span):
    """The index counts words that carry punctuation, and a few phrases do not stand in their text."""
    assert phrase_at(sentence, phrase, index) == list(span)
