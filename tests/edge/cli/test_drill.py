"""The backup drill: what it says of a sound record and of one that is not, and what it leaves."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import psycopg
import pytest
from botocore.session import Session

from floorlog.config import Settings, variable
from floorlog.local.backup import Backups
from floorlog.local.place import server_account
from floorlog.local.services import REGION, STREAM_NAME, running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
KILLS = 5
LIMIT_SECONDS = 300


def clean_environment(others: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without any setting of Floorlog's or AWS's, and with a home of nobody's."""
    names = {variable(field) for field in Settings.__struct_fields__}
    kept = {k: v for k, v in os.environ.items() if k not in names and not k.startswith("AWS_")}
    return {**kept, "XDG_DATA_HOME": "/nonexistent/share", "HOME": "/nonexistent", **(others or {})}


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Wait until something holds; fails the test otherwise."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.1)


def drill(data: Path, *asked: str) -> tuple[int, dict, str]:
    """A drill's exit code, report, and what it said besides."""
    done = subprocess.run(
        command(data, *asked, "--json"), env=clean_environment(), capture_output=True, text=True,
        timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def command(data: Path, *asked: str) -> list[str]:
    return [sys.executable, "-m", "floorlog", "drill", "--data", str(data), "--wal", "0.5", *asked]


def feed(data: Path, stop: threading.Event) -> None:
    """Readings into the stream, some each second."""
    client = Session().create_client(
        "kinesis", region_name=REGION, endpoint_url=running(data).kinesis_endpoint,
        aws_access_key_id="local", aws_secret_access_key="local",
    )  # fmt: skip
    while not stop.wait(1):
        stamp = f"{datetime.now(UTC).replace(tzinfo=None).isoformat('T', 'milliseconds')}Z"
        values = {"t": round(random.gauss(50, 1), 2), "p": 3.5}
        for number in range(10):
            frame = {"device_id": f"press-{number}", "ts": stamp, "values": values}
            client.put_record(
                StreamName=STREAM_NAME, PartitionKey=f"press-{number}", Data=json.dumps(frame)
            )


@pytest.fixture(scope="module")
def plant() -> Iterator[Path]:
    """The data directory of services that run, with readings coming in and anchored each second."""
    with tempfile.TemporaryDirectory(prefix="floorlog-drill-") as name:
        place = Path(name)
        place.chmod(0o755)
        data, said = place / "data", place / "said"
        with said.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "floorlog", "up", "--data", str(data), "--no-plant"],
                env=clean_environment(
                    {
                        "FLOORLOG_WEB_PORT": "0",
                        "FLOORLOG_ANCHOR_SECONDS": "1",
                        "FLOORLOG_POLL_MS": "1500",  # so that the plant costs little
                    }
                ),
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        stop = threading.Event()
        try:
            wait_for(lambda: "Floorlog runs" in said.read_text() or process.poll() is not None)
            thread = threading.Thread(target=feed, args=(data, stop))
            thread.start()
            wait_for(lambda: any((data / "anchors").glob("*.note")))
            yield data
        finally:
            stop.set()
            process.send_signal(signal.SIGINT)
            process.wait(60)


def assert_clean(data: Path) -> None:
    """No process of the drill's is left, and nothing of its data."""
    place = data / "drill"
    assert [path.name for path in place.iterdir()] == ["lock"]
    assert not (data / "anchors" / "fork-0001").exists()


