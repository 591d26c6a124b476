"""The written evidence says what its result files say."""

import json
import re
from pathlib import Path

from tests.traceable import leaves, untraceable

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"
TEXT = (RESULTS / "small_teachers.md").read_text(encoding="utf-8")
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


def test_every_figure_of_the_answer_was_measured():
    """Of a model of the study, of its comparisons, or of a page that the text names."""
    text = (RESULTS / "QUALITY.md").read_text(encoding="utf-8")
    students = [json.loads(file.read_text(encoding="utf-8")) for file in (RESULTS / "students").glob("*.json")]
    pages = [*(RESULTS / "students").glob("*.md"), *(RESULTS / name for name in set(re.findall(r"\((\w+\.md)", text)))]
    known = [*leaves(students), *(figure for page in pages for figure in leaves(page.read_text(encoding="utf-8")))]
    prose = re.sub(r"```.*?```|`[^`]*`|\([^)]*\.md[^)]*\)", "", text, flags=re.S)
    assert students and [token for token in untraceable(prose, known) if "." in token] == []


def test_every_figure_of_the_text_is_in_a_table():
    """With a decimal point, that is; counts are of words. Signs and units aside."""
    prose, _, tables = TEXT.partition("## All figures")
    found = untraceable(re.sub(r"`[^`]*`|\([^)]*http[^)]*\)", "", prose), [*leaves(tables), *leaves(FIGURES)])
    assert [token for token in found if "." in token] == []
