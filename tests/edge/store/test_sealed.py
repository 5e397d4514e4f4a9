"""Sealed readings: the same for every question as before, and a swap that refuses anything else."""

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import psycopg
import pytest

from floorlog.core.protocol import Check, Load, Lookup, Register
from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey
from floorlog.record.seal import seal
from floorlog.record.seal.seal import Sealer
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER, LOGIN_ROLES

SECOND = 1_000_000
HOUR = 3_600 * SECOND
VIEW = "SELECT * FROM floorlog.reading"
QUESTIONS = (
    VIEW,
    "SELECT * FROM floorlog.readings('-infinity', 'infinity')",
    "SELECT * FROM floorlog.readings('press-1', 'level', '2025-11-01', '2026-01-01T00:00:07Z')",
    "SELECT * FROM floorlog.last_values()",
    "SELECT * FROM floorlog.conflicts('-infinity', 'infinity')",
)


@pytest.fixture
def sealer_of(record):
    """Makes a sealer that waits for nothing, on the keeper's role."""
    links = []

    def make(**options: Any) -> Sealer:
        link = Link(record.dsn(KEEPER), "keeper", 30)
        links.append(link)
        return Sealer(link.idle(), **{"quiet_s": 0, "age_s": 0, **options})

    yield make
    for link in links:
        link.close()


class World:
    """Batches of a shard or two: late, conflicting, wide apart, of odd qualities and values."""

    def __init__(self, record, seed: int) -> None:
        self.record = record
        self.dice = random.Random(seed)
        self.store, self.lease = record.begin()
        keys = [SeriesKey(f"press-{n}", "level", Kind.NUMBER, "Cel", "press") for n in range(4)]
        keys.append(SeriesKey("press-0", "status", Kind.STATE, None, "press"))
        reply = self.store.register(Register(self.lease, tuple(keys), ("running",)))
        self.series = [one.series_id for one in reply.series]
        self.states = {one.series_id for one in reply.series if one.kind == Kind.STATE}
        self.held: set[tuple[int, int]] = set()
        self.number = 0

    def value(self, series_id: int) -> float:
        if series_id in self.states:
            return float(self.dice.choice([0, 1, 2]))
        return self.dice.choice(
            [round(self.dice.uniform(-90, 90), 2), -0.0, 1e300, 0.1 + 0.2, 7.0, 123456.789]
        )

    def jitter(self) -> int:
        """Most readings have a time of their own."""
        return self.number * SECOND + self.dice.choice([0, self.dice.randrange(10**6) * 1_000])

    def commit(self, batches: int) -> None:
        for _ in range(batches):
            self.number += 1
            step = self.dice.choice([SECOND, SECOND, 60 * SECOND, HOUR, 40 * 24 * HOUR])
            rows = [
                (one, self.dice.randrange(-9, 9) * step + self.jitter(), self.value(one))
                for one in self.dice.choices(self.series, k=self.dice.choice([1, 5, 200]))
            ]
            batch = self.record.batch(self.lease, self.number, rows)
            conflict = []
            for key in zip(batch.series.tolist(), batch.readings.ts.tolist(), strict=True):
                conflict.append(key in self.held)
                self.held.add(key)
            count = len(rows)
            odd = self.dice.random() < 0.5
            readings = replace(
                batch.readings,
                quality=np.array([self.dice.choice([0, 2**32 - 1]) * odd for _ in rows], np.uint32),
                arrival_s=batch.clock_s - np.array([self.dice.randrange(3) for _ in rows]),
            )
            late = np.array([odd and self.dice.random() < 0.3 for _ in range(count)])
            self.record.commit(
                self.store,
                replace(batch, readings=readings, conflict=np.array(conflict), late=late),
            )

    def answers(self, *questions: str) -> list[list[Any]]:
        return [sorted(self.record.run(question), key=repr) for question in questions]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_every_question_has_the_same_answer_before_during_and_after(
    record, sealer_of, seed: int
) -> None:
    """Row by row, after each step of sealing, of late parts and of widening."""
    world = World(record, seed)
    sealer = sealer_of()
    for _ in range(2):
        world.commit(9)
        expected = world.answers(*QUESTIONS)
        assert len(expected[0]) > 100
        while sealer.step():
            assert world.answers(VIEW) == expected[:1]
        assert sealer.refused == 0
        assert record.run("SELECT count(*) FROM floorlog.open_row") == [(0,)]
        assert world.answers(*QUESTIONS) == expected
    assert record.run("SELECT sum(count) FROM floorlog.chunk") == [(len(expected[0]),)]


