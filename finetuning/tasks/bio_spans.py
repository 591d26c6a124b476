"""Entities as spans of words, and as the BIO tags of words."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence

from finetuning.deployed.model import OUTSIDE, WORD


def words_of(text: str) -> list[list[int]]:
    """The start and end of each word and single sign."""
    return [list(match.span()) for match in WORD.finditer(text)]


def bio_tags(types: Iterable[str]) -> tuple[str, ...]:
    """Every tag that a word may have: `O`, and `B-` and `I-` of each type."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def encode(spans: Iterable[tuple[str, int, int]], words: int) -> list[str]:
    """The BIO tags of so many words. spans: type, first word, the word after the last; no word is in two of them."""
    tags = [OUTSIDE] * words
    for kind, first, after in spans:
        tags[first:after] = [f"B-{kind}"] + [f"I-{kind}"] * (after - first - 1)
    return tags


def spans_of_words(
    entities: Iterable[tuple[int, int, str]], words: Sequence[Sequence[int]]
) -> list[tuple[str, int, int]]:
    """Entities as spans of words: one that begins or ends inside a word takes all of it, and one without a word is
    left out. Of those that share a word the longest stays, of equal ones the first.

    entities: the first character of each, the one after the last, and the type; words: start and end of each.
    """
    starts, ends = [start for start, _ in words], [end for _, end in words]
    taken: set[int] = set()
    spans = []
    for start, end, kind in sorted(entities, key=lambda entity: entity[0] - entity[1]):  # the sort is stable
        first, after = bisect_right(ends, start), bisect_left(starts, end)
        if first < after and taken.isdisjoint(range(first, after)):
            taken.update(range(first, after))
            spans.append((kind, first, after))
    return spans
