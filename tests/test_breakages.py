"""The list of breakages fits the source as it stands; `tests/breakages.py` applies them."""

import pytest

from tests.breakages import LIST, ROOT, read_breakages

BREAKAGES = read_breakages(LIST.read_text("utf-8"))


def test_there_are_enough():
    assert len(BREAKAGES) >= 40 and len(set(BREAKAGES)) == len(BREAKAGES)


@pytest.mark.parametrize("breakage", BREAKAGES, ids=str)
def test_a_breakage_can_be_applied(breakage):
    """Its text stands once in its file, and its tests exist."""
    found = (ROOT / breakage.file).read_text("utf-8").count(breakage.before)
    assert found == 1, f"{found} times in the file: make the text of tests/breakages.txt longer, or follow the source"
    assert breakage.before != breakage.after
    assert all((ROOT / test.split("::")[0]).exists() for test in breakage.tests)