def simple(record, hours: int = 3, step_s: int = 10) -> tuple[Any, Any, list[int]]:
    """Three series at one reading in ten seconds, a batch of half an hour each; sealed in parts."""
    store, lease = record.begin()
    series = record.register(store, lease, 3)
    for number in range(1, 2 * hours + 1):
        begin = (number - 1) * HOUR // 2
        rows = [
            (one, begin + second * SECOND, round(20 + one + second / 100, 2))
            for second in range(0, 1_800, step_s)
            for one in series
        ]
        record.commit(store, record.batch(lease, number, rows))
    return store, lease, series


def sealed_all(sealer: Sealer) -> int:
    steps = 0
    while sealer.step():
        steps += 1
    assert sealer.refused == 0
    return steps


def test_late_readings_come_into_the_chunk_that_is_there(record, sealer_of) -> None:
    """One more reading makes no chunk of its own; its batch and flag stay its own."""
    store, lease, series = simple(record, hours=1)
    sealer = sealer_of()
    sealed_all(sealer)
    before = record.run("SELECT series_id, slot, width, count FROM floorlog.chunk ORDER BY 1, 2, 3")
    late = record.batch(lease, 3, [(series[1], 5 * SECOND + 7, 1.25)])
    record.commit(store, replace(late, late=np.array([True])))
    sealed_all(sealer)
    after = record.run("SELECT series_id, slot, width, count FROM floorlog.chunk ORDER BY 1, 2, 3")
    assert [row[:3] for row in after] == [row[:3] for row in before]
    assert sum(row[3] for row in after) == sum(row[3] for row in before) + 1
    found = record.run("SELECT value, flags, batch FROM floorlog.reading WHERE batch = 3")
    assert found == [(1.25, 2, 3)]


@pytest.mark.slow
def test_slow_series_come_into_wider_chunks(record, sealer_of) -> None:
    """Half hours of few readings become a day's chunk, or thirty days'."""
    store, lease = record.begin()
    (one,) = record.register(store, lease, 1)
    for number in range(1, 60):
        record.commit(store, record.batch(lease, number, [(one, number * HOUR, float(number))]))
    sealed_all(sealer_of())
    assert record.run("SELECT width, count FROM floorlog.chunk") == [(2, 59)]


def test_what_is_touched_is_left_open(record, sealer_of) -> None:
    """Until it was quiet for a while; or until it has waited long."""
    simple(record, hours=1)
    assert sealer_of(quiet_s=600, age_s=600).step() == 0
    record.run("SELECT pg_sleep(0.01)")
    assert sealer_of(quiet_s=0.001, age_s=600).step() > 0


def test_a_step_that_takes_too_long_is_done_in_halves(record, sealer_of, monkeypatch) -> None:
    """What the server does not finish in time is tried with half as many readings."""
    simple(record, hours=1)
    expected = sorted(record.run(VIEW), key=repr)
    sealer = sealer_of()
    honest, sizes = Sealer._swap, []

    def slow(self: Sealer, step: Any) -> int:
        sizes.append(self._readings_max)
        if len(sizes) == 1:
            raise psycopg.errors.QueryCanceled
        return honest(self, step)

    monkeypatch.setattr(Sealer, "_swap", slow)
    sealed_all(sealer)
    assert sizes[1] == sizes[0] // 2
    assert sorted(record.run(VIEW), key=repr) == expected


def bent(one: dict[str, Any], column: str, how: Callable[[Any], Any]) -> None:
    assert one[column] is not None, f"{column} is not there to be bent"
    one[column] = how(one[column])


def swapped(array: np.ndarray) -> np.ndarray:
    return np.concatenate([array[1:2], array[:1], array[2:]])


