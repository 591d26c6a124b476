"""Words of a corpus, and what a tokenizer makes of them."""

import pytest

from distillation.vocabularies.wordpiece import SPECIAL_TOKENS, build_tokenizer
from distillation.vocabularies.words import count_words, measure, ranked


def test_figures_by_hand():
    """Two words of one and two tokens and one unknown: 4 tokens, a quarter unknown, in a third of the words."""
    tokenizer = build_tokenizer([*SPECIAL_TOKENS, "а", "б", "##в"])
    shares = {"tokens_per_word": 4 / 3, "unknown_tokens": 1 / 4, "unknown_words": 1 / 3}
    assert measure(tokenizer, ["а бв", "г"]) == pytest.approx({"entries": 8} | shares)
    assert count_words(["да, да-нет!"]) == {"да": 2, "нет": 1, ",": 1, "-": 1, "!": 1}


def test_equal_corpora_have_equal_orders():
    """Whatever order their lines have: what a size cuts off would differ."""
    assert ranked(count_words(["да нет да", "ты"])) == ranked(count_words(["ты", "нет да да"]))
