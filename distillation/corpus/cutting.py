"""Where lines are cut that are longer than an example."""

import functools

import numpy as np


def fitting(borders: np.ndarray, starts: list[np.ndarray], limits: list[int]) -> np.ndarray:
    """Which lines fit in one example in every tokenization."""
    counts = [np.diff(np.searchsorted(s, borders)) for s in starts]
    return np.all([count <= limit for count, limit in zip(counts, limits, strict=True)], axis=0)


def cuts(
    text: str, first: int, end: int, fits: bool, words: np.ndarray, starts: list[np.ndarray], limits: list[int]
) -> list[tuple[int, int]]:
    """Spans of a line's characters whose tokens fit the limits in every tokenization, in order.

    They end before a white-spaced word where possible, else before any word, else (inside a word longer than an
    example) before a token. Characters that one tokenization cannot show within its limit are left out of all.

    first, end: the characters of the line; words, starts: where words start and, for each tokenization, tokens.
    """
    words = words[slice(*np.searchsorted(words, (first, end)))]
    if not len(words) or fits:
        return [(first, end)] if len(words) else []
    starts = [s[slice(*np.searchsorted(s, (first, end)))] for s in starts]
    # The space may lie before the word or, where tokens hold the space before their word, open it.
    spaced = words[[any(map(str.isspace, text[start - 1 : start + 1])) for start in words]]
    tokens = functools.reduce(np.intersect1d, starts)
    cuts = []
    while first < end:
        over = [np.searchsorted(s, first) + limit for s, limit in zip(starts, limits, strict=True)]
        reach = min(s[i] if i < len(s) else end for s, i in zip(starts, over, strict=True))
        found = (reach if reach == end else _last(borders, first, reach) for borders in (spaced, words, tokens))
        last = next((int(border) for border in found if border is not None), None)
        if last is not None:
            cuts.append((first, last))
        first = last or next((int(token) for token in tokens if token > first), end)
    return cuts


def _last(borders: np.ndarray, first: int, reach: int) -> int | None:
    """The last border behind `first` and no further than `reach`."""
    index = np.searchsorted(borders, reach, side="right") - 1
    return borders[index] if index >= 0 and borders[index] > first else None
