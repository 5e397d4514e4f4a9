"""What the API gives: the types from which its document is made. Times are µs UTC since 1970."""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from floorlog.core.alarm import State
from floorlog.store.alarms import AlarmEvent, StoredAlarm
from floorlog.web.api.health import Health
from floorlog.web.board import Description, Shown, Value

Tally = Annotated[int, Meta(ge=0)]


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool


class Pulse(Struct, frozen=True):
    """How the pipeline is; the faults are null when there are none."""

    now: int
    health: Health | None
    cache: str | None
    record: str | None
    left_out: int


class LastValues(Struct, frozen=True):
    """Series with their last values, as the live feed's first event has them."""

    now: int
    series: list[Description]
    values: list[Value]
    cache: str | None


class RecentSeries(Struct, frozen=True):
    """One series by its index: its newest value's time, and values, the oldest first."""

    series: int
    ts: int
    values: list[float]


class Recent(Struct, frozen=True):
    """What series of numbers were lately.

    Values are at least `step_us` apart, and rounded to what a small picture shows.
    """

    step_us: int
    rows: list[RecentSeries]


class Findings(Struct, frozen=True):
    """Anomalies, newest first; `end` is null while they last."""

    findings: list[Shown]


class ShardCounts(Struct, frozen=True):
    """One shard's counts, in readings; `lag` in ms."""

    records: Tally
    received: Tally
    stored: Tally
    rejected: Tally
    duplicate: Tally
    conflict: Tally
    gaps: Tally
    lag: int
    owner: str | None
    ended: bool


class TotalCounts(Struct, frozen=True):
    """Counts over every shard there ever was."""

    records: Tally
    received: Tally
    stored: Tally
    rejected: Tally
    duplicate: Tally
    conflict: Tally
    gaps: Tally


class Counts(Struct, frozen=True):
    """Counts in total and by shard, and the last day's rejects by code."""

    total: TotalCounts
    shards: dict[str, ShardCounts]
    rejects_last_day: dict[str, int]


class Row(Struct, frozen=True, array_like=True):
    """A reading: time, number or state, OPC UA status code, flags, and its correction or null.

    Flags: 1 contradicts an earlier reading of its time, 2 late, 4 corrected.
    """

    ts: int
    value: float | str
    quality: int
    flags: int
    corrected: float | str | None = None


class Readings(Struct, frozen=True):
    """Readings of one series, oldest first; `next` leads to the following page."""

    device: str
    metric: str
    truncated: bool
    readings: list[Row]
    next: str | None


class Bucket(Struct, frozen=True, array_like=True):
    """Readings of one bucket: its extremes with their own times, mean, count, how many Good.

    From roll-ups the time of an extreme is when its minute or half hour begins.
    """

    begin: int
    low: float
    low_at: int
    high: float
    high_at: int
    mean: float
    count: Tally
    good: Tally


class Trend(Struct, frozen=True):
    """A series of numbers, down-sampled: no extreme is lost."""

    device: str
    metric: str
    width: Annotated[int, Meta(gt=0, description="length of a bucket, µs")]
    source: Literal["readings", "minutes", "half hours"]
    buckets: list[Bucket]


class Span(Struct, frozen=True, array_like=True):
    """A series of states was in one from `begin` until `end`, the last reading that said so."""

    begin: int
    end: int
    state: str


class States(Struct, frozen=True):
    """A series of states as spans, oldest first."""

    device: str
    metric: str
    truncated: bool
    spans: list[Span]


class SeriesEntry(Struct, frozen=True):
    """A series and what the catalogue expects of it."""

    device: str
    metric: str
    kind: Literal["number", "state"]
    unit: str | None
    asset: str


class SeriesPage(Struct, frozen=True):
    """Series by device and metric."""

    series: list[SeriesEntry]
    next: str | None


class DeviceEntry(Struct, frozen=True):
    """A device: its asset and its metrics."""

    device: str
    asset: str
    metrics: list[str]


class DevicePage(Struct, frozen=True):
    """Devices by name."""

    devices: list[DeviceEntry]
    next: str | None


