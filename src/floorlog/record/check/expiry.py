"""What expired: each run of leaves that is gone was declared in the log, by one expiry."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from floorlog.core.ledger import form
from floorlog.core.ledger.tree import HASH_BYTES, Growing, Run, complete
from floorlog.record.check.finding import Findings, spans
from floorlog.record.check.log import numbers_of
from floorlog.record.rows import Connection, Row, Rows

EXPIRING = {"21": 21, "22": 22}  # events of alarms, corrections


def runs_of(rows: Sequence[Row]) -> list[Run]:
    """The runs of leaves that are gone from a batch, by rows of the query `expired`.

    Raises:
        ValueError: a row is not as expiry writes it.
    """
    runs: list[Run] = []
    for row in rows:
        begins, ends, hashes = numbers_of(row[5]), numbers_of(row[6]), bytes.fromhex(row[7])
        if len(hashes) % HASH_BYTES:
            message = "hashes of what expired are cut off"
            raise ValueError(message)
        place = 0
        for begin, end in zip(begins, ends, strict=True):
            size = HASH_BYTES * sum(1 for _ in complete(begin, end))
            part = hashes[place : place + size]
            cut = range(0, len(part), HASH_BYTES)
            runs.append((begin, end, [part[n : n + HASH_BYTES] for n in cut]))
            place += size
        if place != len(hashes):
            message = "hashes of what expired are too many"
            raise ValueError(message)
    runs.sort(key=lambda run: run[0])
    if any(one[1] > other[0] for one, other in pairwise(runs)):
        message = "what expired overlaps"
        raise ValueError(message)
    return runs


def digest_of_expired(row: Row) -> bytes:
    """The leaf of what one batch lost in one expiry. Raises ValueError."""
    pairs = zip(numbers_of(row[5]), numbers_of(row[6]), strict=True)
    spans = ",".join(f"{begin}:{end}" for begin, end in pairs)
    return form.EXPIRED.digest(row[1], spans, bytes.fromhex(row[7]), row[3], row[4])


@dataclass(slots=True)
class _Sum:
    """What the rows of one expiry add up to."""

    tree: Growing = field(default_factory=Growing)
    readings: int = 0
    rejects: int = 0
    places: list[tuple[int, int]] = field(default_factory=list)  # lease, number

    @property
    def leases(self) -> set[int]:
        """The shards."""
        return {lease_id for lease_id, _ in self.places}

    @property
    def numbers(self) -> list[int]:
        """The batches."""
        return [number for _, number in self.places]

    def by_shard(self) -> Iterator[tuple[int, list[int]]]:
        """The batches of each shard, ascending."""
        for lease_id in sorted(self.leases):
            yield lease_id, sorted(number for one, number in self.places if one == lease_id)


class Expiries:
    """The expiries of a record, and what was seen of them beside the batches.

    Attributes:
        events: (kind, number) of the events that are gone by declaration.
        count, readings: of all expiries.
    """

    def __init__(self, connection: Connection) -> None:
        self._rows: dict[int, Row] = {}
        self._sums: dict[int, _Sum] = {}
        self.events: set[tuple[int, int]] = set()
        self.readings = 0
        rows = Rows(connection, "expiries", {})
        while page := rows.page():
            for row in page:
                self._rows[row[0]] = row
                self.readings += row[6]
                self.events.update(_events(row[9]))

    @property
    def rows(self) -> list[Row]:
        """The rows of the query `expiries`."""
        return list(self._rows.values())

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self._rows)

    def series(self, rows: Sequence[Row]) -> set[int]:
        """The series of which something is gone from a batch, by its rows of `expired`."""
        known = [self._rows[row[2]] for row in rows if row[2] in self._rows]
        try:
            return {one for row in known for one in numbers_of(row[4])}
        except ValueError:
            return set()

    def see(self, rows: Sequence[Row]) -> None:
        """Take note of what a batch lost. Raises ValueError for a row that is not as written."""
        for row in rows:
            found = self._sums.setdefault(row[2], _Sum())
            found.tree.add(digest_of_expired(row))
            found.readings += row[3]
            found.rejects += row[4]
            found.places.append(row[:2])

    def finish(self, findings: Findings, names: Mapping[int, str]) -> None:
        """Compare what was seen of each expiry with what it says; names: of shards, by lease."""
        for number in sorted(self._rows.keys() | self._sums.keys()):
            row, found = self._rows.get(number), self._sums.get(number, _Sum())
            if row is None:
                says = f"was declared by no expiry: {number} is not there"
                for lease_id, numbers in found.by_shard():
                    says_of = f"what expired in batches {spans(numbers)} {says}"
                    findings.evidence(
                        "expiry", says_of, shard=names.get(lease_id, f"lease {lease_id}")
                    )
                continue
            ends = (min(found.numbers, default=None), max(found.numbers, default=None))
            seen = (*ends, len(found.numbers), found.readings, found.rejects, found.tree.root())
            if seen != (row[2], row[3], row[5], row[6], row[7], row[10]) or found.leases != {
                row[11]
            }:
                says = f"what stands for what expired is not what expiry {number} left in batches"
                findings.evidence("expiry", f"{says} {row[2]} to {row[3]}", shard=row[14])
                for lease_id, numbers in found.by_shard():
                    others = [one for one in numbers if not row[2] <= one <= row[3]]
                    if lease_id != row[11] or others:
                        says = f"batches {spans(others or numbers)} have none of expiry {number}"
                        findings.evidence(
                            "expiry", says, shard=names.get(lease_id, f"lease {lease_id}")
                        )


def _events(text: str) -> Iterator[tuple[int, int]]:
    """Kind and number of what went as well: nothing else than EXPIRING may."""
    for one in text.split(","):
        kind, colon, number = one.partition(":")
        if colon and kind in EXPIRING and number.isdecimal():
            yield EXPIRING[kind], int(number)
