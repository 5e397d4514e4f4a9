"""A batch's leaves: one order, whichever way they are come by, each bound to all it holds."""

from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.core.ledger.batch import Columns, Registry, reading_leaves, records_of
from floorlog.core.reading import Kind
from floorlog.core.series import KnownSeries

SERIES = 12


@pytest.fixture(scope="module")
def registry() -> Registry:
    return made_registry()


def made_registry(order=range(1, SERIES + 1)) -> Registry:
    """Twelve series of four devices that interleave; every third is of states."""
    made = Registry()
    for n in order:
        made.learn([KnownSeries(n * 7, f"press-{n % 4}", f"m{n}", Kind(n % 3 == 0), "Cel", 1)])
    made.learn_states({"running": 1, "stopped": 2})
    return made


readings = st.lists(
    st.tuples(
        st.integers(0, 3),  # batch
        st.integers(1, SERIES),
        st.integers(-(2**62), 2**62),
        st.sampled_from([1.0, 2.0]),
        st.sampled_from([0, 2**32 - 1]),
        st.integers(0, 2**40),
        st.booleans(),
        st.booleans(),
    ),
    max_size=60,
)


def columns(rows, *, batches: bool = True) -> Columns:
    rows = sorted(rows, key=lambda row: row[:3])
    c = list(zip(*rows, strict=True)) if rows else [()] * 8
    return Columns(
        np.array(c[1], np.int32) * 7,
        np.array(c[2], np.int64),
        np.array(c[3], np.float64),
        np.array(c[4], np.uint32),
        np.array(c[5], np.int64),
        np.array(c[6], np.bool_),
        np.array(c[7], np.bool_),
        np.array(c[0], np.int64) if batches else None,
    )


def leaves(rows, registry, *, batches: bool = True) -> list[bytes]:
    return reading_leaves(*records_of(columns(rows, batches=batches), registry))


@given(readings)
def test_many_batches_at_once_are_the_same_as_each_alone(rows) -> None:
    """Verify takes thousands of batches at once: their leaves are those of one after another."""
    registry = made_registry()
    alone = []
    for batch in range(4):
        alone += leaves([row for row in rows if row[0] == batch], registry, batches=False)
    assert leaves(rows, registry) == alone


@given(readings)
def test_a_leaf_is_a_device(rows) -> None:
    """There is a leaf per device of each batch, and without the others it is the same leaf."""
    registry = made_registry()
    found = leaves(rows, registry)
    devices = {(row[0], row[1] % 4) for row in rows}
    assert len(found) == len(devices)
    single = [
        leaf
        for batch, device in sorted(devices)
        for leaf in leaves([r for r in rows if (r[0], r[1] % 4) == (batch, device)], registry)
    ]
    assert sorted(single) == sorted(found)


@given(st.permutations(range(1, SERIES + 1)), readings)
def test_the_order_of_learning_does_not_matter(order, rows) -> None:
    """Whenever a worker heard of a series, its leaves are the same."""
    assert leaves(rows, made_registry(order)) == leaves(rows, made_registry())


def test_leaves_stand_by_first_series(registry) -> None:
    """Devices 1, 2, 3 and 0 by their series 1 to 4, though 1 also has series 5 and 9."""
    rows = [(0, n, 0, 1.0, 0, 0, False, False) for n in (1, 5, 9, 2, 3, 4)]
    each = [[row for row in rows if row[1] % 4 == device] for device in (1, 2, 3, 0)]
    assert leaves(rows, registry) == [leaves(one, registry)[0] for one in each]


def test_every_column_is_bound(registry) -> None:
    """Another series, time, value, sign of zero, quality, arrival or flag: another leaf."""
    rows = [(0, 1, 5, 0.0, 0, 9, False, False), (0, 1, 6, 2.0, 0, 9, False, False)]
    plain = columns(rows)
    (before,) = reading_leaves(*records_of(plain, registry))
    seen = {before}
    changes = {
        "series": [7, 35], "ts": [5, 7], "value": [-0.0, 2.0], "quality": [0, 1],
        "arrival_s": [9, 10], "conflict": [False, True], "late": [False, True],
    }  # fmt: skip
    assert set(changes) == {field.name for field in fields(Columns)} - {"batch"}
    for name, values in changes.items():
        changed = replace(plain, **{name: np.array(values, getattr(plain, name).dtype)})
        seen |= set(reading_leaves(*records_of(changed, registry)))
    assert len(seen) == 1 + len(changes)


def test_a_state_is_bound_by_name() -> None:
    """The same code under another name is another leaf; numbers know nothing of states."""
    row = (0, 3, 5, 1.0, 0, 9, False, False)
    renamed = Registry()
    renamed.learn([KnownSeries(21, "press-3", "m3", Kind.STATE, "Cel", 1)])
    renamed.learn_states({"stopped": 1})
    assert leaves([row], renamed) != leaves([row], made_registry())


def test_an_unknown_series_is_an_error(registry) -> None:
    """A leaf is never made up for a series whose digest is not known."""
    known = columns([(0, 1, 5, 0.0, 0, 9, False, False)])
    for series_id in (6, 8, 10**6):
        with pytest.raises(KeyError, match="learn it first"):
            records_of(replace(known, series=np.array([series_id], np.int32)), registry)
    with pytest.raises(KeyError, match="learn it first"):
        records_of(known, Registry())


def test_a_series_never_changes(registry) -> None:
    """What is learnt again under the same id is passed over: ids are for ever."""
    again = made_registry()
    again.learn([KnownSeries(7, "other", "m1", Kind.NUMBER, "bar", 1)])
    assert again.digests == registry.digests
