"""Exactly once, simulated: the production consumer in worlds full of faults.

A failing seed is replayed with `FLOORLOG_SEED=N script/test tests/simulation`.
"""

import os
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from failing import Failing
from world import FAULTS, Protocol, World
from wrong import WRONG

pytestmark = pytest.mark.slow  # many worlds

CHUNKS = 8
SEEDS_PER_CHUNK = 250
RARE = {"unknown taken for committed", "loses silently", "child before parent"}
"""Wrong protocols that only many worlds show."""
CRASHED_AT = (
    "ListShards", "Survey", "Take", "Start", "Sleep", "Load", "Seek", "Fetch", "Register",
    "Lookup", "Commit", "Foreign", "Renew", "Publish",
)  # fmt: skip


def _seeds(chunk: int) -> range:
    """The seeds of a chunk; one alone when FLOORLOG_SEED asks for it."""
    alone = os.environ.get("FLOORLOG_SEED")
    if alone is not None:
        return range(int(alone), int(alone) + 1)
    return range(chunk * SEEDS_PER_CHUNK, (chunk + 1) * SEEDS_PER_CHUNK)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_nothing_is_lost_or_doubled_in_any_world(chunk: int) -> None:
    """In every seeded world each reading is stored once, in order, and every loss is a gap."""
    seen: Counter[str] = Counter()
    together: Counter[tuple[str, str]] = Counter()
    at: Counter[str] = Counter()
    committed = 0
    for seed in _seeds(chunk):
        world = World(seed)
        world.run()
        assert not world.faults(), f"seed {seed}: {world.faults()}"
        seen += world.seen
        together.update(combinations(sorted(f for f in FAULTS if world.seen[f]), 2))
        crashes = ("crash_before", "crash_after")
        at.update({kind: count for (kind, fault), count in world.pairs.items() if fault in crashes})
        committed += bool(world.record.commits)
    print("commands and faults:", dict(sorted(seen.items())))
    print("crashed at:", dict(at))
    print("pairs of faults, worlds:", dict(together))
    if len(_seeds(chunk)) == 1:
        return
    assert committed >= 0.95 * SEEDS_PER_CHUNK
    # Eight chunks together see everything twenty times; each sees its eighth of it.
    for fault in FAULTS:
        assert seen[fault] >= 20 / CHUNKS, f"{fault} was seen {seen[fault]} times"
    for pair in combinations(sorted(FAULTS), 2):
        assert together[pair] >= 20 / CHUNKS, f"{pair} met in {together[pair]} worlds"
    for kind in CRASHED_AT:
        assert at[kind] >= 1, f"no crash at {kind}"


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in RARE)) for name in sorted(WRONG)],
)
def test_a_wrong_protocol_is_caught(name: str) -> None:
    """The simulator finds every known-wrong protocol within 200 worlds."""
    for seed in range(200):
        world = World(seed, WRONG[name])
        world.run()
        if world.faults():
            return
    pytest.fail(f"200 worlds did not notice: {name}")


def test_a_detector_that_fails_stops_no_world() -> None:
    """In worlds with a detector that fails at some readings nothing is lost, doubled or unsaid."""
    said = 0
    for seed in range(10):
        world = World(seed, Protocol(pipeline=Failing))
        world.run()
        assert not world.faults(), f"seed {seed}: {world.faults()}"
        said += sum(
            one.detector == "set_aside:odd" and one.phase == "start"
            for batch in world.record.batches
            for one in batch.anomalies
        )
    assert said > 10


def test_the_same_seed_gives_the_same_world() -> None:
    """A failing seed can be replayed: two runs agree command for command."""
    first, second = World(11), World(11)
    first.run()
    second.run()
    assert first.seen == second.seen
    assert [row.ts for row in first.record.rows] == [row.ts for row in second.record.rows]
