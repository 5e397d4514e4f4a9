"""Sealed readings: the same for every question as before, and a swap that refuses anything else."""

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from floorlog.core.protocol import Register
from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey
from floorlog.record.seal import Sealer
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER

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
