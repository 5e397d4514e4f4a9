"""`up` and what is asked of the services that it runs."""

import json
import time
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest

pytestmark = pytest.mark.slow  # starts the whole of `up`

COUNTS = {"received", "stored", "rejected", "duplicate", "conflict", "gaps", "lag"}


def status(floorlog: Callable[..., Any], up: Any) -> dict[str, Any]:
    answer = floorlog("status", "--json", "--data", str(up.data))
    assert answer.code == 0, answer.err
    return json.loads(answer.out)


def test_up_brings_readings_into_the_record(floorlog, up):
    """Soon after its line, hundreds of the plant's readings are stored, nothing rejected.

    Of duplicates there may be some: `send` sends the plant's seconds once more.
    """
    assert up.process.poll() is None, up.text()
    deadline = time.monotonic() + 60
    while (found := status(floorlog, up))["total"]["stored"] < 1_800:
        assert time.monotonic() < deadline, (found, up.text())
        time.sleep(0.3)
    assert found["total"]["rejected"] == 0
    assert found["total"]["gaps"] == 0
    assert set(found["total"]) == COUNTS
    assert len(found["shards"]) == 2
    for row in found["shards"].values():
        assert set(row) == COUNTS
        assert row["received"] == row["stored"] + row["rejected"] + row["duplicate"]
        assert row["stored"] > 0
    summed = sum(row["stored"] for row in found["shards"].values())
    assert found["total"]["stored"] == summed


def test_up_says_where_things_are_in_one_line(up):
    """One line names the stream's address, the data directory and how to end it."""
    (line,) = [line for line in up.text().splitlines() if line.startswith("Floorlog runs")]
    assert "http://127.0.0.1:" in line
    assert str(up.data) in line
    assert "Ctrl-C" in line


def test_send_adds_to_the_stream(floorlog, up):
    """`send --plant --seconds 1` sends one second of 300 devices and says so."""
    answer = floorlog("send", "--plant", "--seconds", "1", "--data", str(up.data))
    assert answer.code == 0, answer.err
    sent = int(answer.out.split()[1])
    assert 290 * 3 <= sent <= 300 * 3


def test_migrate_has_nothing_to_do_after_up(floorlog, up):
    """The record is at this release; migrating again changes nothing."""
    answer = floorlog("migrate", "--data", str(up.data))
    assert answer.code == 0, answer.err
    assert answer.out == "nothing to do: the database is at this release\n"


def test_doctor_finds_all_that_runs(floorlog, up):
    """With services running, stream, database and cache are found as well, exit code 0."""
    answer = floorlog("doctor", "--data", str(up.data))
    assert answer.code == 0, answer.out + answer.err
    names = {line.split(":")[0].split()[-1] for line in answer.out.splitlines()}
    assert {"Python", "PostgreSQL", "Valkey", "stream", "database", "cache"} <= names
    assert all(line.startswith("found") for line in answer.out.splitlines())


def healthy(address: str, patience_s: float = 60.0) -> bool:
    """Whether the page says that all is well, which takes a moment after the start."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        try:
            with urlopen(address) as answer:
                return bool(json.load(answer))
        except HTTPError:
            time.sleep(0.5)
    return False


def test_the_page_answers(up):
    """At the address that `up` says there is the page, and its server tells its health."""
    address = next(w for w in up.text().split() if w.startswith("http://") and w.endswith("/;"))
    with urlopen(address.rstrip(";")) as page:
        assert b"<html" in page.read().lower()
    assert healthy(address.rstrip(";") + "api/v1/health")


@pytest.mark.slow
def test_live_values_are_shown(up):
    """Whoever opens the page is told everything once, then values of the plant as they come."""
    address = next(w for w in up.text().split() if w.startswith("http://") and w.endswith("/;"))
    kinds: list[str] = []
    with urlopen(address.rstrip(";") + "api/v1/live", timeout=60) as feed:
        while kinds.count("values") < 2:
            field, _, text = feed.readline().decode().strip().partition(": ")
            if field == "event":
                kinds.append(text)
            elif field == "data" and kinds[-1] == "values":
                assert all(len(row) == 5 for row in json.loads(text))
    assert kinds[0] == "board"


def test_status_speaks_to_people_too(floorlog, up):
    """Without --json there is a row for each shard, one for the total, and who lives."""
    answer = floorlog("status", "--data", str(up.data))
    lines = answer.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [
        "shardId-000000000000",
        "shardId-000000000001",
    ]
    assert lines[3].startswith("total")
    assert "series" in lines[-1]


def test_a_second_up_on_the_same_data_is_refused(floorlog, up):
    """The data directory belongs to the first; the second says so and harms nothing."""
    answer = floorlog("up", "--data", str(up.data))
    assert answer.code == 1
    assert "in use by another Floorlog" in answer.err
    assert up.process.poll() is None


def test_two_workers_have_a_shard_each(up):
    """The workers share the two shards, and each has its own."""
    paths = [up.data / "log" / f"worker-{n}.log" for n in (1, 2)]
    deadline = time.monotonic() + 30.0
    while not all("taken, epoch" in path.read_text() for path in paths):
        assert time.monotonic() < deadline, "a worker had no shard after 30 s"
        time.sleep(0.2)


def test_ctrl_c_ends_all(floorlog, own_up):
    """After Ctrl-C no process of this data directory is left; a line says so, the exit code is 0.

    Nothing that the plant sent by itself was a duplicate.
    """
    deadline = time.monotonic() + 60
    while (found := status(floorlog, own_up)["total"])["stored"] < 900:
        assert time.monotonic() < deadline, (found, own_up.text())
        time.sleep(0.3)
    assert found["duplicate"] == found["rejected"] == 0
    children = psutil.Process(own_up.process.pid).children(recursive=True)
    assert len(children) >= 6
    own_up.process.send_signal(2)
    assert own_up.process.wait(20) == 0, own_up.text()
    assert own_up.text().endswith(f"\nended; the data stays in {own_up.data}\n")
    gone, alive = psutil.wait_procs(children, timeout=5)
    assert not alive
    assert len(gone) == len(children)
