"""Exactly once, simulated: the production consumer in worlds full of faults."""

import os
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from world import FAULTS, World

SEEDS = int(os.environ.get("FLOORLOG_SEEDS", "300"))


def test_nothing_is_lost_or_doubled_in_any_world() -> None:
    """In every seeded world each reading is stored once, and what the world dropped is a gap."""
    seen: Counter[str] = Counter()
    committed = 0
    for seed in range(SEEDS):
        world = World(seed)
        world.run()
        assert not world.doubled(), f"seed {seed} doubled {world.doubled()[:3]}"
        assert not world.lost(), f"seed {seed} lost {world.lost()[:3]}"
        for lease in world.record.leases.values():
            assert lease.received == lease.accounted, f"seed {seed}: counts"
        seen += world.seen
        committed += bool(world.record.commits)
    print(dict(seen))
    assert committed >= 0.95 * SEEDS
    for fault in FAULTS:
        assert seen[fault] >= 20, f"{fault} was seen {seen[fault]} times"
