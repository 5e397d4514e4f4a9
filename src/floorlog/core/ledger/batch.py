"""The tree of one batch: its leaves in order, and their root.

First a leaf per device, with all of the device's readings in the batch, by first series id; then a
leaf per reject, by hash; per anomaly, by series id and hash; per gap, by hash. So the order depends
on nothing but what is stored, and what an asset leaves behind when it expires are few hashes.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from floorlog.core.ledger import form
from floorlog.core.ledger.tree import HASH_BYTES, root
from floorlog.core.reading import Batch, Kind
from floorlog.core.series import KnownSeries

# One reading: 64 bytes. The name is the series' digest; where the value is a state's code, the
# digest of series and state together.
RECORD = np.dtype(
    [
        ("name", f"V{HASH_BYTES}"),
        ("ts", ">i8"),  # µs UTC since 1970
        ("value", ">f8"),  # number or state code
        ("flags", ">u4"),
        ("quality", ">u4"),  # OPC UA status code
        ("arrival_s", ">i8"),  # s UTC since 1970
    ]
)
CONFLICT = 1
LATE = 2
READING_LEAF = bytes((0, form.READINGS, form.VERSION))

Names = NDArray[np.void]
Ints = NDArray[np.int64]


class Registry:
    """The digests of series and states, by which readings are named."""

    def __init__(self) -> None:
        self.digests: dict[int, bytes] = {}
        self._devices: dict[str, int] = {}
        self._pending: list[tuple[int, bytes, int, bool]] = []
        self._ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self._names: Names = np.zeros(0, f"V{HASH_BYTES}")
        self._device: NDArray[np.int64] = np.zeros(0, np.int64)
        self._is_state: NDArray[np.bool_] = np.zeros(0, np.bool_)
        self._states: dict[int, bytes] = {}
        self._named_states: dict[tuple[int, int], bytes] = {}

    def learn(self, series: Iterable[KnownSeries]) -> None:
        """Take these series over; what is known of a series never changes."""
        for one in series:
            if one.series_id in self.digests:
                continue
            digest = form.SERIES.digest(one.series_id, one.device, one.metric, one.kind, one.unit)
            self.digests[one.series_id] = digest
            device = self._devices.setdefault(one.device, len(self._devices))
            self._pending.append((one.series_id, digest, device, one.kind == Kind.STATE))

    def learn_states(self, states: Mapping[str, int]) -> None:
        """Take these names of states over, each with its code."""
        for name, code in states.items():
            if code not in self._states:
                self._states[code] = form.STATE.digest(code, name)

    def places(self, series: NDArray[np.int32] | Ints) -> NDArray[np.intp]:
        """Where these series stand in the columns. Raises KeyError for one that is not known."""
        self._settle()
        places = np.searchsorted(self._ids, series)
        found = self._ids[np.minimum(places, len(self._ids) - 1)] if len(self._ids) else self._ids
        if len(series) and (not len(found) or (found != series).any()):
            message = "a series without digest: learn it first"
            raise KeyError(message)
        return places

    def devices(self, places: NDArray[np.intp]) -> Ints:
        """A number for each device, the same for all of its series."""
        return self._device[places]

    def names(self, places: NDArray[np.intp], value: NDArray[np.float64]) -> Names:
        """The name of each reading."""
        names = self._names[places]
        of_states = np.flatnonzero(self._is_state[places])
        if len(of_states):
            for at in of_states.tolist():
                names[at] = np.void(self._named_state(int(places[at]), int(value[at])))
        return names

    def name(self, series_id: int, value: float) -> bytes:
        """The name of one value of a series. Raises KeyError, ValueError for what is not known."""
        places = self.places(np.array([series_id], np.int64))
        return bytes(self.names(places, np.array([value]))[0])

    def _named_state(self, place: int, code: int) -> bytes:
        series_id = int(self._ids[place])
        known = self._named_states.get((series_id, code))
        if known is None:
            known = form.NAMED_STATE.digest(self.digests[series_id], self._states[code])
            self._named_states[series_id, code] = known
        return known

    def _settle(self) -> None:
        """Merge what was learnt into the columns, which are sorted by id."""
        if not self._pending:
            return
        ids, digests, devices, states = zip(*self._pending, strict=True)
        self._pending.clear()
        every = np.append(self._ids, np.array(ids, np.int64))
        order = np.argsort(every, kind="stable")
        fresh = np.frombuffer(b"".join(digests), f"V{HASH_BYTES}")
        self._ids = every[order]
        self._names = np.concatenate([self._names, fresh])[order]
        self._device = np.append(self._device, np.array(devices, np.int64))[order]
        self._is_state = np.append(self._is_state, np.array(states, np.bool_))[order]


@dataclass(frozen=True, slots=True)
class Columns:
    """Readings as columns of one length, sorted by (batch, series, ts, order of arrival)."""

    series: NDArray[np.int32]
    ts: Ints
    value: NDArray[np.float64]
    quality: NDArray[Any]
    arrival_s: Ints
    conflict: NDArray[np.bool_]
    late: NDArray[np.bool_]
    batch: Ints | None = None  # a number for each reading's batch; None: all of one


def groups(columns: Columns, registry: Registry) -> tuple[NDArray[np.intp] | None, Ints]:
    """An order of the readings (None: as they are) in which leaves lie together; their begins.

    The last begin is the count of readings.
    """
    key = registry.devices(registry.places(columns.series))
    if columns.batch is not None:
        key = columns.batch * (int(key.max(initial=0)) + 1) + key
    return _grouped(key)


def records_of(columns: Columns, registry: Registry) -> tuple[NDArray[Any], Ints]:
    """The readings as records in the order of their leaves, and where each leaf begins."""
    order, begins = groups(columns, registry)
    return records_in(columns, registry, order), begins


def records_in(
    columns: Columns, registry: Registry, order: NDArray[np.intp] | None
) -> NDArray[Any]:
    """The readings as records, in an order that `groups` found."""
    records = np.empty(len(columns.series), RECORD)
    records["name"] = registry.names(registry.places(columns.series), columns.value)
    records["ts"] = columns.ts
    records["value"] = columns.value
    records["flags"] = columns.conflict * CONFLICT + columns.late * LATE
    records["quality"] = columns.quality
    records["arrival_s"] = columns.arrival_s
    return records if order is None else records[order]


def _grouped(key: Ints) -> tuple[NDArray[np.intp] | None, Ints]:
    """An order (None: as it is) in which equal keys lie together, those first seen first."""
    begins = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else key[:0]
    keys = key[begins]
    if len(np.unique(keys)) == len(keys):
        return None, np.append(begins, len(key))
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    order = np.argsort(first[inverse], kind="stable")
    return order, _grouped(key[order])[1]


def reading_leaves(records: NDArray[Any], begins: Ints) -> list[bytes]:
    """The hash of each leaf of readings."""
    if len(begins) < 2:
        return []
    content = memoryview(records.tobytes())
    edges = (begins * RECORD.itemsize).tolist()
    sha256 = hashlib.sha256
    return [sha256(READING_LEAF + content[begin:end]).digest() for begin, end in pairwise(edges)]


def columns_of(batch: Batch) -> Columns:
    """The readings of a batch."""
    kept = batch.readings
    return Columns(
        batch.series, kept.ts, kept.value, kept.quality, kept.arrival_s, batch.conflict, batch.late
    )


def event_leaves(batch: Batch, registry: Registry) -> list[bytes]:
    """The hashes of rejects, anomalies and gaps, in order."""
    rejects = sorted(
        form.REJECT.digest(
            str(sequence), bad.element, str(bad.code), storable(bad.reason), bad.data
        )
        for bad, sequence in zip(batch.rejects, batch.reject_sequences, strict=True)
    )
    anomalies = sorted(
        (
            series_id,
            form.ANOMALY.digest(
                registry.digests[series_id], one.severity, one.phase, one.detector, one.start,
                one.at, float(one.score), float(one.value), float(one.expected),
                storable(one.reason),
            ),
        )
        for one, series_id in zip(batch.anomalies, batch.anomaly_series, strict=True)
    )  # fmt: skip
    gaps = sorted(form.GAP.digest(one.begin, one.end, storable(one.cause)) for one in batch.gaps)
    return rejects + [digest for _, digest in anomalies] + gaps


def leaves_of(batch: Batch, registry: Registry) -> list[bytes]:
    """The hashes of all leaves of a batch, in order."""
    found = reading_leaves(*records_of(columns_of(batch), registry)) if len(batch.series) else []
    if batch.rejects or batch.anomalies or batch.gaps:
        found += event_leaves(batch, registry)
    return found


def root_of(batch: Batch, registry: Registry) -> tuple[int, bytes]:
    """What a batch's entry says of its leaves: how many, and their root."""
    leaves = leaves_of(batch, registry)
    return len(leaves), root(leaves)


def storable(text: str) -> str:
    """Words about bad input may quote it: PostgreSQL takes neither NUL nor lone surrogates."""
    return text.encode(errors="backslashreplace").decode().replace("\0", "\\0")