def processes_in(place: Path) -> list[str]:
    """Who works below a directory."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if str(place) in " ".join(process.cmdline()) or process.cwd().startswith(str(place)):
                found.append(" ".join(process.cmdline()))
    return found


def test_a_drill_passes_and_says_so(plant) -> None:
    """Restored, declared, read again, verified; a report for machines and one for people."""
    code, report, said = drill(plant)
    assert (code, report["wrong"]) == (0, []), said
    assert report["ok"]
    assert report["fork"]["size"] < report["fork"]["lost_size"]
    assert (report["missing"], report["doubled"]) == (0, 0)
    assert report["reread"] >= report["compared"] > 0
    assert report["restored"]["ok"]
    assert report["restored"]["readings"] > 0
    assert report["verified"]["readings"] == report["restored"]["readings"] + report["reread"]
    (fork,) = report["verified"]["forks"]
    assert fork["reason"] == "drill"
    assert 0 <= report["recovery_point_seconds"] < LIMIT_SECONDS
    assert 0 < report["recovery_seconds"] < LIMIT_SECONDS
    assert set(report["steps"]) > {"backup", "restore", "verify", "read again", "verify again"}
    path = max((plant / "drills").glob("*.md"), key=lambda one: one.stat().st_mtime)
    text = path.read_text()
    assert ": passed" in text
    assert "declared fork" in text
    assert json.loads(path.with_suffix(".json").read_text()) == report
    assert_clean(plant)
    assert processes_in(plant / "drill") == []


def test_a_backup_of_last_night(plant, tmp_path) -> None:
    """A base backup that somebody took before is restored, without any log after it."""
    services = running(plant)
    backups = Backups(services.postgres, server_account(plant))
    place = plant / "last-night"
    place.mkdir(mode=0o777)
    place.chmod(0o777)
    backups.take(place / "base", LIMIT_SECONDS)
    code, report, said = drill(plant, "--backup", str(place / "base"), "--report", str(tmp_path))
    assert (code, report["wrong"]) == (0, []), said
    assert report["backup"] == str(place / "base")
    assert report["reread"] >= report["compared"] > 0
    assert len(list(tmp_path.glob("drill-*.json"))) == 1
    (place / "base" / "backup_label").unlink()
    code, _, said = drill(plant, "--backup", str(place / "base"))
    assert code == 1
    assert "no base backup" in said.splitlines()[-1]
    assert_clean(plant)


def kill_again_and_again(plant: Path, kills: int, seed: int) -> None:
    """Drills killed at random moments; each next one clears up, and the record verifies."""
    chance = random.Random(seed)
    print(f"kills at random: seed {seed}")
    for _ in range(kills):
        process = subprocess.Popen(
            command(plant), env=clean_environment(), stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        time.sleep(chance.uniform(0.3, 8))
        process.kill()
        process.wait(30)
    drill(plant, "--backup", "/nonexistent")  # refused, once what was left is cleared up
    assert_clean(plant)
    wait_for(lambda: processes_in(plant / "drill") == [])
    verified = subprocess.run(
        [sys.executable, "-m", "floorlog", "verify", "--data", str(plant), "--json"],
        env=clean_environment(), capture_output=True, text=True, timeout=LIMIT_SECONDS, check=False,
    )  # fmt: skip
    found = json.loads(verified.stdout)
    assert (verified.returncode, found["wrong"], found["forks"]) == (0, [], [])


def test_drills_killed_at_random(plant) -> None:
    """Five times by kill -9: the record that runs is none the worse, and nothing piles up."""
    kill_again_and_again(plant, KILLS, random.randrange(10**6))


@pytest.mark.long
@pytest.mark.timeout(7_200)
def test_drills_killed_at_random_for_long(plant) -> None:
    """Fifty times by kill -9; the next one passes."""
    kill_again_and_again(plant, 50, random.randrange(10**6))
    code, report, said = drill(plant)
    assert (code, report["wrong"]) == (0, []), said


def test_two_drills_at_once(plant) -> None:
    """The second one is refused in one line, and leaves the first one alone."""
    first = subprocess.Popen(
        command(plant), env=clean_environment(), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for((plant / "drill" / "data").exists)
        code, _, said = drill(plant)
        assert code == 1
        assert "in use by another Floorlog" in said.splitlines()[-1]
        assert (plant / "drill" / "data").exists()
    finally:
        first.send_signal(signal.SIGINT)
        first.wait(60)
    wait_for(lambda: processes_in(plant / "drill") == [])
    assert_clean(plant)


def test_a_changed_record_fails_its_drill(plant) -> None:
    """The backup brings the change along: the report names it, and the exit code is 1."""
    with psycopg.connect(running(plant).postgres_dsn(), autocommit=True) as connection:

        def change(by: int, row: tuple[int, int]) -> None:
            done = connection.execute(
                "UPDATE floorlog.batch SET received = received + %s"
                " WHERE (lease_id, number) = (%s, %s)",
                [by, *row],
            )
            assert done.rowcount == 1

        def stored() -> list[tuple[int, int]]:
            return connection.execute(
                "SELECT lease_id, number FROM floorlog.batch WHERE stored > 0 ORDER BY 1, 2 LIMIT 1"
            ).fetchall()

        wait_for(stored)
        (row,) = stored()  # the very one is changed back: which is the first may be another by then
        change(1, row)
        try:
            code, report, said = drill(plant)
        finally:
            change(-1, row)  # others drill the same record
    assert code == 1
    assert not report["ok"]
    assert report["wrong"][0].startswith("the restored record: batch: the entry is not"), said
    assert_clean(plant)
