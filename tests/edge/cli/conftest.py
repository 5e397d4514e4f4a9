"""Floorlog's command line as a process, and one set of local services for a file's tests."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from floorlog.config import Settings, variable

SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str


def clean_environment(others: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without any setting of Floorlog's or AWS's, and with a home of nobody's."""
    names = {variable(field) for field in Settings.__struct_fields__}
    kept = {k: v for k, v in os.environ.items() if k not in names and not k.startswith("AWS_")}
    return {**kept, "XDG_DATA_HOME": "/nonexistent/share", "HOME": "/nonexistent", **(others or {})}


def run(*arguments: str, **others: str) -> Answer:
    """Run one command to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "floorlog", *arguments],
        env=clean_environment(others),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def floorlog() -> Callable[..., Answer]:
    """Run one command to its end; keywords are variables of its environment."""
    return run


def wait_for(what: Callable[[], object], seconds: float = SECONDS_MAX) -> None:
    """Wait until something holds; fails the test otherwise."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


@dataclass(frozen=True)
class Running:
    """A `floorlog up` that runs: its process, its data, and what it says."""

    process: subprocess.Popen[bytes]
    data: Path
    said: Path

    def text(self) -> str:
        return self.said.read_text()


@contextmanager
def running_up() -> Iterator[Running]:
    """`floorlog up` with the demo plant, ended by Ctrl-C."""
    with tempfile.TemporaryDirectory(prefix="floorlog-cli-") as name:
        place = Path(name)
        place.chmod(0o755)
        said = place / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "floorlog", "up", "--data", str(place / "data")],
                env=clean_environment({"FLOORLOG_WEB_PORT": "0"}),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        running = Running(process, place / "data", said)
        try:
            wait_for(lambda: "Floorlog runs" in running.text() or process.poll() is not None)
            yield running
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(20)


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    """One `floorlog up` for the tests that leave it running."""
    with running_up() as running:
        yield running


@pytest.fixture
def own_up() -> Iterator[Running]:
    """A `floorlog up` that the test may end."""
    with running_up() as running:
        yield running
