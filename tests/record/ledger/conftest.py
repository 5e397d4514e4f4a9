"""A PostgreSQL with a small record of everything that can be recorded, sequenced and anchored."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from written import TEMPLATE, Ground, Written, write

from floorlog.local.supervisor import Supervisor


@pytest.fixture(scope="session")
def ground() -> Iterator[Ground]:
    """A server with a template of a written record."""
    directory = Path(tempfile.mkdtemp(prefix="floorlog-ledger-"))
    directory.chmod(0o755)
    try:
        with Supervisor(directory / "data", only={"postgres"}) as services:
            made = Ground(services, directory)
            write(made)
            yield made
            made.close()
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def written(ground: Ground) -> Iterator[Written]:
    """A copy of the written record, with anchors of its own."""
    with ground.copy(TEMPLATE) as copied:
        yield copied
