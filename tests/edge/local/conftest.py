"""Places and processes for the tests of local services."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

RUN_SERVICES = Path(__file__).with_name("run_services.py")


@dataclass
class Running:
    """A process of run_services.py, with what it said of its services."""

    process: subprocess.Popen[str]
    pids: dict[str, int] = field(default_factory=dict)
    dsn: str = ""


@pytest.fixture
def run_services(
    remaining: Callable[..., list[psutil.Process]],
) -> Iterator[Callable[..., Running]]:
    """Start services in a process of their own, as this or another user."""
    started: list[subprocess.Popen[str]] = []

    def run(directory: Path, only: str, *more: str, user: tuple[str, ...] = ()) -> Running:
        process = subprocess.Popen(
            [*user, sys.executable, str(RUN_SERVICES), str(directory), only, *more],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
        )
        started.append(process)
        line = process.stdout.readline()
        return Running(process, **json.loads(line)) if line else Running(process)

    yield run
    for process in started:
        process.kill()
        process.communicate()
    remaining()
