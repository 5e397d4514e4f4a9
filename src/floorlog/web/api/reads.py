"""Questions about the pipeline, series and readings."""

import time
from typing import Annotated, Literal

from msgspec import Meta, field
from tornado.web import HTTPError

from floorlog.core.reading import MICROSECONDS, Kind
from floorlog.core.reading import Counts as Counted
from floorlog.store.browser import CorrectedValue
from floorlog.web.access.role import ALL
from floorlog.web.api import shape
from floorlog.web.api.page import after, page_of, place_of
from floorlog.web.api.route import MOMENT_US_MAX, Call, Cursor, Limit, Moment, Name, Query, Route
from floorlog.web.board import SPARK_US, Shown

SPAN_SECONDS_MAX = 7 * 86_400
SPAN_US_MAX = SPAN_SECONDS_MAX * MICROSECONDS
ROWS_MAX = 20_000
ROWS_USUAL = 5_000
DAY_SECONDS = 86_400
BUCKETS_MAX = 2_000
TREND_US_MAX = 400 * DAY_SECONDS * MICROSECONDS
MINUTE_US = 60 * MICROSECONDS
HALF_HOUR_US = 1_800 * MICROSECONDS


def now_us() -> int:
    """Now, µs UTC."""
    return time.time_ns() // 1000


async def alive(call: Call) -> shape.Alive:
    """Answer: for load balancers."""
    del call
    return shape.Alive(alive=True)


async def health(call: Call) -> shape.Pulse:
    """Whether record and cache answer: 200 with the record, else 503."""
    pulse = shape.Pulse(**call.services.feed.pulse())
    if pulse.record is not None:
        call.status = 503
    return pulse


async def last(call: Call) -> shape.LastValues:
    """`values` rows: index of the series, ts (µs UTC), seen_s, quality, value."""
    whole = call.services.feed.whole()
    return shape.LastValues(whole["now"], whole["series"], whole["values"], whole["cache"])


async def recent(call: Call) -> shape.Recent:
    """What series of numbers were lately, as this process saw it since it began."""
    sparks = call.services.feed.board.sparks
    rows = [
        shape.RecentSeries(at, one.ts, [float(f"{value:.4g}") for value in one.values])
        for at, one in sparks.items()
    ]
    return shape.Recent(SPARK_US, rows)


class WindowQuery(Query):
    """How far back; at most a week."""

    seconds: Annotated[int, Meta(ge=0, le=SPAN_SECONDS_MAX)] = 3600
    limit: Limit = ROWS_USUAL


async def anomalies(call: Call) -> shape.Findings:
    """Findings that are open, or were stored or ended within the window."""
    since = now_us() - call.query.seconds * MICROSECONDS
    limit = call.query.limit
    found = await call.services.record.ask(lambda answers: answers.findings(since, limit))
    return shape.Findings(
        [
            Shown(
                f.device, f.metric, f.detector, f.start, f.end, f.severity, _finite(f.value),
                _finite(f.expected), f.reason,
            )
            for f in found
        ]
    )  # fmt: skip


def _finite(number: float) -> float | None:
    return number if number - number == 0 else None


async def status(call: Call) -> shape.Counts:
    """Counts in total and by shard, and the last day's rejects by code."""
    since = now_us() - DAY_SECONDS * MICROSECONDS
    found, rejects = await call.services.record.ask(
        lambda answers: (answers.status(), answers.rejects_by_code(since))
    )
    return shape.Counts(
        total=shape.TotalCounts(**_counts(found.total, found.gaps)),
        shards={
            one.shard_id: shape.ShardCounts(
                **_counts(one.counts, one.gaps), lag=one.lag_ms, owner=one.owner, ended=one.ended
            )
            for one in found.shards
        },
        rejects_last_day=rejects,
    )


def _counts(counts: Counted, gaps: int) -> dict[str, int]:
    names = ("records", "received", "stored", "rejected", "duplicate", "conflict")
    return {name: getattr(counts, name) for name in names} | {"gaps": gaps}


class SpanQuery(Query):
    """A series and a span of time; without one the last ten minutes."""

    device: Name
    metric: Name
    begin: Moment | None = field(default=None, name="from")
    end: Moment | None = field(default=None, name="to")


class ReadingsQuery(SpanQuery):
    """A series, a span of at most a week, and how many rows."""

    rows: Annotated[int, Meta(ge=1, le=ROWS_MAX)] = ROWS_USUAL
    as_of: (
        Annotated[int, Meta(ge=0, le=MOMENT_US_MAX, description="size of the log to look back to")]
        | None
    ) = None
    cursor: Cursor = ""


def span_of(query: SpanQuery, most_us: int) -> tuple[int, int]:
    """The span that is asked for. Raises HTTPError 400 where it is none, or too long."""
    end = query.end if query.end is not None else now_us() + 300 * MICROSECONDS
    begin = query.begin if query.begin is not None else end - 600 * MICROSECONDS
    if not begin <= end <= begin + most_us:
        raise HTTPError(400, f"from must lie before to, by at most {most_us // MICROSECONDS} s")
    return begin, end


def row_of(one: CorrectedValue) -> shape.Row:
    """A reading as a row."""
    value = one.text if one.value is None else one.value
    assert value is not None, "a reading is a number or a state"
    return shape.Row(one.ts, value, one.quality, one.flags, one.corrected)


