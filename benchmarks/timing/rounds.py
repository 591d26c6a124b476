"""Whether the rounds of a timing agree: the median of a machine that did something else meanwhile is no figure.

Rounds that differ by more than a factor of `LIMIT` are told in the table, and go neither into a ratio nor on a card.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

LIMIT = 1.5


def spread(rounds: Sequence[float]) -> float:
    """The largest round over the least."""
    return max(rounds) / min(rounds)


def is_steady(rounds: Sequence[float]) -> bool:
    """Whether the rounds are few enough times apart for their median to be a figure."""
    return spread(rounds) <= LIMIT


def verdict(rounds: Sequence[float]) -> dict[str, Any]:
    """What the JSON of a timed row says for the card and the report: `spread`, and whether it is `steady`."""
    return {"spread": round(spread(rounds), 3), "steady": is_steady(rounds)}


def time_ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float] | None:
    """How many times more theirs is: the ratio of the medians, and the least and the largest of a round.

    None where either is not steady.
    """
    if not (is_steady(ours) and is_steady(theirs)):
        return None
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(theirs) / statistics.median(ours), "min": min(each), "max": max(each)}


def time_text(seconds: Sequence[float]) -> str:
    """Milliseconds for a table: the median, the least and the largest, and the spread of rounds that do not agree."""
    text = range_text([1000 * one for one in seconds])
    return text if is_steady(seconds) else f"{text} spread {spread(seconds):.3g}x"


def range_text(values: Sequence[float]) -> str:
    """The median, the least and the largest."""
    return f"{statistics.median(values):.0f} [{min(values):.0f}, {max(values):.0f}]" if values else "not measured"


def ratio_text(found: dict[str, float] | None, digits: int = 2) -> str:
    """A ratio for a table."""
    if found is None:
        return "busy"
    median, least, largest = (f"{found[name]:.{digits}f}" for name in ("median", "min", "max"))
    return f"{median} [{least}, {largest}]"


def advice(timings: Iterable[Sequence[float]]) -> str:
    """What to do about the rounds that do not agree; empty where all do."""
    worst = max((spread(rounds) for rounds in timings if not is_steady(rounds)), default=None)
    return "" if worst is None else f"rounds spread by {worst:.3g}x: the machine was busy; run again on idle cores"
