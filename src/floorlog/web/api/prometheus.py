"""What Prometheus scrapes: the pipeline's counts and the alarms, in its text format."""

from collections import Counter
from collections.abc import AsyncIterator, Iterable

from floorlog.web.access.role import ALL
from floorlog.web.api.health import Health
from floorlog.web.api.route import Call, Route, Stream
from floorlog.web.feed import Feed

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
COUNTS = ("received", "stored", "rejected", "duplicate", "conflict")


async def metrics(call: Call) -> AsyncIterator[bytes]:
    """The process's view of the record; scraping asks the record nothing."""
    yield "".join(lines(call.services.feed)).encode()


def lines(feed: Feed) -> Iterable[str]:
    """Every metric with its help and type."""
    yield from metric("floorlog_record_up", "gauge", "1 while the record answers", [
        ("", int(feed.record_fault is None))])  # fmt: skip
    yield from metric("floorlog_cache_up", "gauge", "1 while the cache answers", [
        ("", int(feed.cache_fault is None))])  # fmt: skip
    yield from metric("floorlog_pages", "gauge", "Pages that follow the feed", [
        ("", feed.clients)])  # fmt: skip
    yield from metric("floorlog_series", "gauge", "Series with a value", [
        ("", len(feed.board.values))])  # fmt: skip
    by_state = Counter((one.state, one.priority) for one in feed.board.alarms.values())
    yield from metric("floorlog_alarms", "gauge", "Alarms that are not normal", [
        (f'{{state="{state}",priority="{priority}"}}', count)
        for (state, priority), count in sorted(by_state.items())])  # fmt: skip
    if feed.health is not None:
        yield from _health(feed.health)


def _health(health: Health) -> Iterable[str]:
    for name in COUNTS:
        yield from metric(f"floorlog_{name}_total", "counter", f"{name.capitalize()}, by shard", [
            (_shard(one.shard), getattr(one, name)) for one in health.shards])  # fmt: skip
    yield from metric("floorlog_gaps_total", "counter", "Known losses of input, by shard", [
        (_shard(one.shard), one.gaps) for one in health.shards])  # fmt: skip
    yield from metric("floorlog_shard_lag_seconds", "gauge", "How far a shard is behind", [
        (_shard(one.shard), one.lag_ms / 1000) for one in health.shards])  # fmt: skip
    yield from metric("floorlog_shard_unread", "gauge", "1 where nobody reads a shard", [
        (_shard(one.shard), int(one.state == "unread")) for one in health.shards])  # fmt: skip
    yield from metric("floorlog_workers", "gauge", "Workers alive", [("", health.workers)])
    if health.size_bytes is not None:
        yield from metric("floorlog_record_bytes", "gauge", "What the record takes on disk", [
            ("", health.size_bytes)])  # fmt: skip
    if health.free_bytes is not None:
        yield from metric("floorlog_disk_free_bytes", "gauge", "What is free on its disk", [
            ("", health.free_bytes)])  # fmt: skip


def _shard(name: str) -> str:
    escaped = name.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'{{shard="{escaped}"}}'


def metric(name: str, kind: str, about: str, samples: Iterable[tuple[str, float]]) -> Iterable[str]:
    """One metric's lines."""
    yield f"# HELP {name} {about}.\n# TYPE {name} {kind}\n"
    for labels, value in samples:
        yield f"{name}{labels} {value}\n"


ROUTES = (
    Route("GET", "/metrics", metrics, ALL, "Counts for Prometheus",
          Stream(MEDIA_TYPE, "Prometheus text format 0.0.4")),
)  # fmt: skip
