"""Which process a pid means: a pid is used again, a pid with its time of birth is not."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from floorlog.errors import ServiceError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Stop(NamedTuple):
    """One step on the way to a process's end: the signal, and the seconds it has to work."""

    signal_number: int
    patience_seconds: float


class PidFile(msgspec.Struct, frozen=True):
    """What is written down of a started process, for whoever comes after a crash.

    Attributes:
        pid: the process.
        birth: when it was born, as `birth` tells it.
        stops: how it is ended.
    """

    pid: int
    birth: str
    stops: tuple[Stop, ...]

    def write(self, path: Path) -> None:
        """Write the file whole or not at all."""
        partial = path.with_suffix(".partial")
        partial.write_bytes(msgspec.json.encode(self))
        partial.replace(path)

    @classmethod
    def read(cls, path: Path) -> "PidFile | None":
        """The file's content; None if there is none that can be read."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (OSError, msgspec.MsgspecError):
            return None

    def is_alive(self) -> bool:
        """Whether this very process still runs; another one with its pid does not count."""
        return birth(self.pid) == self.birth

    def send(self, signal_number: int) -> bool:
        """Signal this very process; whether it was there to be signalled."""
        if not hasattr(os, "pidfd_open"):
            if self.is_alive():
                os.kill(self.pid, signal_number)
                return True
            return False
        try:
            # The descriptor holds on to the process: its pid cannot change hands after the check.
            descriptor = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if not self.is_alive():
                return False
            signal.pidfd_send_signal(descriptor, signal_number)
        except ProcessLookupError:
            return False
        finally:
            os.close(descriptor)
        return True


def birth(pid: int) -> str:
    """When the process was born, as a text to compare; "" if it is gone or dead."""
    if not sys.platform.startswith("linux"):
        answer = subprocess.run(
            ["/bin/ps", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.stdout.strip()
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The name stands in brackets and may hold anything; the fields after it begin with the third.
    fields = stat[stat.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return ""
    return f"{BOOT_ID.read_text().strip()}:{fields[19]}"


def end_all(leftovers: Sequence[PidFile]) -> list[PidFile]:
    """End processes of an earlier run, all at once; returns those that resist."""
    remaining = [left for left in leftovers if left.is_alive()]
    for left in remaining:
        left.send(left.stops[0].signal_number)
        left.send(signal.SIGCONT)  # a paused process hears nothing else
    steps = max((len(left.stops) for left in remaining), default=0)
    for step in range(steps):
        patience_seconds = max(
            left.stops[min(step, len(left.stops) - 1)].patience_seconds for left in remaining
        )
        deadline = time.monotonic() + patience_seconds
        while remaining and time.monotonic() < deadline:
            time.sleep(0.02)
            remaining = [left for left in remaining if left.is_alive()]
        if not remaining:
            break
        for left in remaining:
            left.send(left.stops[min(step + 1, len(left.stops) - 1)].signal_number)
    return remaining


def end_leftovers(run: Path) -> None:
    """End what an earlier run left behind, by its pid files in `run`, and remove those.

    Only for the holder of the data directory's lock: then nobody else looks after the processes.

    Raises:
        ServiceError: one of them does not end.
    """
    paths = sorted(run.glob("*.pid"))
    files = [file for path in paths if (file := PidFile.read(path)) is not None]
    for left in end_all(files):
        raise ServiceError(
            f"a process of an earlier run does not end (process {left.pid})",
            where=str(run),
            fix=f"end it with: kill -9 {left.pid}",
        )
    for path in paths:
        path.unlink(missing_ok=True)
