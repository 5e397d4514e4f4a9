"""The sums of a batch name the series that are not as they were stored."""

from dataclasses import replace

import numpy as np
import pytest

from floorlog.core.ledger.batch import Columns
from floorlog.core.ledger.locator import FOUND_MAX, locator_of, wrong_series

SERIES = 450
KNOWN = np.arange(1, 5_000)


def batch(seed: int, series: int = SERIES) -> Columns:
    """Readings of so many series, each with one to three."""
    random = np.random.default_rng(seed)
    ids = np.sort(random.choice(KNOWN, series, replace=False))
    rows = np.repeat(ids, random.integers(1, 4, series))
    n = len(rows)
    return Columns(
        rows.astype(np.int32),
        1_767_225_600_000_000 + random.integers(0, 10**6, n),
        np.round(random.normal(70, 5, n), 1),
        random.choice([0, 0x40940000, 2**32 - 1], n).astype(np.uint32),
        1_767_225_600 + random.integers(0, 3, n),
        random.random(n) < 0.05,
        random.random(n) < 0.05,
    )


def changed(columns: Columns, at: int, how: str) -> Columns:
    """One reading of a batch, another in one column."""
    column = getattr(columns, how).copy()
    column[at] = not column[at] if column.dtype == bool else column[at] // 2 + 7
    return replace(columns, **{how: column})


def without(columns: Columns, gone: np.ndarray) -> Columns:
    """A batch without some of its readings."""
    names = ("series", "ts", "value", "quality", "arrival_s", "conflict", "late")
    return replace(columns, **{name: getattr(columns, name)[~gone] for name in names})


@pytest.mark.parametrize("how", ["ts", "value", "quality", "arrival_s", "conflict", "late"])
def test_one_changed_reading_is_found(how) -> None:
    """Whatever of it was changed, its series is named, and no other."""
    for seed in range(20):
        columns = batch(seed)
        kept = locator_of(columns)
        at = int(np.random.default_rng(seed).integers(len(columns.series)))
        assert wrong_series(kept, columns, KNOWN) == []
        found = wrong_series(kept, changed(columns, at, how), KNOWN)
        assert found == [columns.series[at]]


@pytest.mark.parametrize("count", range(1, FOUND_MAX + 1))
def test_what_is_gone_what_came_and_what_changed_is_found(count) -> None:
    """So many series are named, those included of which nothing is left, in both directions."""
    for seed in range(10):
        columns = batch(seed)
        chosen = np.random.default_rng(seed).choice(np.unique(columns.series), count, replace=False)
        gone, others = chosen[: count // 2], chosen[count // 2 :]
        after = without(columns, np.isin(columns.series, gone))
        for one in others:
            after = changed(after, int(np.flatnonzero(after.series == one)[0]), "value")
        assert wrong_series(locator_of(columns), after, KNOWN) == sorted(chosen.tolist())
        assert wrong_series(locator_of(after), columns, KNOWN) == sorted(chosen.tolist())


def test_too_many_are_not_guessed() -> None:
    """More than the sums can find, or sums that were tampered with: nobody is named."""
    columns = batch(1)
    kept = locator_of(columns)
    for count in range(FOUND_MAX + 1, 60):
        after = columns
        for one in np.unique(columns.series)[:count]:
            after = changed(after, int(np.flatnonzero(columns.series == one)[0]), "value")
        assert wrong_series(kept, after, KNOWN) is None
    for other in (b"", kept[:-1], kept[:-4], bytes(len(kept)), kept[8:] + kept[:8], b"\xff" * 64):
        assert wrong_series(other, changed(columns, 0, "value"), KNOWN) is None


def test_few_series_cost_few_bytes() -> None:
    """Two sums a series that can be found; none where there are no readings."""
    assert locator_of(without(batch(1), np.ones(len(batch(1).series), np.bool_))) is None
    assert [len(locator_of(batch(1, n))) for n in (1, 15, 16, 96, 900)] == [16, 16, 24, 64, 64]
