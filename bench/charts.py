"""Chart queries over a record of many sealed readings: how long each takes, by the span it shows.

python bench/charts.py [--readings 10000000] [--json]
"""

import argparse
import json
import random
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from floorlog.core.protocol import Commit, Committed, Lease, Register, Shard, Survey, Take
from floorlog.core.reading import Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey
from floorlog.local.supervisor import Supervisor
from floorlog.record.seal.seal import Sealer
from floorlog.store.browser import Browser
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, READER, WRITER, migrate
from floorlog.store.postgres import Store
from floorlog.web.api.reads import HALF_HOUR_US, MINUTE_US

SECOND = 1_000_000
T0 = 1_764_547_200 * SECOND  # 2025-12-01
SERIES = 8
BATCH_SECONDS = 1_800
SPANS = {"minute": 60, "hour": 3_600, "8 hours": 28_800, "day": 86_400, "week": 604_800, "all": 0}
ASKED = 60
BUCKETS = 500


def batch_of(
    lease: Lease, number: int, ids: list[int], begin_s: int, seconds: int, t0: int = T0
) -> Batch:
    """One reading a second of every series, drifting with noise, rounded as sensors do."""
    count = seconds * len(ids)
    ts = np.tile(t0 + (begin_s + np.arange(seconds)) * SECOND, len(ids))
    noise = np.random.default_rng(number).normal(0, 0.3, count)
    value = np.round(50 + 10 * np.sin(ts / 3.6e9) + noise, 2)
    nought = np.zeros(count, np.int32)
    clock_s = int(t0 // SECOND + begin_s + seconds)
    readings = Readings(nought, ts, value, np.zeros(count, np.uint32), ts // SECOND, nought, nought)
    return Batch(
        lease_id=lease.lease_id, epoch=lease.epoch, number=number, version=lease.version,
        checkpoint=(number - 1) * 10 if number > 1 else -1, sequence=number * 10, clock_s=clock_s,
        catalogue=0, counts=Counts(1, count, count),
        series=np.repeat(np.array(ids, np.int32), seconds), readings=readings,
        conflict=np.zeros(count, np.bool_), late=np.zeros(count, np.bool_),
        home=np.full(count, lease.lease_id, np.int32),
    )  # fmt: skip


def fill(
    writer: str,
    keeper: str,
    readings: int,
    *,
    series: int = SERIES,
    batch_s: int = BATCH_SECONDS,
    end: int = 0,
) -> int:
    """Store and seal so many readings; returns the seconds that they span. `end` in µs: the last.

    The series are those of devices with four metrics, or one each where there are eight.
    """
    born = datetime(2026, 1, 1, tzinfo=UTC)
    store = Store(
        writer,
        stream_arn="arn:charts",
        created_at=born,
        worker="bench",
        lease_s=600,
        series_max=9_999,
    )
    view = store.survey(Survey((Shard("shard-0", (), 0, 2**128 - 1),)))
    lease = store.take(Take(view.leases[0].lease_id))
    assert isinstance(lease, Lease)
    shape = [("level", n) for n in range(series)]
    if series > SERIES:
        shape = [(f"level-{n % 4}", n // 4) for n in range(series)]
    keys = tuple(SeriesKey(f"press-{n}", name, Kind.NUMBER, "Cel", "p") for name, n in shape)
    made = store.register(Register(lease, keys, ()))
    ids = sorted(one.series_id for one in made.series)
    link = Link(keeper, "keeper", 60)
    sealer = Sealer(link.idle(), quiet_s=0, age_s=0)
    batches = readings // (series * batch_s)
    t0 = end - batches * batch_s * SECOND if end else T0
    for number in range(1, batches + 1):
        batch = batch_of(lease, number, ids, (number - 1) * batch_s, batch_s, t0)
        reply = store.commit(Commit(batch))
        assert isinstance(reply, Committed), reply
        while sealer.step():
            pass
    link.close()
    store.close()
    return batches * batch_s


def width_of(span_us: int) -> int:
    """The buckets that the API makes of a span."""
    width = max(1, -(-span_us // BUCKETS))
    unit = 1 if width < MINUTE_US else MINUTE_US if width < HALF_HOUR_US else HALF_HOUR_US
    return -(-width // unit) * unit


def measure(reader: Browser, spans_us: int) -> dict[str, dict[str, float]]:
    """Milliseconds a question, by the span asked for."""
    chance = random.Random(1)
    found = {}
    for name, seconds in SPANS.items():
        span_us = min(seconds * SECOND or spans_us, spans_us)
        times = []
        for _ in range(ASKED):
            begin = T0 + chance.randrange(max(1, spans_us - span_us))
            width = width_of(span_us)
            begin -= begin % width if width >= MINUTE_US else 0
            device = f"press-{chance.randrange(SERIES)}"
            began = time.perf_counter()
            rows = reader.trend(device, "level", begin, begin + span_us, width)
            times.append((time.perf_counter() - began) * 1000)
            assert rows, name
        times.sort()
        found[name] = {
            "p50_ms": round(times[len(times) // 2], 1),
            "p95_ms": round(times[int(len(times) * 0.95)], 1),
            "buckets": len(rows),
        }
    return found


def main() -> None:
    """Make the record, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--readings", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="floorlog-charts-") as place:
        Path(place).chmod(0o755)
        with Supervisor(Path(place) / "data", only={"postgres"}) as services:
            passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
            migrate(services.postgres_dsn(), passwords=passwords)
            began = time.monotonic()
            dsn = services.postgres_dsn
            seconds = fill(dsn(WRITER), dsn(KEEPER), asked.readings)
            print(f"stored and sealed in {time.monotonic() - began:.0f} s", file=sys.stderr)
            reader = Browser(dsn(READER))
            measure(reader, seconds * SECOND)
            found = measure(reader, seconds * SECOND)
            reader.close()
    if asked.json:
        print(json.dumps({"readings": asked.readings, "charts": found}))
        return
    for name, figures in found.items():
        print(f"{name:10}" + "".join(f"{key}: {value:>8}  " for key, value in figures.items()))


if __name__ == "__main__":
    main()