async def readings(call: Call) -> shape.Readings:
    """Readings of one series. Without a cursor the newest of the span; `next` goes forward.

    `truncated` says that there are more before the first row. With `as_of` what was known when the
    log had that size, beside the corrections that were known then.
    """
    query = call.query
    device, metric, rows = query.device, query.metric, query.rows
    begin, end = span_of(query, SPAN_US_MAX)
    ask = call.services.record.ask
    if query.cursor:
        at, skip = place_of(query.cursor, tuple[int, int])
        found = await ask(
            lambda a: a.forward(
                device,
                metric,
                max(at, begin),
                end,
                skip=skip,
                rows_max=rows + 1,
                log_size=query.as_of,
            )
        )
        follows = _forward_place(found[:rows], at, skip) if len(found) > rows else None
        shown = [row_of(one) for one in found[:rows]]
        return shape.Readings(device, metric, False, shown, after(follows))
    found = await ask(
        lambda a: a.back(device, metric, begin, end, rows_max=rows + 1, log_size=query.as_of)
    )
    shown = [row_of(one) for one in reversed(found[:rows])]
    truncated = len(found) > rows
    first = after((begin, 0)) if truncated else None
    return shape.Readings(device, metric, truncated, shown, first)


def _forward_place(found: list[CorrectedValue], at: int, skip: int) -> tuple[int, int]:
    """Where to go on: the last time, and how many readings of it were given."""
    final = found[-1].ts
    given = sum(1 for one in found if one.ts == final)
    return final, given + (skip if final == at else 0)


class TrendQuery(SpanQuery):
    """A series of numbers, a span of at most 400 days, and into how many buckets to cut it."""

    buckets: Annotated[int, Meta(ge=1, le=BUCKETS_MAX)] = 500


async def trend(call: Call) -> shape.Trend:
    """Minimum, maximum, mean and count a bucket: no extreme is lost, each has its own time.

    Buckets of a minute and more are made of roll-ups, and begin at full minutes or half hours.
    """
    query = call.query
    device, metric = query.device, query.metric
    begin, end = span_of(query, TREND_US_MAX)
    width = max(1, -(-(end - begin) // query.buckets))
    source: Literal["readings", "minutes", "half hours"] = "readings"
    if width >= MINUTE_US:
        # Bins of roll-ups lie whole in buckets that are as many minutes, or half hours, long.
        unit = MINUTE_US if width < HALF_HOUR_US else HALF_HOUR_US
        source = "minutes" if width < HALF_HOUR_US else "half hours"
        width = -(-width // unit) * unit
        begin -= begin % width
    found = await call.services.record.ask(lambda a: a.trend(device, metric, begin, end, width))
    buckets = [shape.Bucket(begin + number * width, *rest) for number, *rest in found]
    return shape.Trend(device, metric, width, source, buckets)


class StatesQuery(SpanQuery):
    """A series of states and a span of at most a week."""

    limit: Limit = ROWS_USUAL


async def states(call: Call) -> shape.States:
    """Spans in which a series of states stayed in one."""
    query = call.query
    device, metric, limit = query.device, query.metric, query.limit
    begin, end = span_of(query, SPAN_US_MAX)
    found = await call.services.record.ask(lambda a: a.spans(device, metric, begin, end, limit + 1))
    spans = [shape.Span(*row) for row in found[:limit]]
    return shape.States(device, metric, len(found) > limit, spans)


class ListQuery(Query):
    """A page of names."""

    limit: Limit = 1_000
    cursor: Cursor = ""


class SeriesQuery(ListQuery):
    """Of one device, or all."""

    device: Name | None = None


async def series(call: Call) -> shape.SeriesPage:
    """Series by device and metric."""
    query = call.query
    known, catalogue = await call.services.record.ask(lambda a: (a.series(), a.catalogue()))
    entries = [
        shape.SeriesEntry(
            one.device, one.metric, "state" if one.kind == Kind.STATE else "number", one.unit,
            catalogue.asset(one.device),
        )
        for one in known
        if query.device is None or one.device == query.device
    ]  # fmt: skip
    shown, follows = page_of(entries, query, lambda one: (one.device, one.metric), tuple[str, str])
    return shape.SeriesPage(shown, follows)


async def devices(call: Call) -> shape.DevicePage:
    """Devices by name, with their metrics."""
    known, catalogue = await call.services.record.ask(lambda a: (a.series(), a.catalogue()))
    metrics: dict[str, list[str]] = {}
    for one in known:
        metrics.setdefault(one.device, []).append(one.metric)
    entries = [
        shape.DeviceEntry(device, catalogue.asset(device), names)
        for device, names in metrics.items()
    ]
    shown, follows = page_of(entries, call.query, lambda one: (one.device,), tuple[str])
    return shape.DevicePage(shown, follows)


ROUTES = (
    Route("GET", "/healthz", alive, None, "The process answers", shape.Alive),
    Route("GET", "/api/v1/health", health, None, "Whether record and cache answer", shape.Pulse,
          statuses=(503,)),
    Route("GET", "/api/v1/last", last, ALL, "Every series with its last value", shape.LastValues),
    Route("GET", "/api/v1/recent", recent, ALL, "What series were lately", shape.Recent),
    Route("GET", "/api/v1/anomalies", anomalies, ALL, "Anomalies of a window", shape.Findings,
          WindowQuery),
    Route("GET", "/api/v1/status", status, ALL, "Counts in total and by shard", shape.Counts),
    Route("GET", "/api/v1/readings", readings, ALL, "Readings of one series", shape.Readings,
          ReadingsQuery),
    Route("GET", "/api/v1/trend", trend, ALL, "A series down-sampled, extremes kept", shape.Trend,
          TrendQuery),
    Route("GET", "/api/v1/states", states, ALL, "A series of states as spans", shape.States,
          StatesQuery),
    Route("GET", "/api/v1/series", series, ALL, "Series by name", shape.SeriesPage, SeriesQuery),
    Route("GET", "/api/v1/devices", devices, ALL, "Devices by name", shape.DevicePage, ListQuery),
)  # fmt: skip
