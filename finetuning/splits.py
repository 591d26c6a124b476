"""Parts of a benchmark made fit for a fair score: nothing of the test in training, and a validation part."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

from finetuning.task import Row

VALIDATION_SHARE = 0.1
SPLIT_SEED = 0  # one validation part for all runs, so that their scores compare


def without_repeats(
    rows: Sequence[Row], text: Callable[[Row], Hashable], answer: Callable[[Row], Hashable], tested: Sequence[Row]
) -> tuple[list[Row], dict[str, int]]:
    """The rows to train on, and how many were left out: texts `in_test`, `repeated`, or `conflicting`.

    Of rows with one text and one answer the first stays; where one text has different answers, none does.
    """
    in_test = {text(row) for row in tested}
    answers = defaultdict(set)
    for row in rows:
        answers[text(row)].add(answer(row))
    left_out = Counter({"in_test": 0, "repeated": 0, "conflicting": 0})
    kept, seen = [], set()
    for row in rows:
        key = text(row)
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


def held_out(rows: Sequence[Row], text: Callable[[Row], Hashable]) -> tuple[list[Row], list[Row]]:
    """The rows without a seeded tenth, and that tenth. Rows with one text stay together; the order is kept."""
    texts = sorted({text(row) for row in rows})
    random.Random(SPLIT_SEED).shuffle(texts)
    sizes = Counter(text(row) for row in rows)
    chosen, size = set(), 0
    while size < VALIDATION_SHARE * len(rows):
        chosen.add(texts[-1])
        size += sizes[texts.pop()]
    return [row for row in rows if text(row) not in chosen], [row for row in rows if text(row) in chosen]
