"""A PostgreSQL with a small record of everything that can be recorded, sequenced and anchored."""

import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from aged import write_aged
from written import TEMPLATE, Ground, Written, write

from floorlog.cli import floorlog
from floorlog.local.supervisor import Supervisor
from floorlog.store.migrate import OPERATOR


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


@pytest.fixture
def command(written: Written, tmp_path: Path, monkeypatch, capsys):
    """Runs a command against the written record; returns what it printed."""
    secret = tmp_path / "secret.json"

    def run(*arguments: str, role: str = OPERATOR) -> str:
        host = psycopg.conninfo.conninfo_to_dict(written.dsn(role))
        said = {"username": role, "password": "", "host": host["host"], "port": host["port"]}
        said["password"] = host.get("password", "")
        secret.write_text(json.dumps({**said, "dbname": written.database}))
        monkeypatch.setenv("DB_SECRET_ARN", f"file:{secret}")
        monkeypatch.setenv("FLOORLOG_ANCHOR", str(written.directory / "anchors"))
        floorlog.main(list(arguments), standalone_mode=False)
        return str(capsys.readouterr().out)

    return run


@pytest.fixture(scope="session")
def aged_ground(ground: Ground) -> Ground:
    """The server with the template of an aged record."""
    write_aged(ground)
    return ground
