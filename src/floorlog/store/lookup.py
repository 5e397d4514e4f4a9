"""Looking readings up under the locks of all shards concerned, in open rows and then in chunks."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.core.protocol import Fenced, Found, Lookup, Rehomed, Stale, StoredReadings
from floorlog.store import sealed
from floorlog.store.commit import WINDOW_US
from floorlog.store.link import Connection
from floorlog.store.open_row import NOTHING, readings_of, select
from floorlog.store.queries import sql
from floorlog.store.sealed import joined
from floorlog.store.takeover import known

SPAN_GAP_US = 60_000_000
SPANS_MAX = 256
WALK_FIRST_US = 1_000_000
WALK_FACTOR = 8
FOREVER = 2**62

Versions = dict[int, int]


def look_up(
    connection: Connection, command: Lookup
) -> tuple[Found, Versions] | Stale | Rehomed | Fenced:
    """Lock the homes in order, then find what the record holds of the keys.

    With Found come the versions of the locked leases, and the transaction stays open; after any
    other reply the caller ends it.
    """
    wanted = np.unique(np.concatenate([command.series, np.array(command.marks_of, np.int32)]))
    begins, ends = spans(command.ts)
    with connection.pipeline():
        connection.execute(sql("begin"))
        locked = connection.execute(
            sql("lock_homes"), {"homes": np.array(command.homes, np.int32)}, binary=True
        )
        homes = connection.execute(sql("homes"), {"series": wanted}, binary=True)
        alone = connection.execute(sql("bar_expiry"), binary=True)
        rows = connection.execute(
            sql("rows_in_spans"), {"begins": begins, "ends": ends}, binary=True
        )
    standing = {row[0]: row[1:] for row in locked.fetchall()}
    own = standing.get(command.lease.lease_id)
    if own is None or own[0] != command.lease.epoch or own[1] != command.number or own[3]:
        return Fenced()
    if own[2] != command.version:
        return Stale()
    ended = {lease_id for lease_id, row in standing.items() if row[3]}
    at_home = {series_id: (lease_id, window) for series_id, lease_id, window in homes.fetchall()}
    rehomed = _rehome(connection, command, at_home, ended)
    if rehomed is not None:
        return rehomed
    windows = {one: at_home[one][1] for one in command.marks_of if one in at_home}
    held = joined(
        [
            _match(_distinct(rows), command.series, command.ts),
            sealed.held(connection, command.series, command.ts),
        ]
    )
    found = Found(held, newest(connection, windows))
    barred = alone.fetchone()
    if barred is None or not barred[0]:
        found = _again(connection, command, windows, found)
    return found, {lease_id: row[2] for lease_id, row in standing.items()}


def _again(
    connection: Connection, command: Lookup, windows: dict[int, int | None], found: Found
) -> Found:
    """What was found, and what is found now.

    Expiry was under way: what it cuts out of a chunk goes back into open rows, and may be sealed
    again at once. Only what moved twice between two statements could be missed once.
    """
    begins, ends = spans(command.ts)
    rows = connection.execute(sql("rows_in_spans"), {"begins": begins, "ends": ends}, binary=True)
    held = joined(
        [
            found.held,
            _match(_distinct(rows), command.series, command.ts),
            sealed.held(connection, command.series, command.ts),
        ]
    )
    marks = _at_mark(joined([found.marks, newest(connection, windows)]))
    return Found(_once(held), _once(marks))


def _once(readings: StoredReadings) -> StoredReadings:
    """Readings once each: the record holds none twice."""
    columns = [getattr(readings, name).tolist() for name in readings.__slots__]
    first = {row: place for place, row in reversed(list(enumerate(zip(*columns, strict=True))))}
    return select(readings, np.array(sorted(first.values()), np.intp))


def _rehome(
    connection: Connection,
    command: Lookup,
    at_home: dict[int, tuple[int, int | None]],
    ended: set[int],
) -> Rehomed | None:
    """Series whose home is not where the consumer believes; orphans move to its own lease."""
    own = command.lease.lease_id
    believed = dict(zip(command.series.tolist(), command.home.tolist(), strict=True))
    orphans = [one for one, (home, _) in at_home.items() if home in ended and home != own]
    moved = {one for one, home in believed.items() if one in at_home and at_home[one][0] != home}
    if not orphans and not moved:
        return None
    if orphans:
        connection.execute(
            sql("adopt_series"), {"lease_id": own, "series": np.array(sorted(orphans), np.int32)}
        )
    changed = np.array(sorted({*orphans, *moved}), np.int32)
    series = connection.execute(sql("known_series"), {"series": changed}, binary=True).fetchall()
    connection.execute(sql("commit"))
    return Rehomed(known(series))


def spans(ts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Times (µs) as at most SPANS_MAX spans that hold them: begins and ends, both inclusive."""
    times = np.unique(ts)
    gap_us = SPAN_GAP_US
    while True:
        breaks = np.flatnonzero(np.diff(times) > gap_us)
        if len(breaks) < SPANS_MAX:
            break
        gap_us *= 4
    begins = times[np.concatenate([[0], breaks + 1])] if len(times) else times
    ends = times[np.concatenate([breaks, [len(times) - 1]])] if len(times) else times
    return begins, ends


