"""One set of real services for all campaigns; a fresh record and stream for each."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ground import Site, site

from floorlog.local.supervisor import Supervisor

_numbers = count(1)


@pytest.fixture(scope="session")
def supervisor() -> Iterator[Supervisor]:
    """PostgreSQL, Valkey and the stream server, in a place that every user can pass through."""
    with tempfile.TemporaryDirectory(prefix="floorlog-torture-") as name:
        Path(name).chmod(0o755)
        running = Supervisor(Path(name) / "data")
        with running:
            yield running


@pytest.fixture
def new_site(supervisor: Supervisor) -> Callable[..., AbstractContextManager[Site]]:
    """Give what makes a site, for a `with` block; it takes the count of shards."""

    def make(shards: int = 2) -> AbstractContextManager[Site]:
        return site(supervisor, f"torture{next(_numbers)}", shards)

    return make
