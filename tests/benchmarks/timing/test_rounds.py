"""Figures of a busy machine are no figures: they are told, and go into no ratio."""

import pytest

from benchmarks.timing.rounds import advice, is_steady, spread, time_ratio, verdict


def test_by_hand():
    """482 ms of rounds between 109 and 1,556 once became "1,046 times as fast" on a card."""
    assert verdict([0.109, 0.482, 1.556]) == {"spread": 14.275, "steady": False}
    assert verdict([2.0, 2.5, 3.0]) == {"spread": 1.5, "steady": True}
    assert not is_steady([2.0, 3.02]) and spread([3.02, 2.0]) == 1.51
    assert verdict([0.7]) == {"spread": 1, "steady": True}


def test_ratios_by_hand():
    assert time_ratio([2, 3, 2], [8, 9, 10]) == {"median": 4.5, "min": 3, "max": 5}
    assert time_ratio([1.0, 1.2], [5.0, 6.0]) == pytest.approx({"median": 5, "min": 5, "max": 5})


@pytest.mark.parametrize(("ours", "theirs"), [([1, 1.6], [5, 5]), ([1, 1], [5, 9])])
def test_a_busy_side_has_no_ratio(ours, theirs):
    assert time_ratio(ours, theirs) is None and time_ratio(theirs, ours) is None


def test_the_advice_names_the_worst():
    assert advice([[1, 1], [1, 14.3, 2], [1, 2]]) == (
        "rounds spread by 14.3x: the machine was busy; run again on idle cores"
    )
    assert advice([[1, 1.4], [2, 2]]) == "" == advice([])
