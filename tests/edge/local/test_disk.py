"""Room on the disk: the ballast, the forecast, and what happens when it is full."""

import os
import time
from pathlib import Path

import pytest

from floorlog.errors import DiskFull
from floorlog.local.disk import (
    BALLAST_BYTES,
    DAY_SECONDS,
    FULL_BELOW_BYTES,
    MIB,
    Ballast,
    DiskWatch,
    Forecast,
    free_bytes,
)
from floorlog.local.supervisor import Supervisor


def test_the_forecast_is_the_mean_rate_of_its_samples() -> None:
    """100 GB that shrink by 1 GB an hour last 99 hours more after the first hour."""
    forecast = Forecast()
    assert forecast.days_left() is None
    for minute in range(61):
        forecast.add(60.0 * minute, 100_000_000_000 - minute * 1_000_000_000 // 60)
    assert forecast.days_left() == pytest.approx(99 / 24, rel=1e-6)


def test_a_disk_that_does_not_fill_has_no_last_day() -> None:
    """Constant or growing room gives no figure, instead of infinity or a negative one."""
    forecast = Forecast(samples_max=2)
    forecast.add(0.0, 100)
    forecast.add(0.0, 50)
    assert forecast.days_left() is None
    forecast.add(10.0, 50)
    assert forecast.days_left() is None
    forecast.add(10.0 + DAY_SECONDS, 25)  # only the last two samples count
    assert forecast.days_left() == 1.0


def test_the_ballast_takes_up_real_room_and_gives_it_back(tmp_path: Path) -> None:
    """The blocks are reserved, not promised; dropping it frees them; twice changes nothing."""
    ballast = Ballast(tmp_path, size_bytes=2 * MIB)
    assert ballast.load(free_bytes(tmp_path))
    assert ballast.path.stat().st_blocks * 512 >= 2 * MIB
    assert ballast.load(0), "what is there stays"
    assert ballast.drop()
    assert not ballast.drop()
    assert list(tmp_path.iterdir()) == []


def test_no_ballast_where_it_would_fill_the_disk(tmp_path: Path) -> None:
    """On a disk with little room nothing is taken up."""
    ballast = Ballast(tmp_path, size_bytes=2 * MIB)
    assert not ballast.load(15 * MIB)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_with_ballast_starts_once_more(tmp_path: Path) -> None:
    """The first start drops the ballast; the second, still without room, says so and how much."""
    watch = DiskWatch(tmp_path, lambda d: 0 if (d / "ballast").exists() else BALLAST_BYTES)
    watch.ballast.path.write_bytes(b"x")
    assert watch.make_room()
    empty = DiskWatch(tmp_path, lambda _: 3 * MIB)
    with pytest.raises(DiskFull, match=rf"{tmp_path}: .* 3 MiB are left, 24 are needed.*free some"):
        empty.make_room()


def test_a_disk_that_fills_while_running_is_said(tmp_path: Path) -> None:
    """The ballast stays until the database has been told to end: its sessions would fill it."""
    room = [FULL_BELOW_BYTES, FULL_BELOW_BYTES - 1]
    watch = DiskWatch(tmp_path, lambda _: room.pop(0))
    watch.ballast.path.write_bytes(b"x")
    assert watch.look(0.0) is None
    assert watch.ballast.path.exists()
    assert isinstance(watch.look(1.0), DiskFull)
    assert watch.ballast.path.exists()


def test_a_full_disk_ends_the_run_with_one_line(place: Path) -> None:
    """While services run, a full disk ends `run` with an error that names directory and mend."""
    room = [10**9]  # enough for the ballast
    supervisor = Supervisor(place / "data", only=set(), bytes_free=lambda _: room[0])
    with supervisor:
        room[0] = MIB
        began = time.monotonic()
        with pytest.raises(DiskFull, match="nothing is lost - free some room and start again") as e:
            supervisor.run(10)
        assert time.monotonic() - began < 30
    assert not (place / "data" / "ballast").exists(), "room for PostgreSQL to end in order"
    assert str(place / "data") in str(e.value)
    assert "\n" not in str(e.value)
    with (
        pytest.raises(DiskFull, match="needed to start"),
        Supervisor(place / "data", only=set(), bytes_free=lambda _: MIB),
    ):
        pass


def test_free_bytes_are_those_of_an_ordinary_user(tmp_path: Path) -> None:
    """Blocks reserved for root are not counted as free."""
    state = os.statvfs(tmp_path)
    assert free_bytes(tmp_path) <= state.f_bfree * state.f_frsize
