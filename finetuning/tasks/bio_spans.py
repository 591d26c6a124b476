"""Entities as spans of words, and as the BIO tags of words."""

from collections.abc import Iterable

from finetuning.deployed.model import OUTSIDE


def bio_tags(types: Iterable[str]) -> tuple[str, ...]:
    """Every tag that a word may have: `O`, and `B-` and `I-` of each type."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def encode(spans: Iterable[tuple[str, int, int]], words: int) -> list[str]:
    """The BIO tags of so many words. spans: type, first word, the word after the last; no word is in two of them."""
    tags = [OUTSIDE] * words
    for kind, first, after in spans:
        tags[first:after] = [f"B-{kind}"] + [f"I-{kind}"] * (after - first - 1)
    return tags
