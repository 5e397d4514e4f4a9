"""What a consumer asks of sealed readings: the same questions as of open rows.

Rows move from open to sealed at any moment, in one transaction. So open rows are read first and
chunks after them: a reading that moves in between is seen twice, never missed. Only expiry moves
some back; look-ups bar it meanwhile.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.core.protocol import StoredReadings
from floorlog.store.chunk import CONFLICT, LATE, Chunk, Chunks, Sealed
from floorlog.store.link import Connection
from floorlog.store.open_row import NOTHING, WIDTHS_US, readings_of, select
from floorlog.store.queries import sql

Ints = NDArray[np.int64]
Key = tuple[int, int]  # lease and number of a batch


def held(connection: Connection, series: NDArray[np.int32], ts: Ints) -> StoredReadings:
    """The sealed readings of these series and times, given in pairs."""
    if not len(ts):
        return NOTHING
    chunks = _in_slots(connection, series, ts, int(ts.min()), int(ts.max()))
    if not chunks:
        return NOTHING
    found = Chunks(chunks).take()
    times = np.unique(ts)
    keys = np.unique(series.astype(np.int64) * len(times) + np.searchsorted(times, ts))
    place = np.searchsorted(times, found.ts).clip(max=len(times) - 1)
    pairs = found.series.astype(np.int64) * len(times) + place
    hit = (times[place] == found.ts) & np.isin(pairs, keys)
    return _stored(connection, chunks, found.take(hit))


def newest(
    connection: Connection, series: NDArray[np.int32], begin: int, end: int
) -> StoredReadings:
    """The sealed readings of these series from a time on up to another, both included.

    Both times lie in one slot of every width.
    """
    chunks = _in_slots(connection, series, np.full(len(series), begin), begin, end)
    if not chunks:
        return NOTHING
    found = Chunks(chunks).take()
    return _stored(connection, chunks, found.take((found.ts >= begin) & (found.ts <= end)))


def of_shard(
    connection: Connection, lease_id: int, above: int, clocks: Mapping[int, int]
) -> dict[int, StoredReadings]:
    """The sealed readings of a shard's batches above a number, by batch."""
    values = {"lease_id": lease_id, "number": above}
    rows = connection.execute(sql("chunks_above"), values, binary=True).fetchall()
    if not rows:
        return {}
    chunks = [Chunk(*row) for row in rows]
    found = Chunks(chunks).take()
    found = found.take(np.isin(found.number, np.array(sorted(clocks), np.int64)))
    by_key = {(lease_id, number): clock_s for number, clock_s in clocks.items()}
    return {number: part for (_, number), part in _by_batch(chunks, found, by_key).items()}


def foreign(connection: Connection, lease_id: int, since: int, version: int) -> StoredReadings:
    """What other shards stored of series homed here, in the order of versions, and is sealed."""
    values = {"lease_id": lease_id, "since": since, "version": version}
    batches = connection.execute(sql("sealed_foreign"), values, binary=True).fetchall()
    if not batches:
        return NOTHING
    clocks = {(lease, number): clock_s for lease, number, clock_s in batches}
    asked: dict[str, NDArray[Any]] = {
        "leases": np.array([lease for lease, _ in clocks], np.int32),
        "numbers": np.array([number for _, number in clocks], np.int64),
    }
    # What expiry cut out of chunks is open again, and names no home; it is sealed again by and by.
    found = [_cut_out(connection, lease_id, asked)]
    of_home: dict[str, Any] = {**asked, "home": lease_id}
    rows = connection.execute(sql("chunks_of_batches"), of_home, binary=True).fetchall()
    if rows:
        chunks = [Chunk(*row) for row in rows]
        parts = _by_batch(chunks, Chunks(chunks).take(), clocks)
        found += [parts[key] for key in clocks if key in parts]
    return joined([*found, _cut_out(connection, lease_id, asked)])


