"""Rounds lay readings out, the logarithm is exact enough."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.detect.logarithm import log10
from floorlog.core.detect.rounds import Rounds


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60))
def test_rounds_hold_the_kth_of_each(rows: list[int]) -> None:
    """Round k has the k-th reading of every series that has one, each series' in order."""
    row = np.array(rows, np.intp)
    rounds = Rounds(row)
    order = np.arange(len(row)) if rounds.order is None else rounds.order
    assert sorted(order.tolist()) == list(range(len(row)))
    assert sum(rounds.sizes) == len(row)
    for nth, (begin, size) in enumerate(zip(rounds.begins, rounds.sizes, strict=True)):
        places = order[begin : begin + size]
        assert row[places].tolist() == rounds.rows[:size].tolist()
        for place in places.tolist():
            assert rows[:place].count(rows[place]) == nth
    assert rounds.rank.tolist() == [rounds.rows.tolist().index(who) for who in row[order].tolist()]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40))
def test_before_and_last_name_neighbours(rows: list[int]) -> None:
    """`before` is the same series' reading one round earlier, `last` its newest."""
    row = np.array(rows, np.intp)
    rounds = Rounds(row)
    order = np.arange(len(row)) if rounds.order is None else rounds.order
    first = rounds.sizes[0]
    assert row[order[rounds.before()]].tolist() == row[order[first:]].tolist()
    newest = {who: place for place, who in enumerate(rows)}
    assert order[rounds.last()].tolist() == [newest[who] for who in rounds.rows.tolist()]


@given(st.floats(min_value=5e-324, max_value=1.7e308, exclude_min=False))
def test_the_logarithm_is_right(x: float) -> None:
    """log10 agrees with the library's to 1e-14, from the smallest to the largest number."""
    assert float(log10(np.array([x]))[0]) == pytest.approx(math.log10(x), rel=1e-14, abs=1e-15)