def _distinct(rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Rows once each: one that touches two spans came twice."""
    seen = set()
    for row in rows:
        if row[:3] not in seen:
            seen.add(row[:3])
            yield row[3:]


def _match(
    rows: Iterator[tuple[Any, ...]], series: NDArray[np.int32], ts: NDArray[np.int64]
) -> StoredReadings:
    """The readings of the rows whose series and time are among the keys."""
    times = np.unique(ts)
    keys = np.unique(series.astype(np.int64) * len(times) + np.searchsorted(times, ts))
    parts = []
    for row in rows:
        readings = readings_of([row])
        place = np.searchsorted(times, readings.ts).clip(max=max(0, len(times) - 1))
        on_time = times[place] == readings.ts
        pairs = readings.series.astype(np.int64) * len(times) + place
        hit = on_time & np.isin(pairs, keys)
        if hit.any():
            parts.append(select(readings, hit))
    return joined(parts)


def newest(connection: Connection, windows: dict[int, int | None]) -> StoredReadings:
    """All readings at the newest time of each series, given the window of that time."""
    parts = []
    for window in sorted({window for window in windows.values() if window is not None}):
        series = np.array(sorted(one for one, its in windows.items() if its == window), np.int32)
        parts.append(_newest_in(connection, series, window))
    return joined(parts)


def _newest_in(connection: Connection, series: NDArray[np.int32], window: int) -> StoredReadings:
    """Walk back from the window's end, further each time, until each newest time is certain."""
    begin, end = window * WINDOW_US, (window + 1) * WINDOW_US - 1
    edge = connection.execute(
        sql("last_time"), {"begin": begin, "end": end}, binary=True
    ).fetchone()
    assert edge is not None, "a function without rows answers with one"
    top = int(edge[0])
    seen, below, span_us = NOTHING, FOREVER, WALK_FIRST_US
    while True:
        cut = max(begin, top - span_us)
        rows = connection.execute(
            sql("rows_ending_in"),
            {"cut": cut, "end": end, "below": below},
            binary=True,
        )
        parts = [readings_of([row]) for row in rows]
        seen = joined([seen, *(select(part, np.isin(part.series, series)) for part in parts)])
        latest = _latest(seen)
        certain = sum(ts >= cut for ts in latest.values())
        if certain == len(series) or cut == begin:
            break
        below, span_us = cut, span_us * WALK_FACTOR
    return _at_mark(joined([seen, sealed.newest(connection, series, begin, end)]))


def _at_mark(seen: StoredReadings) -> StoredReadings:
    """All readings at the newest time of each series."""
    latest = _latest(seen)
    at_mark = [
        latest[one] == ts for one, ts in zip(seen.series.tolist(), seen.ts.tolist(), strict=True)
    ]
    return select(seen, np.array(at_mark, np.bool_))


def _latest(readings: StoredReadings) -> dict[int, int]:
    latest: dict[int, int] = {}
    for one, ts in zip(readings.series.tolist(), readings.ts.tolist(), strict=True):
        latest[one] = max(latest.get(one, ts), ts)
    return latest