def _cut_out(connection: Connection, home: int, asked: dict[str, NDArray[Any]]) -> StoredReadings:
    """The readings of series homed in a shard in those open rows of batches that name no home."""
    rows = connection.execute(sql("rows_of_batches"), asked, binary=True).fetchall()
    found = readings_of(rows)
    if not rows:
        return found
    values = {"series": np.unique(found.series), "home": home}
    here = [row[0] for row in connection.execute(sql("homed_here"), values, binary=True)]
    return select(found, np.isin(found.series, np.array(here, np.int32)))


def _in_slots(
    connection: Connection, series: NDArray[np.int32], ts: Ints, begin: int, end: int
) -> list[Chunk]:
    """The chunks of series in the slots of times, given in pairs, of every width."""
    keys = []
    for width, length_us in enumerate(WIDTHS_US):
        pairs = np.unique(np.stack([series.astype(np.int64), ts // length_us]), axis=1)
        keys.append(np.stack([pairs[0], np.full(pairs.shape[1], width), pairs[1]]))
    of_series, widths, slots = np.concatenate(keys, axis=1)
    rows = connection.execute(
        sql("chunks_in_slots"),
        {
            "series": of_series.astype(np.int32),
            "widths": widths.astype(np.int16),
            "slots": slots.astype(np.int32),
            "begin": begin,
            "end": end,
        },
        binary=True,
    )
    return [Chunk(*row) for row in rows]


def _stored(connection: Connection, chunks: list[Chunk], found: Sealed) -> StoredReadings:
    """The readings with their arrival, for which their batches are looked up."""
    if not len(found.ts):
        return NOTHING
    lease = np.array([one.lease_id for one in chunks], np.int64)[found.chunk]
    pairs, inverse = np.unique(np.stack([lease, found.number]), axis=1, return_inverse=True)
    asked = {"leases": pairs[0].astype(np.int32), "numbers": pairs[1]}
    rows = connection.execute(sql("clocks"), asked, binary=True)
    clocks = {(lease_id, number): clock_s for lease_id, number, clock_s in rows}
    clock_s = np.array([clocks[key] for key in zip(*pairs.tolist(), strict=True)], np.int64)
    return _readings(found, clock_s[inverse.reshape(-1)])


def _by_batch(
    chunks: list[Chunk], found: Sealed, clocks: Mapping[Key, int]
) -> dict[Key, StoredReadings]:
    """The readings of these batches, each sorted by series and time."""
    lease = np.array([one.lease_id for one in chunks], np.int64)[found.chunk]
    order = np.lexsort((found.ts, found.series, found.number, lease))
    found, lease = found.take(order), lease[order]
    changes = (lease[1:] != lease[:-1]) | (found.number[1:] != found.number[:-1])
    edges = np.flatnonzero(np.append(np.append(True, changes), True))
    parts: dict[Key, StoredReadings] = defaultdict(lambda: NOTHING)
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        key = (int(lease[begin]), int(found.number[begin]))
        if key in clocks:
            part = found.take(slice(begin, end))
            parts[key] = _readings(part, np.full(end - begin, clocks[key], np.int64))
    return dict(parts)


def _readings(found: Sealed, clock_s: Ints) -> StoredReadings:
    return StoredReadings(
        found.series,
        found.ts,
        found.value,
        found.quality.astype(np.uint32),
        clock_s - found.arrived,
        (found.flags & CONFLICT) != 0,
        (found.flags & LATE) != 0,
    )


def joined(parts: list[StoredReadings]) -> StoredReadings:
    """Readings one after the other."""
    if not parts:
        return NOTHING
    return StoredReadings(
        np.concatenate([part.series for part in parts]),
        np.concatenate([part.ts for part in parts]),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.quality for part in parts]),
        np.concatenate([part.arrival_s for part in parts]),
        np.concatenate([part.conflict for part in parts]),
        np.concatenate([part.late for part in parts]),
    )
