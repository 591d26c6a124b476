"""Tables and figures as the pages of results have them."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table, a line a row."""
    lines = [_line(head), "|---" * len(head) + "|", *map(_line, rows)]
    return "\n".join(lines)


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def mean(values: Sequence[float], digits: int) -> str:
    """The mean and, of several values, their standard deviation."""
    text = f"{statistics.mean(values):.{digits}f}"
    return text + (f" ± {statistics.stdev(values):.{digits}f}" if len(values) > 1 else "")


def mean_of_metric(name: str, values: Sequence[float]) -> str:
    """The same of a held-out metric: an accuracy in per cent, a loss as it is."""
    return mean([100 * value for value in values], 1) + " %" if "accuracy" in name else mean(values, 3)
