"""Bytes of records → readings as columns, and rejects. Never raises for what a record holds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from floorlog.core.decode import careful, columns
from floorlog.core.decode.columns import COLUMN_NAMES, NONE, STRANGER, Columns, Names, Rows
from floorlog.core.decode.entry import Found
from floorlog.core.reading import Record, Reject
from floorlog.core.series import SeriesTable

_WHOLE_RECORD = -1


@dataclass(frozen=True, slots=True)
class Decoded:
    """Readings as columns of one length in order of arrival, and what could not be read."""

    row: NDArray[np.int32]  # row of the SeriesTable; STRANGER − n: that of `strangers` has none
    ts: NDArray[np.int64]  # µs UTC
    value: NDArray[np.float64]  # the number; 0 where a state is meant
    text: NDArray[np.int32]  # the state's place in `texts`, -1 = the value is a number
    texts: list[str]  # distinct state names
    unit: NDArray[np.int32]  # place in `units`, -1 = none given
    units: list[str]  # distinct unit codes, as given
    quality: NDArray[np.uint32]  # OPC UA status code
    arrival_s: NDArray[np.int64]  # the shard's clock when the record arrived
    record: NDArray[np.int32]  # the record's place in the batch
    element: NDArray[np.int32]  # the element's place in its record
    rejects: list[Reject]
    received: int  # readings offered, plus one for each input that could not be unpacked
    records: Sequence[Record]
    strangers: Sequence[tuple[str, str]] = ()  # device and metric that the table did not know

    def __len__(self) -> int:
        """Count of readings."""
        return len(self.row)

    def names(self, table: SeriesTable, row: int) -> tuple[str, str]:
        """Device and metric of a row, or of a stranger."""
        return table.keys[row] if row >= 0 else self.strangers[STRANGER - row]

    def placed(self, table: SeriesTable) -> "Decoded":
        """The same, with rows for the strangers that the table knows by now."""
        strange = self.row <= STRANGER
        if not strange.any():
            return self
        known = table.index.get
        rows = [known(key, STRANGER - place) for place, key in enumerate(self.strangers)]
        row = self.row.copy()
        row[strange] = np.array(rows, np.int32)[STRANGER - row[strange]]
        return replace(self, row=row)

    def take(self, which: NDArray[np.intp], row: NDArray[np.int32]) -> "Decoded":
        """The chosen readings, in the order chosen, with these rows; counts as they are."""
        return replace(
            self,
            row=row,
            ts=self.ts[which],
            value=self.value[which],
            text=self.text[which],
            unit=self.unit[which],
            quality=self.quality[which],
            arrival_s=self.arrival_s[which],
            record=self.record[which],
            element=self.element[which],
        )

    def data_of(self, which: Iterable[int]) -> list[bytes]:
        """The bytes that say each of the chosen readings, in the order chosen."""
        wanted: dict[int, list[tuple[int, int]]] = defaultdict(list)
        count = 0
        for count, place in enumerate(which, 1):
            wanted[int(self.record[place])].append((count - 1, int(self.element[place])))
        found = [b""] * count
        for record, places in wanted.items():
            entries = careful.entries(self.records[record].data)
            for place, element in places:
                entry = entries[element]
                found[place] = entry.text() if isinstance(entry, Found) else entry.data
        return found


def decode(
    records: Sequence[Record],
    table: SeriesTable,
    clocks: NDArray[np.int64],
) -> Decoded:
    """All readings of the records; `clocks` is the shard's clock in seconds at each record.

    The table stays as it is: names that it does not know are the batch's `strangers`.
    """
    rows, texts, units = Rows(table), Names(), Names((None, ""))
    wires, of, closed = columns.open_records(records)
    quick, doubtful = columns.read(wires, of, rows, texts, units)
    rejects: list[Reject] = []
    rest = sorted({*closed, *doubtful.tolist()})
    if rest:
        slow = _carefully(records, rest, _Slow(rows, texts, units, rejects))
        order = np.argsort(np.concatenate([quick.record, slow.record]), kind="stable")
        quick = columns.joined((quick, slow), order)  # no record is in both
    return Decoded(
        quick.row,
        quick.ts,
        quick.value,
        quick.text,
        texts.names,
        quick.unit,
        units.names,
        quick.quality,
        clocks[quick.record],
        quick.record,
        quick.element,
        rejects,
        len(quick.row) + len(rejects),
        records,
        rows.strangers,
    )


@dataclass(frozen=True, slots=True)
class _Slow:
    rows: Rows
    texts: Names
    units: Names
    rejects: list[Reject]


def _carefully(records: Sequence[Record], places: list[int], to: _Slow) -> Columns:
    """Read these records element by element; what is refused goes to the rejects."""
    found: list[tuple[float, ...]] = []
    for record in places:
        for element, entry in enumerate(careful.entries(records[record].data)):
            if isinstance(entry, Found):
                row = to.rows.of((entry.device, entry.metric))
                found.append(_reading(entry, row, to, record, element))
                continue
            place = _WHOLE_RECORD if entry.whole else element
            fault = entry.fault
            to.rejects.append(Reject(fault.code, fault.reason, entry.data, record, place))
    parts = zip(*found, strict=True) if found else [()] * len(COLUMN_NAMES)
    kinds = (np.int32, np.int64, np.float64, np.int32, np.int32, np.uint32, np.int32, np.int32)
    return Columns(*(np.array(part, kind) for part, kind in zip(parts, kinds, strict=True)))


def _reading(entry: Found, row: int, to: _Slow, record: int, element: int) -> tuple[float, ...]:
    value, text = (
        (0.0, to.texts[entry.value]) if isinstance(entry.value, str) else (entry.value, NONE)
    )
    return (
        row,
        entry.ts,
        value,
        text,
        to.units[entry.unit],
        entry.quality,
        record,
        element,
    )
