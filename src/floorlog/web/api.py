"""JSON for pages and programs under /api/v1, and the live feed."""

import time
from typing import Any

from tornado.iostream import StreamClosedError
from tornado.web import HTTPError

from floorlog.core.reading import MICROSECONDS, Counts
from floorlog.web.feed import Feed
from floorlog.web.guard import Guarded
from floorlog.web.record import Record

SPAN_SECONDS_MAX = 7 * 86_400
ROWS_MAX = 20_000
ROWS_USUAL = 5_000
DAY_SECONDS = 86_400


class Api(Guarded):
    """What the handlers of this page share: the feed and the record."""

    feed: Feed
    record: Record

    def initialize(self, feed: Feed, record: Record) -> None:
        """Given once by `make_app`."""
        self.feed, self.record = feed, record

    def whole_number(self, name: str, usual: int | None = None) -> int:
        """A query argument. Raises HTTPError 400 that names it."""
        text = self.get_query_argument(name, "")
        if not text and usual is not None:
            return usual
        try:
            number = int(text)
        except ValueError:
            number = 1 << 63
        if abs(number) >= 1 << 63:
            raise HTTPError(400, f"{name} must be a whole number, got {text[:40]!r}")
        return number


class Alive(Guarded):
    """The process answers."""

    def get(self) -> None:
        """For load balancers."""
        self.send({"alive": True})


class HealthOfAll(Api):
    """Whether record and cache answer: 200 with the record, else 503."""

    def get(self) -> None:
        """Faults are null when there are none."""
        pulse = self.feed.pulse()
        if pulse["record"] is not None:
            self.set_status(503)
        self.send(pulse)


class LastOfAll(Api):
    """Series with their last values."""

    def get(self) -> None:
        """`values` rows: index of the series, ts (µs UTC), seen_s, quality, value."""
        whole = self.feed.whole()
        self.send({name: whole[name] for name in ("now", "series", "values", "cache")})


class Anomalies(Api):
    """Findings that are open, or ended within the last hour."""

    async def get(self) -> None:
        """From the record; `seconds` widens the window to at most a week."""
        seconds = self.whole_number("seconds", 3600)
        if not 0 <= seconds <= SPAN_SECONDS_MAX:
            raise HTTPError(400, f"seconds must lie from 0 to {SPAN_SECONDS_MAX}")
        since = (int(time.time()) - seconds) * MICROSECONDS
        found = await self.record.ask(lambda answers: answers.findings(since, ROWS_USUAL))
        self.send({"findings": found})


class StatusOfAll(Api):
    """Counts in total and by shard, as `floorlog status --json` gives them, and rejects by code."""

    async def get(self) -> None:
        """From the record."""
        since = (int(time.time()) - DAY_SECONDS) * MICROSECONDS
        status, rejects = await self.record.ask(lambda a: (a.status(), a.rejects_by_code(since)))
        self.send(
            {
                "total": _counts(status.total, status.gaps),
                "shards": {
                    one.shard_id: {
                        **_counts(one.counts, one.gaps), "lag": one.lag_ms, "owner": one.owner,
                        "ended": one.ended,
                    }
                    for one in status.shards
                },
                "rejects_last_day": rejects,
            }
        )  # fmt: skip


class ReadingsOfSeries(Api):
    """Readings of one series in a span of time, oldest first."""

    async def get(self) -> None:
        """Arguments: device, metric, from, to (µs UTC; at most a week), rows (at most 20,000).

        `truncated` says that there are more; the newest are given then.
        """
        device, metric = (
            self.get_query_argument(name, strip=False) for name in ("device", "metric")
        )
        end = self.whole_number("to", (int(time.time()) + 300) * MICROSECONDS)
        begin = self.whole_number("from", end - 600 * MICROSECONDS)
        rows = self.whole_number("rows", ROWS_USUAL)
        if not begin <= end <= begin + SPAN_SECONDS_MAX * MICROSECONDS:
            raise HTTPError(400, f"from must lie before to, by at most {SPAN_SECONDS_MAX} s")
        if not 1 <= rows <= ROWS_MAX:
            raise HTTPError(400, f"rows must lie from 1 to {ROWS_MAX}")
        found = await self.record.ask(lambda a: a.readings(device, metric, begin, end, rows + 1))
        self.send(
            {
                "device": device,
                "metric": metric,
                "truncated": len(found) > rows,
                "readings": [
                    [one.ts, one.text if one.value is None else one.value, one.quality, one.flags]
                    for one in reversed(found[:rows])
                ],
            }
        )


class Live(Api):
    """Server-sent events: `board`, then `series`, `values`, `findings`, and `pulse` each second."""

    async def get(self) -> None:
        """Until the page goes, or does not keep up."""
        stream: Any = getattr(self.request.connection, "stream", None)
        client = self.feed.join(stream.close)
        if client is None:
            self.set_header("Retry-After", "10")
            raise HTTPError(503, "too many pages are open; close some")
        self.client = client
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")
        try:
            self.write(b"retry: 1000\n\n")
            while (message := await client.next()) is not None:
                self.write(message)
                await self.flush()
        except StreamClosedError:
            return
        finally:
            self.feed.leave(client)

    def on_connection_close(self) -> None:
        """The page went while nothing was being sent to it."""
        self.client.leave()


def _counts(counts: Counts, gaps: int) -> dict[str, int]:
    names = ("records", "received", "stored", "rejected", "duplicate", "conflict")
    return {name: getattr(counts, name) for name in names} | {"gaps": gaps}