BENDS = {
    "value": lambda made: bent(made[0], "value_narrow", lambda v: v + np.int16(1)),
    "order": lambda made: bent(made[0], "value_narrow", swapped),
    "scale": lambda made: bent(made[0], "scale", lambda v: v * 10),
    "time": lambda made: made[0].update(ts_narrow=np.eye(1, 180, 3, dtype=np.int16)[0]),
    "batch": lambda made: made[0].update(number_narrow=np.ones(180, np.int16)),
    "quality": lambda made: made[0].update(quality=np.full(180, 7, np.int64)),
    "arrival": lambda made: made[0].update(arrived=np.ones(180, np.int32)),
    "flags": lambda made: made[0].update(flags=np.ones(180, np.int16)),
    "series": lambda made: bent(made[0], "series_id", lambda v: v + 100),
    "shard": lambda made: bent(made[0], "lease_id", lambda v: v + 1),
    "tick": lambda made: bent(made[0], "tick_us", lambda v: v * 7),
    "shorter": lambda made: bent(made[0], "count", lambda v: v - 1),
    "longer": lambda made: bent(made[0], "count", lambda v: v + 1),
    "slot": lambda made: bent(made[0], "slot", lambda v: v + 1),
    "width": lambda made: bent(made[0], "width", lambda v: v + 1),
    "begin": lambda made: bent(made[0], "t_min", lambda v: v - 1_000_000),
    "end": lambda made: bent(made[0], "t_max", lambda v: v + 1_000_000),
    "first batch": lambda made: bent(made[0], "number_min", lambda v: v - 1),
    "stored": lambda made: bent(made[0], "recorded_max", lambda v: v - 1),
    "missing": lambda made: made.pop(),
    "twice": lambda made: made.append(dict(made[0], part=1)),
}


@pytest.mark.slow
def test_a_swap_that_would_change_anything_is_refused(record, sealer_of, monkeypatch) -> None:
    """Whatever the keeper sends: readings, what finds them, one chunk too few or too many."""
    simple(record, hours=1)
    expected = sorted(record.run(VIEW), key=repr)
    honest = seal.chunks_of
    for name, bend in BENDS.items():

        def dishonest(*arguments: Any, bend=bend) -> list[dict[str, Any]]:
            made = honest(*arguments)
            bend(made)
            return made

        monkeypatch.setattr(seal, "chunks_of", dishonest)
        sealer = sealer_of()
        assert sealer.step() == 0, name
        assert sealer.refused > 0, name
        assert record.run("SELECT count(*) FROM floorlog.chunk") == [(0,)], name
        assert sorted(record.run(VIEW), key=repr) == expected, name


def test_a_row_that_is_not_as_its_batch_says_is_not_sealed(record, sealer_of) -> None:
    """Its clock would be lost with it."""
    simple(record, hours=1)
    record.run("UPDATE floorlog.open_row SET clock_s = clock_s + 1 WHERE number = 1")
    sealer = sealer_of()
    while sealer.step():
        pass
    assert sealer.refused == 1
    assert record.run("SELECT count(*) FROM floorlog.open_row") == [(1,)]


def test_only_the_keeper_may_swap(record) -> None:
    """And it may do nothing else to chunks; the function's search path is fixed."""
    function = "SELECT oid::regprocedure::text, prosecdef, proconfig FROM pg_proc"
    ((name, is_definer, settings),) = record.run(f"{function} WHERE proname = 'seal'")
    assert is_definer
    assert "search_path=pg_catalog, pg_temp" in settings
    for role in LOGIN_ROLES:
        may = record.run("SELECT has_function_privilege(%s, %s, 'EXECUTE')", role, name)
        assert may == [(role == KEEPER,)]
        rights = "SELECT has_table_privilege(%s, 'floorlog.chunk', 'INSERT,UPDATE,DELETE,TRUNCATE')"
        assert record.run(rights, role) == [(False,)]


def test_lookups_and_take_over_find_what_is_sealed(record, sealer_of) -> None:
    """Held readings, marks, and the tail above a snapshot: as from open rows."""
    store, lease, series = simple(record, hours=2)
    keys = [(series[0], 10 * SECOND), (series[2], HOUR), (series[1], 3)]
    lookup = Lookup(
        lease, 4, lease.version, (lease.lease_id,),
        np.array([one for one, _ in keys], np.int32),
        record.t0 + np.array([at for _, at in keys], np.int64),
        np.full(3, lease.lease_id, np.int32), tuple(series),
    )  # fmt: skip

    def asked() -> tuple[list[Any], list[Any], list[Any]]:
        found = store.lookup(lookup)
        store.check(Check(lease))  # ends the open transaction
        tail = store.load(Load(lease)).tail
        return (
            rows_of(found.held),
            rows_of(found.marks),
            [(batch.number, batch.clock_s, rows_of(batch.readings)) for batch in tail],
        )

    before = asked()
    assert [len(part) for part in before] == [2, 3, 4]
    sealed_all(sealer_of())
    assert asked() == before
    # While expiry is under way, which may put readings back into open rows.
    with record.connect("postgres") as other, other.transaction():
        other.execute("SELECT pg_advisory_xact_lock(4706887)")
        assert asked() == before