class AlarmEntry(Struct, frozen=True):
    """An alarm as it stands.

    `reason` is its last finding in words; `event`, `actor` and `comment` are of its last event.
    `grouped` says why the plant's alarm budget suppressed it; empty unless it did.
    """

    device: str
    metric: str
    detector: str
    asset: str
    state: State
    active: bool
    latch: bool
    priority: str
    raised: int
    until: int | None
    changed: int
    event_id: int
    reason: str
    event: str
    actor: str
    comment: str
    first_out: bool
    grouped: str


class FloodEntry(Struct, frozen=True):
    """A time in which alarms came faster than a person can follow; it lasts while `end` is null."""

    begin: int
    end: int | None
    alarms: Tally


class AlarmPage(Struct, frozen=True):
    """Alarms, the most urgent first; `flood` is null unless one lasts now."""

    alarms: list[AlarmEntry]
    flood: FloodEntry | None
    next: str | None


class AlarmEventEntry(Struct, frozen=True):
    """One event of an alarm."""

    event_id: int
    recorded: int
    device: str
    metric: str
    detector: str
    event: str
    at: int
    start: int
    before: State
    after: State
    active: bool
    priority: str
    actor: str
    reason: str
    until: int | None


class AlarmEventPage(Struct, frozen=True):
    """Events of alarms, newest first."""

    events: list[AlarmEventEntry]
    next: str | None


class AlarmCount(Struct, frozen=True):
    """An alarm with a number: how often, or for how many hours."""

    device: str
    metric: str
    detector: str
    number: float


class AlarmLoad(Struct, frozen=True):
    """What alarms asked of operators in a span (ISA-18.2, clause 16).

    `grouped` are those that the plant's budget grouped under another; they count nowhere else.
    """

    begin: int
    end: int
    operators: int
    hours: float
    alarms: Tally
    grouped: Tally
    alarms_per_operator_hour: float
    peak_in_ten_minutes: Tally
    flood_hours: float
    flood_share: float
    floods: list[FloodEntry]
    chattering: list[AlarmCount]
    stale: list[AlarmCount]
    worst: list[AlarmCount]
    worst_share: float
    by_priority: dict[str, int]


class RejectEntry(Struct, frozen=True):
    """Input that did not become a reading; `data` is base64.

    `replayed`: somebody has sent it again, or tried.
    """

    recorded: int
    shard: str
    sequence: str
    element: int
    code: str
    reason: str
    data: bytes
    name: str
    replayed: bool


class RejectPage(Struct, frozen=True):
    """Rejects, newest first."""

    rejects: list[RejectEntry]
    next: str | None


class GapEntry(Struct, frozen=True):
    """A loss of input: what arrived in this span may be missing."""

    recorded: int
    shard: str
    begin: int
    end: int
    cause: str


class GapPage(Struct, frozen=True):
    """Gaps, newest first."""

    gaps: list[GapEntry]
    next: str | None


class AuditEntry(Struct, frozen=True):
    """What somebody did; `actor` is a pseudonym."""

    event_id: int
    recorded: int
    actor: str
    action: str
    detail: Any


class AuditPage(Struct, frozen=True):
    """Audit events, newest first."""

    events: list[AuditEntry]
    next: str | None


class LedgerState(Struct, frozen=True):
    """The log: its leaves now, and the newest signed note of it (null before the first)."""

    leaves: Tally
    noted: Tally
    noted_at: int | None
    note: str | None


class CatalogueBody(Struct, frozen=True):
    """A version of the catalogue."""

    version: int
    recorded: int
    body: Any


def alarm_entry(one: StoredAlarm, asset: str, priority: str, *, is_first: bool) -> AlarmEntry:
    """An alarm as the API gives it."""
    return AlarmEntry(
        one.device, one.metric, one.detector, asset, State(one.state), one.active, one.latch,
        priority, one.raised, one.until or None, one.changed, one.event_id, one.reason, one.event,
        one.actor, one.comment, is_first, one.grouped,
    )  # fmt: skip


def event_entry(one: AlarmEvent, priority: str) -> AlarmEventEntry:
    """An alarm's event as the API gives it."""
    return AlarmEventEntry(
        one.event_id, one.recorded_at, one.device, one.metric, one.detector, one.event, one.at,
        one.start, State(one.before), State(one.after), one.active, priority, one.actor,
        one.reason, one.until or None,
    )  # fmt: skip
