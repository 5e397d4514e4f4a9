"""One batch, one transaction, one round trip."""

from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from floorlog.core.ledger.batch import columns_of, storable
from floorlog.core.ledger.locator import locator_of
from floorlog.core.protocol import (
    Commit,
    Committed,
    Failed,
    Fenced,
    Refused,
    Stale,
    Unknown,
)
from floorlog.core.reading import Batch
from floorlog.store.link import Connection
from floorlog.store.open_row import rows_of
from floorlog.store.outcome import CLIENT_ERRORS, judge
from floorlog.store.queries import sql
from floorlog.store.state import packed

Hints = tuple[NDArray[np.int32], NDArray[np.int32]]
UNSEEN = -(2**31)
# How exactly the record says where a series' newest reading is. Shorter: more updates; longer: more
# rows to look through for a series that went quiet.
WINDOW_US = 300_000_000


class Committer:
    """Commits the batches of one connection.

    Attributes:
        versions: of the leases that the last lookup locked: nobody can raise them meanwhile.
    """

    def __init__(self, lease_s: float) -> None:
        self.versions: dict[int, int] = {}
        self._lease_s = float(lease_s)
        # By series: the window that the record was last told. Not the greatest: expiry lowers what
        # the record holds.
        self._newest: NDArray[np.int32] = np.full(1024, UNSEEN, np.int32)

    def commit(
        self, connection: Connection, command: Commit
    ) -> Committed | Stale | Fenced | Refused | Unknown | Failed:
        """Send the whole transaction at once; the fence comes last, so that its lock is short.

        With `locked` the transaction is open already. With `probe` it is left open,
        for the caller to roll back.
        """
        batch = command.batch
        assert command.locked or not batch.moved, "foreign series are looked up first"
        hints = self._hints(batch)
        try:
            with connection.pipeline():
                if not command.locked:
                    connection.execute(sql("begin"))
                self._send(connection, batch, hints)
                fence = connection.execute(sql("advance"), self._step(batch), binary=True)
                # A probe's ROLLBACK is the caller's, outside the pipeline: psycopg forgets its
                # prepared statements with it, and one that it sent meanwhile would be lost.
                end = None if command.probe else connection.execute(sql("commit"))
            row = fence.fetchone()
        except (psycopg.Error, *CLIENT_ERRORS) as error:
            if isinstance(error, psycopg.errors.InvalidSqlStatementName):
                connection.close()  # psycopg and the session disagree: only a new session helps
            return judge(error, connection_lost=connection.closed)
        assert row is not None, "the function returns one row or raises"
        if end is not None:
            # COMMIT of a transaction that failed answers ROLLBACK, without an error.
            if end.statusmessage != "COMMIT":
                return Failed("the transaction was rolled back")
            self._newest[hints[0]] = hints[1]
        now, wanted, newer, body = row
        catalogue = None if newer is None else (newer, body.encode())
        return Committed(batch.version, now, wanted, catalogue)

    def _send(self, connection: Connection, batch: Batch, hints: Hints) -> None:
        place = {"lease_id": batch.lease_id, "number": batch.number}
        self._send_readings(connection, batch, place)
        for name, parameters in events_of(batch):
            connection.execute(sql(name), {**place, **parameters})
        if len(hints[0]):
            connection.execute(sql("raise_newest"), {"series": hints[0], "windows": hints[1]})
        if batch.moved:
            moved = np.array(batch.moved, np.int32)
            connection.execute(sql("raise_versions"), {"moved": moved})
        if batch.snapshot is not None:
            connection.execute(
                sql("keep_snapshot"),
                {
                    "lease_id": batch.lease_id,
                    "number": batch.snapshot_number,
                    "state": packed(batch.snapshot),
                },
            )

    def _send_readings(self, connection: Connection, batch: Batch, place: dict[str, int]) -> None:
        for part, row in enumerate(rows_of(batch)):
            home_version = None if row.home is None else self.versions[row.home] + 1
            connection.execute(
                sql("add_open_row"),
                {
                    **place,
                    "part": part,
                    "clock_s": batch.clock_s,
                    "home": row.home,
                    "home_version": home_version,
                    "t_min": row.t_min,
                    "t_max": row.t_max,
                    "slot": row.slot,
                    "width": row.width,
                    "tick_us": row.tick_us,
                    "series": row.series,
                    "ts": row.ts,
                    "ts_wide": row.ts_wide,
                    "value": row.value,
                    "quality": row.quality,
                    "arrived": row.arrived,
                    "conflict": row.conflict,
                    "late": row.late,
                },
            )

    def _step(self, batch: Batch) -> dict[str, Any]:
        counts = batch.counts
        counted = np.array(
            [
                counts.records,
                counts.received,
                counts.stored,
                counts.rejected,
                counts.duplicate,
                counts.conflict,
                len(batch.gaps),
            ],
            np.int64,
        )
        return {
            "lease_id": batch.lease_id,
            "epoch": batch.epoch,
            "number": batch.number,
            "version": batch.version,
            "checkpoint": str(batch.checkpoint),
            "sequence": str(batch.sequence),
            "clock_s": batch.clock_s,
            "read_at": batch.read_at,
            "behind_ms": batch.behind_ms,
            "catalogue": batch.catalogue,
            "counted": counted,
            "leaves": batch.leaves,
            "root": batch.root,
            "ended": batch.ended,
            "lease_s": self._lease_s,
            "locator": locator_of(columns_of(batch)),
        }

    def _hints(self, batch: Batch) -> Hints:
        """Series whose newest window is another than the record was last told."""
        series = batch.series
        if not len(series):
            return series, series
        last = np.flatnonzero(np.append(series[1:] != series[:-1], True))
        newest = series[last]
        windows = (batch.readings.ts[last] // WINDOW_US).astype(np.int32)
        if newest[-1] >= len(self._newest):
            more = max(int(newest[-1]) + 1, 2 * len(self._newest)) - len(self._newest)
            self._newest = np.append(self._newest, np.full(more, UNSEEN, np.int32))
        raised = windows != self._newest[newest]
        return newest[raised], windows[raised]


def events_of(batch: Batch) -> list[tuple[str, dict[str, Any]]]:
    """The rare parts of a batch: names of queries and their parameters."""
    events: list[tuple[str, dict[str, Any]]] = []
    if batch.rejects:
        events.append(("add_rejects", _rejects(batch)))
    if batch.anomalies:
        found = _anomalies(batch)
        events += [("add_anomalies", found), ("raise_alarms", {**found, **_alarms(batch)})]
    if batch.conflict.any():
        readings = batch.readings.take(batch.conflict)
        events.append(
            (
                "add_conflicts",
                {
                    "series": batch.series[batch.conflict],
                    "ts": readings.ts,
                    "values": readings.value,
                    "qualities": readings.quality.astype(np.int64),
                },
            )
        )
    if batch.calibration:
        series, ready = zip(*batch.calibration, strict=True)
        told = {"series": np.array(series, np.int32), "ready": list(ready)}
        events.append(("tell_calibration", {**told, "clock_s": batch.clock_s}))
    if batch.gaps:
        events.append(
            (
                "add_gaps",
                {
                    "begins": np.array([gap.begin for gap in batch.gaps], np.int64),
                    "ends": np.array([gap.end for gap in batch.gaps], np.int64),
                    "causes": [storable(gap.cause) for gap in batch.gaps],
                },
            )
        )
    return events


def _rejects(batch: Batch) -> dict[str, Any]:
    return {
        "sequences": [str(sequence) for sequence in batch.reject_sequences],
        "elements": np.array([bad.element for bad in batch.rejects], np.int32),
        "codes": [str(bad.code) for bad in batch.rejects],
        "reasons": [storable(bad.reason) for bad in batch.rejects],
        "data": [bad.data for bad in batch.rejects],
    }


def _alarms(batch: Batch) -> dict[str, Any]:
    asked = batch.alarms or [(one.severity, False) for one in batch.anomalies]
    return {
        "priorities": np.array([priority for priority, _ in asked], np.int16),
        "latches": [latch for _, latch in asked],
    }


def _anomalies(batch: Batch) -> dict[str, Any]:
    found = batch.anomalies
    return {
        "series": np.array(batch.anomaly_series, np.int32),
        "severities": np.array([one.severity for one in found], np.int16),
        "phases": [one.phase for one in found],
        "detectors": [one.detector for one in found],
        "starts": np.array([one.start for one in found], np.int64),
        "ats": np.array([one.at for one in found], np.int64),
        "scores": np.array([one.score for one in found], np.float64),
        "values": np.array([one.value for one in found], np.float64),
        "expected": np.array([one.expected for one in found], np.float64),
        "reasons": [storable(one.reason) for one in found],
    }
