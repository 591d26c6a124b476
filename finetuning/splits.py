"""A validation part; and what to leave out of training: repeats, and texts of the test."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

from finetuning.tasks.base import Row

VALIDATION_SHARE = 0.1
SPLIT_SEED = 0  # one validation part for all runs, so that their scores compare

Texts = Callable[[Row], tuple[str, ...]]


def without_repeats(
    rows: Sequence[Row], texts: Texts, answer: Callable[[Row], Hashable], tested: Sequence[Row]
) -> tuple[list[Row], dict[str, int]]:
    """The rows to train on, and how many were left out: texts `in_test`, `repeated`, or `conflicting`.

    Of rows with the same texts and one answer the first stays; where they have different answers, none does.
    """
    in_test = {texts(row) for row in tested}
    answers = defaultdict(set)
    for row in rows:
        answers[texts(row)].add(answer(row))
    left_out = Counter({"in_test": 0, "repeated": 0, "conflicting": 0})
    kept, seen = [], set()
    for row in rows:
        key = texts(row)
        if key in in_test:
            left_out["in_test"] += 1
        elif len(answers[key]) > 1:
            left_out["conflicting"] += 1
        elif key in seen:
            left_out["repeated"] += 1
        else:
            kept.append(row)
            seen.add(key)
    return kept, dict(left_out)


def held_out(rows: Sequence[Row], texts: Texts) -> tuple[list[Row], list[Row]]:
    """The rows without a seeded tenth, and that tenth, at least. The order is kept.

    Rows that share a text stay together, and with these all that share one with them.
    """
    groups = joined([texts(row) for row in rows])
    sizes = Counter(groups)
    names = sorted(sizes)
    random.Random(SPLIT_SEED).shuffle(names)
    chosen, size = set(), 0
    while size < VALIDATION_SHARE * len(rows):
        chosen.add(names[-1])
        size += sizes[names.pop()]
    parts: tuple[list[Row], list[Row]] = ([], [])
    for row, group in zip(rows, groups, strict=True):
        parts[group in chosen].append(row)
    return parts


def joined(sets: Sequence[tuple[str, ...]]) -> list[str]:
    """For each set of texts the name of its group, the first text of all sets that hang together with it."""
    parent = {text: text for texts in sets for text in texts}

    def root(text: str) -> str:
        while parent[text] != text:
            parent[text] = text = parent[parent[text]]  # halves the way for the next who asks
        return text

    for first, *others in sets:
        for text in others:
            low, high = sorted((root(first), root(text)))
            parent[high] = low
    return [root(texts[0]) for texts in sets]
