"""A dry run: what records would become if they were sent, told by the worker's own steps.

Nothing is stored and nothing is sent. What the record holds already is not looked up: readings that
are there would be duplicates, and only the real import tells how many.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np

from floorlog.core.backtest import LEASE, register
from floorlog.core.catalogue import Catalogue
from floorlog.core.draft import Outcome
from floorlog.core.pipeline import Pipeline
from floorlog.core.reading import Kind, Record
from floorlog.errors import InputError
from floorlog.record.act.mend import advice
from floorlog.record.act.reject import shown
from floorlog.source.pack import Packed

BATCH_READINGS = 20_000
SERIES_MAX = 20_000
SERIES_SHOWN_MAX = 500
EXAMPLES_MAX = 3  # of each code
EXAMPLE_BYTES = 300
FINDINGS_SHOWN_MAX = 20
NEVER = np.iinfo(np.int64)

Tell = Callable[[int], None]
"""Told of the readings so far."""


class SeriesSeen(msgspec.Struct, frozen=True):
    """A series of the file: its readings, and the first and last of their times (µs UTC)."""

    device: str
    metric: str
    kind: str
    unit: str | None
    readings: int
    begin: int
    end: int
    is_new: bool


class RejectSeen(msgspec.Struct, frozen=True):
    """An input that would be refused, as an example of its kind, and how to mend it."""

    code: str
    reason: str
    mend: str
    text: str


class FindingSeen(msgspec.Struct, frozen=True):
    """A finding that would begin; µs UTC."""

    device: str
    metric: str
    detector: str
    start: int
    reason: str


class Rehearsal(msgspec.Struct, frozen=True):
    """What records would become, in readings; lists are cut, counts are not."""

    received: int
    stored: int
    rejected: int
    duplicate: int
    conflict: int
    late: int
    series: int
    new_series: int
    listed: list[SeriesSeen]
    rejects: dict[str, int]
    examples: list[RejectSeen]
    findings: int
    found: list[FindingSeen]


def rehearse(
    records: Iterable[Packed],
    catalogue: Catalogue,
    version: int,
    known: Sequence[tuple[str, str]],
    now_us: int,
    tell: Tell = lambda _: None,
) -> Rehearsal:
    """Run records through decode, validation and detectors as a worker with a new record would.

    Args:
        records: as they would be sent.
        catalogue: the one that would judge them.
        version: of the catalogue.
        known: device and metric of the series that the record has already.
        now_us: when they would arrive, µs UTC.
        tell: hears of the progress.

    Raises:
        InputError: there are more than 20,000 series: a column that is no device or metric is taken
            for one.
    """
    made = _Rehearsal(catalogue, version)
    waiting: list[Record] = []
    held = 0
    for number, (entry, readings) in enumerate(records):
        waiting.append(Record(number, entry.partition_key, now_us, entry.data))
        held += readings
        if held >= BATCH_READINGS:
            made.batch(waiting)
            tell(made.counts["received"])
            waiting, held = [], 0
    if waiting:
        made.batch(waiting)
    tell(made.counts["received"])
    return made.report({*known})


class _Rehearsal:
    """The state of one dry run."""

    def __init__(self, catalogue: Catalogue, version: int) -> None:
        self.pipeline = Pipeline(LEASE)
        self.pipeline.adopt(version, catalogue.encode())
        self.counts: Counter[str] = Counter()
        self.codes: Counter[str] = Counter()
        self.examples: list[RejectSeen] = []
        self.findings = 0
        self.found: list[FindingSeen] = []
        self.late = 0
        self.first = np.zeros(0, np.int64)
        self.last = np.zeros(0, np.int64)
        self.readings = np.zeros(0, np.int64)

    def batch(self, records: Sequence[Record]) -> None:
        """One batch, as the worker takes it, without the commit."""
        pipeline = self.pipeline
        draft = pipeline.draft(records)
        register(pipeline, draft)
        if len(pipeline.table) > SERIES_MAX:
            raise InputError(
                f"the file names more than {SERIES_MAX} series",
                where="dry run",
                fix="see that the columns of device and metric are the right ones",
            )
        question = pipeline.inspect(draft)
        outcome = pipeline.settle(draft, question, None)
        pipeline.accept(outcome)
        self._count(outcome)

    def _count(self, outcome: Outcome) -> None:
        for name in ("received", "stored", "rejected", "duplicate", "conflict"):
            self.counts[name] += getattr(outcome.counts, name)
        self.late += int(outcome.late.sum())
        for refused in outcome.rejects:
            code = str(refused.code)
            self.codes[code] += 1
            if self.codes[code] <= EXAMPLES_MAX:
                text = shown(refused.data[:EXAMPLE_BYTES])
                self.examples.append(RejectSeen(code, refused.reason, advice(code), text))
        starts = [one for one in outcome.anomalies if one.phase == "start"]
        self.findings += len(starts)
        keys = self.pipeline.table.keys
        for one in starts[: max(0, FINDINGS_SHOWN_MAX - len(self.found))]:
            self.found.append(FindingSeen(*keys[one.row], one.detector, one.start, one.reason))
        self._cover(outcome)

    def _cover(self, outcome: Outcome) -> None:
        more = len(self.pipeline.table) - len(self.first)
        self.first = np.append(self.first, np.full(more, NEVER.max))
        self.last = np.append(self.last, np.full(more, NEVER.min))
        self.readings = np.append(self.readings, np.zeros(more, np.int64))
        stored = outcome.stored
        np.minimum.at(self.first, stored.row, stored.ts)
        np.maximum.at(self.last, stored.row, stored.ts)
        np.add.at(self.readings, stored.row, 1)

    def report(self, known: set[tuple[str, str]]) -> Rehearsal:
        """What it came to."""
        table = self.pipeline.table
        rows = np.flatnonzero(self.readings).tolist()
        listed = [
            SeriesSeen(
                *table.keys[row],
                "state" if table.kind[row] == Kind.STATE else "number",
                table.units[row], int(self.readings[row]), int(self.first[row]),
                int(self.last[row]), table.keys[row] not in known,
            )
            for row in rows
        ]  # fmt: skip
        listed.sort(key=lambda one: (one.device, one.metric))
        return Rehearsal(
            **self.counts,
            late=self.late,
            series=len(rows),
            new_series=sum(one.is_new for one in listed),
            listed=listed[:SERIES_SHOWN_MAX],
            rejects=dict(self.codes.most_common()),
            examples=self.examples,
            findings=self.findings,
            found=self.found,
        )
