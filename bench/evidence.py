"""Verify, prove and export of one record: readings a core-second, seconds, and memory by range.

    python bench/evidence.py [--readings 2000000] [--json]

900 series, batches of 10 s, jittered by milliseconds and rounded; sealed but for the last tenth.
CPU is this process's own, as `verify --json` counts it; memory is the peak that Python traced.
"""

import argparse
import json
import tempfile
import time
import tracemalloc
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import psycopg
from workload import BASE_MS, METRICS, SERIES, names

from floorlog.core.ledger.batch import Registry, root_of
from floorlog.core.protocol import Commit, Register, Shard, Survey, Take
from floorlog.core.reading import Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey
from floorlog.keeper import Keeper
from floorlog.local.services import Services
from floorlog.local.supervisor import Supervisor
from floorlog.record.check.chunks import wrong_chunks
from floorlog.record.check.verify import verify
from floorlog.record.export.export import Asked, export
from floorlog.record.export.prove import prove
from floorlog.record.log.anchor import Directory, open_signer
from floorlog.record.rows import settle
from floorlog.record.seal.seal import Sealer
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, READER, WRITER, migrate
from floorlog.store.postgres import Store

SECONDS = 10  # of a batch
PER_BATCH = SERIES * SECONDS


def fill(store: Store, batches: int, first: int, registry: Registry) -> None:
    """Commit batches, from number `first` on."""
    view = store.survey(Survey((Shard("shard-0", (), 0, 2**128 - 1),)))
    lease = store.take(Take(view.leases[0].lease_id))
    keys = tuple(
        SeriesKey(*names(n), Kind.NUMBER, METRICS[n % 3][1], names(n)[0]) for n in range(SERIES)
    )
    known = sorted(store.register(Register(lease, keys, ())).series, key=lambda one: one.series_id)
    registry.learn(known)
    ids = np.repeat(np.array([one.series_id for one in known], np.int32), SECONDS)
    random = np.random.default_rng(first)
    none = np.zeros(PER_BATCH, np.int32)
    for number in range(first, first + batches):
        second = np.tile(np.arange(SECONDS), SERIES) + number * SECONDS
        ts = (BASE_MS + second * 1000 + random.integers(0, 40, PER_BATCH)) * 1000
        value = np.round(50 + random.normal(0, 0.5, PER_BATCH), 2)
        clock_s = BASE_MS // 1000 + (number + 1) * SECONDS
        kept = Readings(
            none, ts, value, none.astype(np.uint32), np.full(PER_BATCH, clock_s), none, none
        )
        false = np.zeros(PER_BATCH, np.bool_)
        batch = Batch(
            lease.lease_id, lease.epoch, number, lease.version, number - 2 if number > 1 else -1,
            number - 1, clock_s, 0, Counts(PER_BATCH, PER_BATCH, PER_BATCH), ids, kept, false,
            false, np.full(PER_BATCH, lease.lease_id, np.int32),
        )  # fmt: skip
        leaves, root = root_of(batch, registry)
        store.commit(Commit(replace(batch, leaves=leaves, root=root)))


def anchor_all(dsn: str, place: Path) -> Directory:
    """Sequence, sign and anchor all that there is."""
    anchor = Directory(place / "anchors")
    keeper = Keeper(dsn, anchor, open_signer(place / "key", may_create=True), 0.0)
    while keeper.round() < 1:
        pass
    keeper.stopping.set()
    keeper.run()
    return anchor


def seal_all(dsn: str) -> None:
    """Make chunks of all that there is."""
    link = Link(dsn, "bench", 60)
    sealer = Sealer(link.idle(), quiet_s=0, age_s=0)
    while sealer.step():
        pass
    link.close()


def measure(made: Services, place: Path, readings: int) -> dict[str, object]:
    """Fill, seal, anchor; then each command."""
    migrate(
        made.postgres_dsn(), passwords={one: made.postgres.password(one) for one in LOGIN_ROLES}
    )
    dsn = made.postgres_dsn(READER)
    store = Store(
        made.postgres_dsn(WRITER), stream_arn="arn:bench",
        created_at=datetime(2026, 1, 1, tzinfo=UTC), worker="bench", lease_s=300, series_max=1000,
    )  # fmt: skip
    batches, registry = readings // PER_BATCH, Registry()
    fill(store, batches * 9 // 10, 1, registry)
    seal_all(made.postgres_dsn(KEEPER))
    with psycopg.connect(made.postgres_dsn(), autocommit=True) as connection:
        connection.execute("UPDATE floorlog.lease SET owner = NULL, expires_at = NULL")
        connection.execute("VACUUM ANALYZE")
    fill(store, batches - batches * 9 // 10, batches * 9 // 10 + 1, registry)
    store.close()
    anchor = anchor_all(made.postgres_dsn(KEEPER), place)
    found: dict[str, object] = {"readings": batches * PER_BATCH}
    report = verify(dsn, anchor)
    assert report.ok, report.wrong
    found["verify, readings a core-second"] = report.readings_per_core_second
    began = time.process_time()
    with psycopg.connect(dsn) as connection:
        settle(connection)
        assert not list(wrong_chunks(connection, set()))
    found["of it roll-ups, core-seconds"] = round(time.process_time() - began, 2)
    began = time.monotonic()
    device, metric = names(5)
    with psycopg.connect(dsn) as connection:
        ((ts_us,),) = connection.execute(
            "SELECT floorlog.to_us(ts) FROM floorlog.readings(%s, %s, '2026-01-01T00:05Z',"
            " '2026-01-01T00:06Z') LIMIT 1", (device, metric),
        )  # fmt: skip
    prove(dsn, anchor, "", device, metric, ts_us)
    found["prove, seconds"] = round(time.monotonic() - began, 2)
    half = (BASE_MS + batches * SECONDS * 500) * 1000
    for name, asked in (("half", Asked(to_us=half)), ("all", Asked())):
        began = time.process_time()
        done = export(dsn, anchor, "", asked, place / name)
        spent = time.process_time() - began
        found[f"export of {name}, readings a core-second"] = round(done.readings / spent)
        tracemalloc.start()
        export(dsn, anchor, "", asked, place / f"{name} again")
        found[f"export of {name}, peak MiB"] = tracemalloc.get_traced_memory()[1] >> 20
        tracemalloc.stop()
    return found


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--readings", type=int, default=2_000_000)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="floorlog-evidence-") as name:
        Path(name).chmod(0o755)
        with Supervisor(Path(name) / "data", only={"postgres"}) as services:
            found = measure(services, Path(name), asked.readings)
    if asked.json:
        print(json.dumps(found))
    else:
        for what, value in found.items():
            print(f"{what:45} {value}")


if __name__ == "__main__":
    main()
