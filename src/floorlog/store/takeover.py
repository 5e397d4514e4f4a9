"""What a consumer reads of the record: to take over, to check, and to keep its marks right."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from floorlog.core.detect import aside
from floorlog.core.protocol import (
    Fenced,
    ForeignReadings,
    Lease,
    Standing,
    StoredBatch,
    StoredState,
)
from floorlog.core.reading import Kind
from floorlog.core.series import KnownSeries
from floorlog.store import sealed
from floorlog.store.link import Connection, transaction
from floorlog.store.open_row import NOTHING, readings_of, sort
from floorlog.store.queries import sql
from floorlog.store.state import unpacked


def known(rows: Iterable[tuple[Any, ...]]) -> tuple[KnownSeries, ...]:
    """Rows of id, device, metric, kind, unit and home as series."""
    return tuple(
        KnownSeries(series_id, device, metric, Kind(kind), unit, home)
        for series_id, device, metric, kind, unit, home in rows
    )


def load(connection: Connection, lease: Lease) -> StoredState | Fenced:
    """The last snapshot, what came after it, and all names."""
    own = {"lease_id": lease.lease_id}
    with transaction(connection, "begin_snapshot"):
        connection.execute(sql("be_patient"))
        held = connection.execute(sql("lease_epoch"), own, binary=True).fetchone()
        if held is None or held[0] != lease.epoch:
            return Fenced()
        leases = [lease.lease_id, *lease.parents]
        rows = connection.execute(sql("snapshots"), {"leases": leases}, binary=True).fetchall()
        stored = [(who, number, unpacked(blob)) for who, number, blob in rows]
        mine = next(
            ((number, state) for who, number, state in stored if who == lease.lease_id), None
        )
        known_up_to = mine[0] if mine else 0
        tail = _tail(connection, lease.lease_id, known_up_to) if held[1] > known_up_to else ()
        series = connection.execute(sql("all_series"), binary=True).fetchall()
        hashes = connection.execute(sql("key_hashes"), own, binary=True).fetchall()
        states = connection.execute(sql("states"), binary=True).fetchall()
        versions = sorted({batch.catalogue for batch in tail})
        catalogues = connection.execute(
            sql("catalogues"), {"versions": versions}, binary=True
        ).fetchall()
    return StoredState(
        snapshot=mine[1] if mine else None,
        # Until this shard keeps a state of its own, it starts from its parents'.
        parent_snapshots=()
        if mine
        else tuple(state for who, _, state in stored if who != lease.lease_id),
        tail=tail,
        series=known(series),
        hashes={series_id: int(key_hash) for series_id, key_hash in hashes},
        states=dict(states),
        catalogues={version: body.encode() for version, body in catalogues},
    )


def _tail(connection: Connection, lease_id: int, number: int) -> tuple[StoredBatch, ...]:
    above = {"lease_id": lease_id, "number": number}
    heads = connection.execute(sql("batches_above"), above, binary=True).fetchall()
    rows: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for row in connection.execute(sql("rows_above"), above, binary=True):
        rows[row[0]].append(row[1:])
    clocks = {number: clock_s for number, clock_s, _ in heads}
    said: defaultdict[int, list[tuple[str, int, int]]] = defaultdict(list)
    for batch, *one in connection.execute(sql("set_asides_above"), above, binary=True):
        said[batch].append((one[0], one[1], one[2]))
    parts = sealed.of_shard(connection, lease_id, number, clocks) if heads else {}
    return tuple(
        StoredBatch(
            number,
            clock_s,
            catalogue,
            sort(sealed.joined([readings_of(rows[number]), parts.get(number, NOTHING)])),
            aside.recorded(said[number]),
        )
        for number, clock_s, catalogue in heads
    )


def check(connection: Connection, lease: Lease) -> Standing:
    """Where the lease stands, once every commit under way is done."""
    with transaction(connection):
        row = connection.execute(
            sql("standing"), {"lease_id": lease.lease_id}, binary=True
        ).fetchone()
    assert row is not None, "leases are never removed"
    epoch, checkpoint, number, version, now = row
    return Standing(epoch, int(checkpoint), number, version, now)


def foreign(connection: Connection, lease_id: int, since: int) -> ForeignReadings:
    """What other shards stored of series homed here above a version, in the order of versions."""
    row = connection.execute(sql("lease_version"), {"lease_id": lease_id}, binary=True).fetchone()
    assert row is not None, "leases are never removed"
    version = row[0]
    if version == since:
        return ForeignReadings(NOTHING, version)
    rows = connection.execute(
        sql("foreign_rows"),
        {"lease_id": lease_id, "since": since, "version": version},
        binary=True,
    ).fetchall()
    since_sealed = sealed.foreign(connection, lease_id, since, version)
    # What is sealed was stored before what is still open.
    return ForeignReadings(sealed.joined([since_sealed, readings_of(rows)]), version)
