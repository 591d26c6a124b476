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
    """`ratio` of seconds; None where either is not steady."""
    return ratio(ours, theirs) if is_steady(ours) and is_steady(theirs) else None


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> dict[str, float] | None:
    """How many times more theirs is: the ratio of the medians, and the least and the largest of a round.

    None where nothing was measured.
    """
    if not ours:
        return None
    each = [b / a for a, b in zip(ours, theirs, strict=True)]
    return {"median": statistics.median(theirs) / statistics.median(ours), "min": min(each), "max": max(each)}


def advice(timings: Iterable[Sequence[float]]) -> str:
    """What to do about the rounds that do not agree; empty where all do."""
    worst = max((spread(rounds) for rounds in timings if not is_steady(rounds)), default=None)
    return "" if worst is None else f"rounds spread by {worst:.3g}x: the machine was busy; run again on idle cores"
