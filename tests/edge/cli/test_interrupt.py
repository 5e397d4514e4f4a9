"""Ctrl-C at bad moments: a quick and quiet end, no process left, and a next start that works."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from floorlog.errors import FloorlogError
from floorlog.local.services import running
from floorlog.store.migrate import READER
from floorlog.store.reader import Reader

pytestmark = pytest.mark.slow
ROWS, DEVICES = 80_000, 20
END_SECONDS_MAX = 30.0  # a busy machine takes its time
INTERRUPTED = 130
MIB = 1 << 20


@dataclass
class Command:
    """A command that runs, what it has said, and the processes that were seen below it."""

    process: subprocess.Popen[bytes]
    said: Path
    below: dict[int, psutil.Process] = field(default_factory=dict)

    def look(self) -> str:
        """Take note of the processes; what was said so far."""
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                self.below[child.pid] = child
        return self.said.read_text()

    def wait_for(self, what: Callable[[str], object]) -> None:
        deadline = time.monotonic() + 60
        while not what(self.look()):
            assert time.monotonic() < deadline, self.said.read_text()
            time.sleep(0.01)

    def interrupt(self, *pauses: float) -> int:
        """Press Ctrl-C, again after each pause; the exit code. All must have ended then."""
        self.look()
        self.process.send_signal(signal.SIGINT)
        for pause in pauses:
            time.sleep(pause)
            self.process.send_signal(signal.SIGINT)
        code = self.process.wait(END_SECONDS_MAX)
        _, alive = psutil.wait_procs(list(self.below.values()), timeout=10)
        assert not alive
        assert "Traceback" not in self.said.read_text()
        return code


@pytest.fixture
def start(place: Path) -> Iterator[Callable[..., Command]]:
    """Start a command in the background; killed at the test's end if it still runs."""
    started: list[subprocess.Popen[bytes]] = []

    def begin(*words: str) -> Command:
        said = place / f"said-{len(started)}"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "floorlog", *words],
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        started.append(process)
        return Command(process, said)

    yield begin
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def csv(place: Path) -> Path:
    """A file that takes some seconds."""
    path = place / "long.csv"
    with path.open("w") as file:
        file.write("time,device,v,w\n")
        for n in range(ROWS):
            at = n // DEVICES
            clock = f"{at // 3600:02d}:{at // 60 % 60:02d}:{at % 60:02d}"
            file.write(f"2026-01-15T{clock}Z,d{n % DEVICES},{n * 7919 % 10_007}.25,{n}\n")
    return path


def stored(data: Path) -> int:
    """What the record of running services holds; 0 while there is none."""
    try:
        reader = Reader(running(data).postgres_dsn(READER))
        try:
            return reader.status().total.stored
        finally:
            reader.close()
    except FloorlogError:
        return 0


def test_a_trial_can_be_interrupted_in_mid_replay(floorlog, start, place, csv):
    """Once, twice or three times: all ends, what was stored stays, the next trial finishes it."""
    data = place / "data"
    for pauses in ((), (0.0,), (0.05, 0.3)):
        trial = start("try", str(csv), "--data", str(data), "--port", "0")
        trial.wait_for(lambda _: stored(data) > 0)
        # One more may come when all has ended and only Python itself is left to end.
        assert trial.interrupt(*pauses) in (INTERRUPTED, -signal.SIGINT)
    answer = floorlog("try", str(csv), "--once", "--json", "--data", str(data))
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["rejected"] == found["conflict"] == found["gaps"] == 0
    assert found["received"] == 2 * ROWS
    assert found["duplicate"] > 0
    with finished(start, data) as last:
        assert stored(data) == 2 * ROWS, last.look()


@contextmanager
def finished(start: Callable[..., Command], data: Path) -> Iterator[Command]:
    """The services of a directory once more, without a plant; ended in order."""
    up = start("up", "--no-plant", "--data", str(data), "--port", "0")
    up.wait_for(lambda said: "Floorlog runs" in said or up.process.poll() is not None)
    yield up
    assert up.interrupt() == 0


def test_a_trial_leaves_nothing_behind(start, csv, monkeypatch, place):
    """Without --data the place it made for itself is gone, whenever Ctrl-C came."""
    spare = place / "tmp"
    spare.mkdir()
    monkeypatch.setenv("TMPDIR", str(spare))
    for seconds in (1.0, 2.5):
        trial = start("try", str(csv), "--port", "0")
        trial.wait_for(lambda _: any(spare.iterdir()))
        time.sleep(seconds)
        assert trial.interrupt(0.1) in (INTERRUPTED, -signal.SIGINT)
        assert not any(spare.iterdir())


def test_up_can_be_interrupted_while_it_starts(start, place):
    """At once, at the first service, at the record, while the page loads; then it starts."""
    data = str(place / "data")
    for mark in ("", "postgres: ready", "valkey: ready", "worker-2: ready"):
        up = start("up", "--data", data, "--port", "0")
        up.wait_for(lambda said, mark=mark: (place / "data").exists() and mark in said)
        assert up.interrupt() == INTERRUPTED, mark
    with finished(start, place / "data"):
        pass


def test_a_full_disk_ends_up_in_order(start, place, only_root, not_run):
    """One line with the mend, exit code 1; with room again it goes on with all that was stored."""
    disk = place / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=640m,mode=755", "none", str(disk)]
    if not shutil.which("mount") or subprocess.run(mount, stderr=-3, check=False).returncode:
        not_run("needs to mount a small disk")
    try:
        data = disk / "data"
        up = start("up", "--data", str(data), "--port", "0")
        up.wait_for(lambda _: stored(data) > 0)
        assert (data / "ballast").exists()
        before = stored(data)
        with (disk / "fill").open("wb") as fill:
            fill.write(bytes(shutil.disk_usage(disk).free - 8 * MIB))
        up.wait_for(lambda _: up.process.poll() is not None)
        assert up.process.returncode == 1
        last = up.said.read_text().splitlines()[-1]
        assert last.startswith(f"floorlog: {data}: the disk is full (")
        assert "free some room and start again" in last
        assert not (data / "ballast").exists()
        (disk / "fill").unlink()
        with finished(start, data):
            assert stored(data) >= before
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
