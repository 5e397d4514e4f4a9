"""`floorlog try` on many files as one process, and what the record holds afterwards."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from floorlog.config import Settings, variable
from floorlog.local.supervisor import Supervisor
from floorlog.store.migrate import READER

SECONDS_MAX = 240.0
QUERY = """
    SELECT device_id, metric, (extract(epoch FROM ts) * 1000000)::int8, value
    FROM floorlog.reading
"""

Reading = tuple[str, int, float]
"""Metric, time in µs UTC, value."""


@dataclass(frozen=True)
class Tried:
    """What `try` said in its one JSON object, and the record's readings by device."""

    said: dict[str, int]
    held: dict[str, Counter[Reading]]


def tried(files: Sequence[Path]) -> Tried:
    """Put the files through `try`, and read the record as anyone may: by SQL, after a restart."""
    names = {variable(field) for field in Settings.__struct_fields__} | {"FLOORLOG_DATA"}
    environment = {name: value for name, value in os.environ.items() if name not in names}
    with tempfile.TemporaryDirectory(prefix="floorlog-real-") as name:
        Path(name).chmod(0o755)
        data = Path(name) / "data"
        command = [sys.executable, "-m", "floorlog", "try", "--once", "--json", "--data", str(data)]
        done = subprocess.run(
            [*command, *map(str, files)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2_000:]
        (line,) = done.stdout.splitlines()
        return Tried(json.loads(line), held(data))


def held(data: Path) -> dict[str, Counter[Reading]]:
    """All readings of the record, by device."""
    found: dict[str, Counter[Reading]] = {}
    with Supervisor(data, only={"postgres"}) as services:  # noqa: SIM117 - the order matters
        with psycopg.connect(services.postgres_dsn(READER)) as connection:
            for device, *reading in connection.execute(QUERY):
                found.setdefault(device, Counter())[tuple(reading)] += 1
    return found
