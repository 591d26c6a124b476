"""Cuts lines that are longer than an example."""

import functools
from collections.abc import Iterator
from itertools import pairwise

import numpy as np


def cut_lines(
    text: str, borders: np.ndarray, words: np.ndarray, starts: list[np.ndarray], limits: list[int]
) -> Iterator[tuple[int, int, int, int]]:
    """(line, cut of the line, first character, end) of each example, in order. Lines without a word give none.

    The tokens of an example fit the limits in every tokenization. It ends before a word after white space, else before
    any word, else before a token. Characters that one tokenization cannot show within its limit are left out of all.

    borders: where each line starts, and the end; words, starts: where words start and, for each tokenization, tokens.
    """
    counts = [np.diff(np.searchsorted(s, borders)) for s in starts]
    fits = np.all([count <= limit for count, limit in zip(counts, limits, strict=True)], axis=0)
    has_words = np.diff(np.searchsorted(words, borders)) > 0
    for line, (first, end) in enumerate(pairwise(borders.tolist())):
        if has_words[line]:
            spans = [(first, end)] if fits[line] else _cuts(text, first, end, words, starts, limits)
            yield from ((line, cut, *span) for cut, span in enumerate(spans))


def _cuts(
    text: str, first: int, end: int, words: np.ndarray, starts: list[np.ndarray], limits: list[int]
) -> Iterator[tuple[int, int]]:
    words, *starts = (s[slice(*np.searchsorted(s, (first, end)))] for s in (words, *starts))
    # The space lies before the word, or is its first character where tokens include the space before a word.
    spaced = words[[any(map(str.isspace, text[start - 1 : start + 1])) for start in words]]
    tokens = functools.reduce(np.intersect1d, starts)
    kinds = [np.concatenate([[first], borders, [end]]) for borders in (spaced, words, tokens)]
    while first < end:
        over = [np.searchsorted(s, first) + limit for s, limit in zip(starts, limits, strict=True)]
        reach = min(s[i] if i < len(s) else end for s, i in zip(starts, over, strict=True))
        lasts = (int(borders[np.searchsorted(borders, reach, side="right") - 1]) for borders in kinds)
        last = next((border for border in lasts if border > first), None)
        if last is not None:
            yield first, last
        first = last or int(kinds[-1][np.searchsorted(kinds[-1], first, side="right")])
