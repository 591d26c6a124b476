"""The written evidence says what its result files say."""

import json
import re
from pathlib import Path

from tests.traceable import leaves, untraceable

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
TEXT = (RESULTS / "QUALITY.md").read_text(encoding="utf-8")
FIGURES = [json.loads(file.read_text(encoding="utf-8")) for file in sorted((RESULTS / "quality").glob("*.json"))]


def test_the_tables_are_made_of_the_result_files():
    assert FIGURES
    for figures in FIGURES:
        for one in figures["comparisons"]:
            points = [f"{100 * one[name]:+.1f}" for name in ("difference", "low", "high")]
            begin = f"| {one['ours']} - {one['theirs']} | {one['task']} | {one['metric']} | "
            assert f"{begin}{points[0]} | {points[1]} to {points[2]} |" in TEXT
        for name, seconds in figures["costs"].items():
            assert f"| {name.removesuffix('-cost')} | {seconds:.3f} | " in TEXT


def test_every_figure_of_the_text_is_in_a_table():
    """With a decimal point, that is; counts are of words. Signs and units aside."""
    prose, _, tables = TEXT.partition("## All figures")
    found = untraceable(re.sub(r"`[^`]*`|\([^)]*http[^)]*\)", "", prose), [*leaves(tables), *leaves(FIGURES)])
    assert [token for token in found if "." in token] == []
