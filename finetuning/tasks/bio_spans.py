"""Entities as spans of words, and as the BIO tags of words."""

from collections.abc import Iterable, Sequence

OUTSIDE = "O"


def bio_tags(types: Iterable[str]) -> tuple[str, ...]:
    """Every tag that a word may have: `O`, and `B-` and `I-` of each type."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def encode(spans: Iterable[tuple[str, int, int]], words: int) -> list[str]:
    """The BIO tags of so many words. spans: type, first word, the word after the last; no word is in two of them."""
    tags = [OUTSIDE] * words
    for kind, first, after in spans:
        tags[first:after] = [f"B-{kind}"] + [f"I-{kind}"] * (after - first - 1)
    return tags


def decode(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The spans of BIO tags: type, first word, and the word after the last, in the order of the words.

    An `I-` that follows no tag of its type starts a span, as in the CoNLL scorer: models predict such tags, and the
    older IOB1 files consist of them.
    """
    spans: list[tuple[str, int, int]] = []
    for place, tag in enumerate(tags):
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and spans and spans[-1][0] == kind and spans[-1][2] == place:
            spans[-1] = (kind, spans[-1][1], place + 1)
        elif prefix != OUTSIDE:
            spans.append((kind, place, place + 1))
    return spans