def rows_of(readings: Any) -> list[tuple[Any, ...]]:
    columns = (getattr(readings, name).tolist() for name in readings.__slots__)
    return sorted(zip(*columns, strict=True))


@pytest.mark.slow
def test_points_keep_extremes_and_counts(record, sealer_of) -> None:
    """The same out of readings, minutes and whole chunks; conflicts do not stand."""
    store, lease, series = simple(record, hours=3)
    low = record.batch(lease, 7, [(series[0], HOUR + 123_000, -50.0)], quality=7)
    record.commit(store, low)
    conflict = record.batch(lease, 8, [(series[0], HOUR, 999.0)])
    record.commit(store, replace(conflict, conflict=np.array([True])))
    ask = (
        "SELECT min(low), max(high), sum(readings), sum(mean * readings), sum(good * readings),"
        " count(*) FROM floorlog.points('press-0', 'level', '2026-01-01', '2026-01-01T03:00Z', %s)"
    )
    hours = "SELECT * FROM floorlog.hours('2026-01-01', '2026-01-01T03:00Z') ORDER BY 1, 2"
    opened = [record.run(ask, n)[0] for n in (1, 6, 100, 5_000)]
    by_hour = record.run(hours)
    sealed_all(sealer_of())
    for n, before in zip((1, 6, 100, 5_000), opened, strict=True):
        found = record.run(ask, n)[0]
        assert found[:3] == (-50.0, before[1], 3 * 360 + 1)
        assert found[1] < 999
        assert found[3:5] == pytest.approx(before[3:5], rel=1e-6)
        assert found[5] <= n
    found = record.run(hours)
    assert len(found) == 9
    assert [row[:5] for row in found] == [row[:5] for row in by_hour]
    assert [row[6:] for row in found] == [row[6:] for row in by_hour]


def by_hand(record, series_id: int, begin: int, end: int, width: int) -> dict[int, list]:
    """Buckets of readings that stand: every (value, time, whether Good)."""
    rows = record.run(
        "SELECT floorlog.to_us(r.ts), r.value, r.quality = 0 FROM floorlog.series AS s"
        " CROSS JOIN LATERAL floorlog.readings(s.device, s.metric, floorlog.from_us(%s),"
        " floorlog.from_us(%s)) AS r WHERE s.series_id = %s AND r.flags & 1 = 0",
        begin, end, series_id,
    )  # fmt: skip
    buckets: dict[int, list] = {}
    for at, value, is_good in rows:
        buckets.setdefault((at - begin) // width, []).append((value, at, is_good))
    return buckets


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_charts_lose_no_extreme(record, sealer_of, seed: int) -> None:
    """From open rows, chunks and roll-ups: least, greatest, mean and counts by hand."""
    world = World(record, seed + 7)
    sealer = sealer_of()
    minute, t0 = 60 * SECOND, record.t0
    world.commit(12)
    while sealer.step():
        pass
    world.commit(4)  # some stay open
    spans = [(t0 - HOUR, t0 + HOUR), (t0 - 10**15 // minute * minute, t0 + 10**15), (t0, t0 + 7)]
    checked = 0
    for begin, end in spans:
        for width in (SECOND, 7 * SECOND, minute, 30 * minute, 60 * minute, 40 * 24 * HOUR):
            for series_id in sorted(set(world.series) - world.states):
                rows = record.run(
                    "SELECT * FROM floorlog.trend(%s, %s, %s, %s)", series_id, begin, end, width
                )
                wanted = by_hand(record, series_id, begin, end, width)
                assert [row[0] for row in rows] == sorted(wanted)
                for bucket, low, low_at, high, high_at, mean, count, good in rows:
                    held = wanted[bucket]
                    checked += 1
                    assert (low, high) == (min(held)[0], max(held)[0])
                    assert (count, good) == (len(held), sum(one[2] for one in held))
                    assert mean == pytest.approx(np.mean([one[0] for one in held]), rel=1e-5)
                    if width < minute:
                        assert low_at == min(held)[1]
                        assert high_at == min(at for value, at, _ in held if value == high)
                    assert (low_at - begin) // width == (high_at - begin) // width == bucket
    assert checked > 100
