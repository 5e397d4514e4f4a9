"""The tamper campaign: whatever a superuser changes is found, and named."""

import time
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from aged import AGED, DAYS
from sealing import seal
from tamper import Campaign, Redraw
from written import TEMPLATE, Ground, Plant, Shard, Written

from floorlog.record.act.act import acting
from floorlog.record.act.retention import set_policy, step
from floorlog.record.check.rebuild import rebuild_in
from floorlog.store.migrate import KEEPER, OPERATOR, WRITER


def grow(written: Written, batches: int) -> None:
    """Some further batches of one shard."""
    written.run("UPDATE floorlog.lease SET owner = NULL, expires_at = NULL")
    plant = Plant(written.dsn(WRITER))
    (lease,) = plant.take(Shard("shard-9", (), 0, 5))
    plant.register(lease)
    last = written.run("SELECT number FROM floorlog.lease WHERE lease_id = %s", lease.lease_id)
    plant.random = np.random.default_rng(last[0][0])
    for number in range(last[0][0] + 1, last[0][0] + 1 + batches):
        plant.commit(plant.batch(lease, number))
    plant.store.close()


def keep_old(written: Written, name: str) -> None:
    """A copy of all tables, for whoever wants to put the record back to what it was."""
    written.run(f"CREATE SCHEMA {name}")
    for (table,) in written.run(
        "SELECT c.relname FROM pg_class AS c WHERE c.relnamespace = 'floorlog'::regnamespace"
        " AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    ):
        written.run(f"CREATE TABLE {name}.{table} AS SELECT * FROM floorlog.{table}")


@pytest.fixture(scope="module")
def record(ground: Ground) -> Iterator[Written]:
    """A record of chunks and open rows with older states of itself, and an unanchored tail."""
    with ground.copy(TEMPLATE) as written:
        keep_old(written, "old_1")
        seal(written)
        for name in ("old_2", "old_3"):
            keep_old(written, name)
            grow(written, 2)
            written.keep()
        grow(written, 1)
        written.run("SELECT floorlog.sequence(1000)")
        grow(written, 1)
        yield written


@pytest.fixture(scope="module")
def expired_record(aged_ground: Ground) -> Iterator[Written]:
    """A record of which an older half has expired, with an older state of itself, and a tail."""
    with aged_ground.copy(AGED) as written:
        seal(written)
        keep_old(written, "old_1")
        set_policy(
            written.dsn(OPERATOR), "*", DAYS * 3 // 4, from_active=False, by="Ann", reason="law"
        )
        with acting(written.dsn(KEEPER)) as connection:
            while step(connection, 3):
                pass
        written.keep()
        grow(written, 1)
        yield written


def attempt(drawn: Campaign) -> str:
    """One mutation; what was done and what verification did not say of it."""
    made = drawn.draw()
    try:
        report = drawn.verify()
        found = drawn.judge(made, report)
        if made.standing == "derived" and {one.kind for one in report.wrong} == {"derived"}:
            rebuild_in(drawn.connection, drawn.anchored)
            drawn.seen["rebuilt"] += 1
            found = found or ", ".join(f"not rebuilt: {one}" for one in drawn.verify().wrong)
    except Exception as error:  # noqa: BLE001 - one that stops verification hides all others
        found = f"verify stopped: {error!r}"
    return f"{made.says}\n    {found}" if found else ""


def campaign(record: Written, seed: int, count: int, seconds: float = 1e9) -> Counter[str]:
    """So many mutations, each found and named; what was drawn."""
    deadline = time.monotonic() + seconds
    missed = []
    with record.connect() as connection:
        connection.execute("BEGIN")
        drawn = Campaign(record, connection, seed)
        report = drawn.verify()
        assert report.ok, report.wrong
        assert report.unanchored_seconds > 0
        done = 0
        while done < count and time.monotonic() < deadline:
            try:
                with drawn.undone():
                    found = attempt(drawn)
            except Redraw:
                continue
            done += 1
            missed += [found] if found else []
        connection.execute("ROLLBACK")
    assert not missed, f"{len(missed)} of {done} (seed {seed}):\n" + "\n".join(missed)
    return drawn.seen


@pytest.mark.slow
def test_what_is_changed_is_found_and_named(record) -> None:
    """Of 200 mutations of anything, older evidence is named, the unanchored span is told."""
    seen = campaign(record, 1, 200)
    assert seen["rebuilt"] > 5
    assert seen["series named"] > 20


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_whatever_is_changed_is_found_and_named(record, long_seconds) -> None:
    """The same of 2,000 mutations at least, and of as many as the time allows."""
    seen = campaign(record, 2, 2_000)
    print(f"2,000 mutations of {len(seen)} kinds: {dict(seen.most_common())}")


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_what_expired_is_attacked_as_well(expired_record) -> None:
    """Of 500 mutations of a record of which half has expired, what stands for that included."""
    seen = campaign(expired_record, 3, 500)
    print(f"500 mutations of {len(seen)} kinds: {dict(seen.most_common())}")
    assert sum(count for kind, count in seen.items() if kind.endswith((" expired", " expiry"))) > 20
