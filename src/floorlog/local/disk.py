"""Room on the disk: what is left, how long it lasts, a ballast to drop when it is full."""

import os
from collections import deque
from collections.abc import Callable
from pathlib import Path

from floorlog.errors import DiskFull

DAY_SECONDS = 86_400.0
MIB = 1 << 20
BALLAST_BYTES = 64 * MIB
# PostgreSQL writes its log of changes in files of 16 MiB, and stops hard when it cannot begin one.
FULL_BELOW_BYTES = 24 * MIB
# Below this the ballast would itself be what fills the disk.
BALLAST_NEEDS_BYTES = 8 * BALLAST_BYTES


def free_bytes(directory: Path) -> int:
    """Bytes that an ordinary user can still write on the disk of `directory`."""
    state = os.statvfs(directory)
    return state.f_bavail * state.f_frsize


class Forecast:
    """When the disk will be full, from samples of its free bytes over the last hours.

    Args:
        samples_max: how many samples are kept; the oldest goes first.
    """

    def __init__(self, samples_max: int = 360) -> None:
        self._samples: deque[tuple[float, int]] = deque(maxlen=samples_max)

    def add(self, now_seconds: float, bytes_free: int) -> None:
        """Add a sample; the clock must not go back."""
        self._samples.append((now_seconds, bytes_free))

    def days_left(self) -> float | None:
        """Days until nothing is free, at the samples' mean rate; None while it does not shrink."""
        if len(self._samples) < 2:
            return None
        (first_at, first_free), (last_at, last_free) = self._samples[0], self._samples[-1]
        if last_at <= first_at or last_free >= first_free:
            return None
        per_second = (first_free - last_free) / (last_at - first_at)
        return last_free / per_second / DAY_SECONDS


class Ballast:
    """A file that takes up room until the room is needed.

    A full disk stops PostgreSQL in the middle of a write; what it then needs to start again and
    to shut down in order comes from here.
    """

    def __init__(self, directory: Path, size_bytes: int = BALLAST_BYTES) -> None:
        self.path = directory / "ballast"
        self.size_bytes = size_bytes

    def load(self, bytes_free: int) -> bool:
        """Take up the room if there is plenty; whether the ballast is there afterwards."""
        if self.path.exists() and self.path.stat().st_size >= self.size_bytes:
            return True
        if bytes_free < self.size_bytes * (BALLAST_NEEDS_BYTES // BALLAST_BYTES):
            return False
        partial = self.path.with_suffix(".partial")
        with partial.open("wb") as file:
            _reserve(file.fileno(), self.size_bytes)
        partial.replace(self.path)
        return True

    def drop(self) -> bool:
        """Give the room back; whether there was any."""
        had_any = self.path.exists()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".partial").unlink(missing_ok=True)
        return had_any


def _reserve(descriptor: int, size_bytes: int) -> None:
    """Take up blocks for real: a file with holes would be no ballast."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size_bytes)
        return
    zeros = bytes(MIB)
    for _ in range(size_bytes // MIB):
        os.write(descriptor, zeros)


class DiskWatch:
    """Keeps the ballast, and says when the services cannot go on for want of room.

    Args:
        directory: the data directory.
        bytes_free: tells the free bytes of a directory's disk.
    """

    def __init__(self, directory: Path, bytes_free: Callable[[Path], int] = free_bytes) -> None:
        self.directory = directory
        self.ballast = Ballast(directory)
        self.forecast = Forecast()
        self._bytes_free = bytes_free

    def make_room(self) -> bool:
        """Load the ballast; or drop it where the disk is full already, so that a start is possible.

        Returns:
            Whether the ballast had to be dropped.

        Raises:
            DiskFull: there is too little room, and none to drop.
        """
        free = self._bytes_free(self.directory)
        if free >= FULL_BELOW_BYTES:
            self.ballast.load(free)
            return False
        if self.ballast.drop() and self._bytes_free(self.directory) >= FULL_BELOW_BYTES:
            return True
        raise DiskFull(
            f"the disk is full: {free // MIB} MiB are left, "
            f"{FULL_BELOW_BYTES // MIB} are needed to start",
            where=str(self.directory),
            fix="free some room, or choose a directory on another disk with --data DIR",
        )

    def look(self, now_seconds: float) -> DiskFull | None:
        """Take a sample; if the disk is full, say so."""
        free = self._bytes_free(self.directory)
        self.forecast.add(now_seconds, free)
        if free >= FULL_BELOW_BYTES:
            return None
        return DiskFull(
            f"the disk is full ({free // MIB} MiB left), so all services end; nothing is lost",
            where=str(self.directory),
            fix="free some room and start again: it goes on where it was",
        )
