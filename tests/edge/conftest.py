"""Places, users and remains of processes, for the tests that start real services."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from floorlog.local.place import Account, barrier

NOBODY = Account("nobody", 65_534, 65_534)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can pass through, unlike root's `tmp_path`."""
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def only_root(not_run: Callable[[str], None]) -> None:
    """Say that the test did not run where changing to another user is not allowed."""
    if os.geteuid() != 0:
        not_run("needs root, to change to another user")


@pytest.fixture
def ordinary_user(only_root: None, not_run: Callable[[str], None]) -> tuple[str, ...]:
    """What to put before a command to run it as an ordinary user."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        not_run("needs setpriv, to change to another user")
    ids = f"--reuid={NOBODY.uid}", f"--regid={NOBODY.gid}", "--clear-groups"
    blocked = [p for p in (sys.executable, __file__) if barrier(Path(p).resolve(), NOBODY)]
    if not blocked:
        return (setpriv, *ids, "--inh-caps=-all", "--bounding-set=-all")
    # This Python lies in root's home: let the user read there, and nothing else.
    read = "dac_read_search"
    return (setpriv, *ids, f"--inh-caps=-all,+{read}", f"--ambient-caps=-all,+{read}")


def processes_in(directory: Path) -> list[psutil.Process]:
    """The live processes that work in this directory or name it on their command line."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            named = any(str(directory) in word for word in process.cmdline())
            if named or Path(process.cwd()).is_relative_to(directory):
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture
def remaining(place: Path) -> Iterator[Callable[..., list[psutil.Process]]]:
    """What still runs from `place` after some seconds; at the test's end it is ended."""

    def wait(seconds: float = 0.0) -> list[psutil.Process]:
        deadline = time.monotonic() + seconds
        while (found := processes_in(place)) and time.monotonic() < deadline:
            time.sleep(0.05)
        return found

    yield wait
    for process in processes_in(place):
        process.kill()
