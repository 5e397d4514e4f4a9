"""What processes cost, from the kernel's own accounting."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
SAMPLE_SECONDS = 0.1


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; [0] is the state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def own_seconds(pid: int) -> float:
    """CPU seconds of a living process, all its threads, to the nanosecond."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += map(int, (task / "children").read_text().split())
    return found


def tree_seconds(postmaster: int, without: Collection[int] = ()) -> float:
    """CPU seconds of PostgreSQL: postmaster, living backends, and those that ended.

    Args:
        postmaster: its pid.
        without: backends of the benchmark itself, which must stay connected all the while.
    """
    fields = _stat(postmaster)
    total = own_seconds(postmaster) + (int(fields[13]) + int(fields[14])) / TICKS
    for pid in children(postmaster):
        if pid not in without:
            try:
                total += own_seconds(pid)
            except OSError:  # it ended meanwhile; the next look counts it with the postmaster
                continue
    return total


def pss_mib(pid: int) -> float:
    """A process's proportional share of memory."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


@dataclass
class Subject:
    """A process under measurement, from its first instruction to its last.

    Attributes:
        cpu_seconds: of the process and the children it waited for, known once ended.
        pss_mib_max: the most memory seen.
    """

    argv: list[str]
    environment: Mapping[str, str]
    log: Path
    cpu_seconds: float = 0.0
    pss_mib_max: float = 0.0
    exit_code: int | None = None
    pid: int = 0
    started_s: float = 0.0
    _done: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Start it, and a thread that samples its memory."""
        with self.log.open("wb") as out:
            self.started_s = time.monotonic()
            process = subprocess.Popen(
                self.argv, env=dict(self.environment), stdout=out, stderr=subprocess.STDOUT
            )
        self.pid = process.pid
        self._process = process
        self._sampler = threading.Thread(target=self._sample, daemon=True)
        self._sampler.start()

    def running_seconds(self) -> float:
        """CPU seconds so far."""
        return own_seconds(self.pid)

    def stop(self) -> None:
        """Ask it to end."""
        os.kill(self.pid, signal.SIGTERM)

    def wait(self, timeout_s: float = 120.0) -> None:
        """Wait for its end and take its account. Raises RuntimeError if it failed."""
        deadline = time.monotonic() + timeout_s
        while True:
            pid, status, usage = os.wait4(self.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline:
                os.kill(self.pid, signal.SIGKILL)
                deadline = float("inf")
            time.sleep(0.01)
        self._done.set()
        self._sampler.join()
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.exit_code = self._process.returncode = os.waitstatus_to_exitcode(status)
        if self.exit_code not in (0, -signal.SIGTERM):
            said = self.log.read_text("utf-8", "replace")[-2000:]
            raise RuntimeError(f"{self.argv} ended with {self.exit_code}: {said}")

    def _sample(self) -> None:
        while not self._done.wait(SAMPLE_SECONDS):
            try:
                self.pss_mib_max = max(self.pss_mib_max, pss_mib(self.pid))
            except OSError:  # it ended
                return
