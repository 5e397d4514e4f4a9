"""A disk that is really full: the one in memory of a mount of our own."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

pytestmark = pytest.mark.slow
# The second start is in the same mount, after the first has ended.
ROWS = 4_000
FILL = f"insert into t select g, repeat(md5(g::text), 60) from generate_series(1, {ROWS}) g"
TWICE = 'mount -t tmpfs -o size=700m,mode=755 none "$0" && { "$@"; "$@"; }'


def test_a_full_disk_loses_nothing_committed(
    place: Path, run_services, only_root, not_run: Callable[[str], None]
) -> None:
    """Every committed row outlives a server that stopped for want of room."""
    mount = [shutil.which("unshare") or "false", "-m", "sh", "-c"]
    trial = subprocess.run([*mount, f"mount -t tmpfs none {place}"], stderr=-1, check=False)
    if trial.returncode != 0:
        not_run("needs to mount a small disk")
    run = run_services(place / "data", "postgres", user=(*mount, TWICE, str(place)))
    committed = 0
    with psycopg.connect(run.dsn, autocommit=True) as connection:
        connection.execute("create table t (n int, x text)")
        began = time.monotonic()
        while time.monotonic() - began < 60:
            try:
                connection.execute(FILL)
            except psycopg.Error:
                break
            committed += ROWS
    text = run.process.stdout.readline()
    assert text, run.process.communicate(timeout=30)
    second = json.loads(text)
    with psycopg.connect(second["dsn"]) as connection:
        found = connection.execute("select count(*) from t").fetchone()
    assert committed > 0
    assert found == (committed,)
    subprocess.run(["kill", str(parent(second["pids"]["postgres"]))], check=True)
    _, errors = run.process.communicate(timeout=10)
    lines = errors.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{place}/data: the disk is full (")
    assert lines[0].endswith(
        "nothing is lost - free some room and start again: it goes on where it was"
    )


def parent(pid: int) -> int:
    """The process that runs the server: run_services.py."""
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
