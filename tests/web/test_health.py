"""Health: who reads what, how fast, and how long the disk lasts."""

from pathlib import Path

from floorlog.core.reading import Counts
from floorlog.store.answers import ShardStatus, Status
from floorlog.web.api import health as health_of
from floorlog.web.api.health import Gauge


def status(
    received: int, shards: tuple[ShardStatus, ...] = (), workers: dict[str, float] | None = None
) -> Status:
    return Status(Counts(received=received), 0, 0, 0, shards, workers or {})


def shard(name: str, owner: str | None, *, ended: bool = False) -> ShardStatus:
    return ShardStatus(name, "arn", owner, ended, 1, 1, 0, Counts(), 0, -1, -1)


def test_a_silent_worker_is_stale():
    """Silent for more than two leases, or nobody there at all: said by name and shard."""
    shards = (
        shard("s0", "ann"),
        shard("s1", "bob"),
        shard("s2", None),
        shard("s3", "carl"),
        shard("s4", None, ended=True),
    )
    health = Gauge(5.0).read(status(10, shards, {"ann": 1.0, "bob": 10.5}), None, 100.0)
    assert [one.state for one in health.shards] == ["live", "unread", "unread", "unread", "ended"]
    assert health.workers == 1
    assert health.stale == (
        "bob, which reads s1, silent for 10 s",
        "nobody reads s2",
        "carl, which read s3, is gone",
    )


def test_throughput_is_that_of_the_last_seconds():
    """None until a second was seen, then the mean of ten seconds; a new record begins anew."""
    gauge = Gauge(5.0)
    assert gauge.read(status(1000), None, 0.0).rate_per_s is None
    for second in range(1, 30):
        rate = gauge.read(status(1000 + 100 * second), None, float(second)).rate_per_s
        assert rate == 100.0
    for second in range(30, 45):
        rate = gauge.read(status(3900), None, float(second)).rate_per_s
    assert rate == 0.0
    assert gauge.read(status(5), None, 50.0).rate_per_s is None


def test_days_until_the_disk_is_full(monkeypatch, tmp_path: Path):
    """From what the disk lost over two minutes or more; nothing is said before, or if it grows."""
    free = 10 * 86_400 * 1000

    class Disk:
        f_frsize = 1
        f_bavail = free

    monkeypatch.setattr(health_of.os, "statvfs", lambda _: Disk)
    gauge = Gauge(5.0, tmp_path)
    for second in range(0, 120, 10):
        Disk.f_bavail = free - 1000 * second
        assert gauge.read(status(0), None, float(second)).days_left is None
    for second in range(120, 200, 10):
        Disk.f_bavail = free - 1000 * second
        health = gauge.read(status(0), None, float(second))
    assert abs(health.days_left - 10) < 0.01
    assert health.free_bytes == Disk.f_bavail
    Disk.f_bavail = 2 * free
    assert gauge.read(status(0), None, 300.0).days_left is None


def test_another_machine_s_disk_is_not_guessed():
    """Without a directory on the record's disk nothing is said of it."""
    health = Gauge(5.0).read(status(0), 123, 0.0)
    assert (health.free_bytes, health.days_left, health.size_bytes) == (None, None, 123)


def test_a_directory_that_went_away_is_no_crash(tmp_path: Path):
    """The page outlives its data directory."""
    assert Gauge(5.0, tmp_path / "gone").read(status(0), None, 0.0).free_bytes is None
