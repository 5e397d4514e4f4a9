"""Which process a pid means, and how leftovers are ended."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from floorlog.errors import ServiceError
from floorlog.local.birth import PidFile, Stop, birth, end_all, end_leftovers

STOPS = (Stop(signal.SIGTERM, 0.3), Stop(signal.SIGKILL, 2.0))
STUBBORN = (
    "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["/bin/sleep", "60"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def stubborn() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_birth_is_stable_and_ends_with_the_process(sleeper) -> None:
    """The same process always has the same birth; a dead one, reaped or not, has none."""
    assert birth(sleeper.pid) == birth(sleeper.pid) != ""
    assert birth(sleeper.pid) != birth(os.getppid())
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)
    assert birth(sleeper.pid) == ""
    sleeper.wait()
    assert birth(sleeper.pid) == ""


def test_a_stranger_with_the_same_pid_is_never_signalled(sleeper, tmp_path: Path) -> None:
    """A pid that was given to another program since is left alone, and its pid file goes."""
    PidFile(sleeper.pid, "another-boot:1", STOPS).write(tmp_path / "postgres.pid")
    end_leftovers(tmp_path)
    assert sleeper.poll() is None
    assert not PidFile(sleeper.pid, "another-boot:1", STOPS).send(signal.SIGKILL)
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_ended_with_rising_force(sleeper, stubborn, tmp_path: Path) -> None:
    """What an earlier run left behind ends: politely where it listens, else by force."""
    for name, process in {"a": sleeper, "b": stubborn}.items():
        PidFile(process.pid, birth(process.pid), STOPS).write(tmp_path / f"{name}.pid")
    end_leftovers(tmp_path)
    assert sleeper.wait(1) == -signal.SIGTERM
    assert stubborn.wait(1) == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_one_that_resists_is_named(stubborn, tmp_path: Path) -> None:
    """A process that does not end is said with its number and the command that ends it."""
    file = PidFile(stubborn.pid, birth(stubborn.pid), (Stop(signal.SIGTERM, 0.1),))
    assert end_all([file]) == [file]
    file.write(tmp_path / "a.pid")
    with pytest.raises(ServiceError, match=f"kill -9 {stubborn.pid}"):
        end_leftovers(tmp_path)


@pytest.mark.parametrize("content", [b"", b"17", b'{"pid":1', b"\xff"])
def test_a_damaged_pid_file_is_passed_over(tmp_path: Path, content: bytes) -> None:
    """Half a pid file, left by a crash, does not bar the start."""
    (tmp_path / "a.pid").write_bytes(content)
    assert PidFile.read(tmp_path / "a.pid") is None
    end_leftovers(tmp_path)
    assert list(tmp_path.iterdir()) == []
