"""A worker in Fargate's smallest box: 0.25 of a CPU and 512 MiB, by control groups set by hand.

python bench/box.py                   # as root, with control groups of version 1 or 2
python bench/box.py --image FOLDER    # of the image that bench/image.py built in FOLDER

With an image its own command runs in its own root, which is read-only, as its own user, and beside
the worker runs a keeper, as in a task. Says how long until the first commit, how many readings a
second it keeps up with from one full shard, memory at most, how long SIGTERM takes, and that a kill
loses and doubles nothing.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import place
from workload import encode

CPU_SHARE = 0.25
MEMORY_BYTES = 512 * 1024 * 1024
PERIOD_US = 100_000
READINGS = 400_000
SERIES = 900
GROUPS = Path("/sys/fs/cgroup")
STREAM = "box"


class Box:
    """A control group that holds processes to a share of a CPU and so much memory."""

    def __init__(self) -> None:
        name = f"floorlog-box-{os.getpid()}"
        quota = round(CPU_SHARE * PERIOD_US)
        if (GROUPS / "cgroup.controllers").exists():
            self.folders = [GROUPS / name]
            settings = {"cpu.max": f"{quota} {PERIOD_US}", "memory.max": MEMORY_BYTES}
            self._peak = self.folders[0] / "memory.peak"
        else:
            self.folders = [GROUPS / "cpu" / name, GROUPS / "memory" / name]
            settings = {"cpu.cfs_period_us": PERIOD_US, "cpu.cfs_quota_us": quota,
                        "memory.limit_in_bytes": MEMORY_BYTES}  # fmt: skip
            self._peak = self.folders[1] / "memory.max_usage_in_bytes"
        for folder in self.folders:
            folder.mkdir()
        for setting, value in settings.items():
            for folder in self.folders:
                if (folder / setting).exists():
                    (folder / setting).write_text(str(value))

    def enter(self) -> None:
        """Put the calling process in; called in a child before it becomes the worker."""
        for folder in self.folders:
            (folder / "cgroup.procs").write_text(str(os.getpid()))

    def peak_mib(self) -> float:
        """The most memory that was used, page cache included."""
        return int(self._peak.read_text()) / 2**20

    def close(self) -> None:
        """Remove the groups."""
        for folder in self.folders:
            for _ in range(50):
                with suppress(OSError):
                    folder.rmdir()
                    break
                time.sleep(0.1)


@contextmanager
def box() -> Iterator[Box]:
    """A box, removed afterwards."""
    found = Box()
    try:
        yield found
    finally:
        found.close()


class Start:
    """How a command of Floorlog is started in the box: from this checkout, or from an image."""

    def __init__(self, where: place.Place, inside: Box, image: Path | None) -> None:
        self._where, self._inside = where, inside
        self._log = where.directory / "worker.log"
        self._image = None if image is None else json.loads((image / "image.json").read_text())

    def __call__(self, command: str, role: str = "floorlog_writer") -> subprocess.Popen[bytes]:
        """Start it; assertions are not turned off."""
        words = [sys.executable, "-m", "floorlog", command]
        found = self._where.variables(role)
        environment = {**self._where.environment, "KINESIS_STREAM_NAME": STREAM}
        if self._image is not None:
            secret = found.pop("DB_SECRET_ARN").removeprefix("file:")
            inside = Path(__file__).with_name("inside.py")
            words = ["unshare", "--mount", "--propagation", "private", sys.executable, str(inside),
                     self._image["root"], secret, *self._image["entrypoint"], command]  # fmt: skip
            environment = {
                **self._image["environment"],
                **found,
                "KINESIS_STREAM_NAME": STREAM,
                "DB_SECRET_ARN": "file:/run/floorlog/secret.json",
                "FLOORLOG_ANCHOR": "/run/floorlog/anchors",
                "FLOORLOG_SIGNING_KEY": "/run/floorlog/signing.key",
            }
        with self._log.open("ab") as file:
            return subprocess.Popen(
                words,
                env=environment,
                stdout=file,
                stderr=file,
                preexec_fn=self._inside.enter,  # noqa: PLW1509 - no thread here that could hold a lock at the fork
            )

    def beside(self) -> subprocess.Popen[bytes] | None:
        """The task's other container; none when there is no image."""
        return None if self._image is None else self("keeper", "floorlog_keeper")


def fill(where: place.Place) -> None:
    """A backlog of readings in one shard: more than the box reads in a minute."""
    where.kinesis.create_stream(StreamName=STREAM, ShardCount=1)
    waiter = where.kinesis.get_waiter("stream_exists")
    waiter.wait(StreamName=STREAM, WaiterConfig={"Delay": 1, "MaxAttempts": 20})
    base_ms = time.time_ns() // 1_000_000 - 3_600_000
    call = []
    for number in range(READINGS):
        series, tick = number % SERIES, number // SERIES
        call.append(encode(series, base_ms + 1_000 * tick, round(71 + (number % 997) / 100, 2)))
        if len(call) == place.CALL_RECORDS:
            where.put(STREAM, call)
            call = []
    where.put(STREAM, call)


def until(where: place.Place, count: int, process: subprocess.Popen[bytes]) -> float:
    """The moment at which so many readings were stored."""
    deadline = time.monotonic() + 300
    while where.value(place.STORED) < count:
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the worker ended with {process.poll()}, or hangs")
        time.sleep(0.05)
    return time.monotonic()


def measure(where: place.Place, inside: Box, start: Start) -> dict[str, Any]:
    """All figures."""
    began_s = time.monotonic()
    first, keeper = start("worker"), start.beside()
    first_s = until(where, 1, first)
    at = where.value(place.STORED)
    kill_at = READINGS // 3
    killed_s = until(where, kill_at, first)
    rate = (where.value(place.STORED) - at) / (killed_s - first_s)
    first.send_signal(signal.SIGKILL)
    first.wait()
    killed_s = time.monotonic()
    at = where.value(place.STORED)
    second = start("worker")
    again_s = until(where, at + 1, second)
    until(where, 2 * READINGS // 3, second)
    asked_s = time.monotonic()
    second.send_signal(signal.SIGTERM)
    code = second.wait(60)
    drained_s = time.monotonic()
    third = start("worker")
    until(where, READINGS, third)
    third.send_signal(signal.SIGTERM)
    third.wait(60)
    if keeper is not None:
        keeper.send_signal(signal.SIGTERM)
        assert keeper.wait(60) == 0, "the keeper did not end in order"
    distinct = where.value("SELECT count(DISTINCT (device_id, metric, ts)) FROM floorlog.reading")
    return {
        "start to first commit, s": round(first_s - began_s, 1),
        "readings a second from one shard": round(rate),
        "memory at most, MiB": round(inside.peak_mib()),
        "kill -9 to the next commit, s": round(again_s - killed_s, 1),
        "SIGTERM to exit, s": round(drained_s - asked_s, 1),
        "exit code": code,
        "stored": where.value(place.STORED),
        "distinct": distinct,
        "sent": READINGS,
    }


def main() -> None:
    """Print the figures as JSON."""
    words = argparse.ArgumentParser()
    words.add_argument("--image", type=Path)
    image = words.parse_args().image
    with place.open_place() as where, box() as inside:
        where.fresh_record()
        fill(where)
        found = measure(where, inside, Start(where, inside, image))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
