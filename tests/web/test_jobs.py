"""Work in processes of its own: begun, bounded, ended, forgotten; files that come in pieces."""

import asyncio
import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from floorlog.errors import Illegal, InputError, NotThere, ServiceError
from floorlog.source.csv_layout import Layout, ValueLayout
from floorlog.web.access.access import Loopback
from floorlog.web.access.role import AUDITING, ENGINEERING, Identity, Role
from floorlog.web.services import Services
from floorlog.web.work import jobs as room
from floorlog.web.work.errand import Ground, Look, Rehearse, Verify
from floorlog.web.work.jobs import Job, Jobs
from floorlog.web.work.upload import FILES_MAX, Uploads
from floorlog.web.work.work import outcome

pytestmark = [pytest.mark.xdist_group("page")]
ANN = Identity("p-000000000001", Role.ADMIN)
BEN = Identity("p-000000000002", Role.ENGINEER)
EVE = Identity("p-000000000003", Role.VIEWER)
LAYOUT = Layout(0, "d", [ValueLayout(1, "m")])
VERIFIED = (
    '{"of":"verified","ok":true,"readings":1,"entries":1,"wrong":[],"wrong_count":0,"anchored":1,'
    '"unanchored_seconds":0,"key":"k","partial":false,"says":"intact"}'
)


def program(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Errands are carried out by these lines."""
    monkeypatch.setattr(room, "COMMAND", (sys.executable, "-S", "-c", text))


def jobs(path: Any, dsn: Any = lambda: "a secret") -> Jobs:
    return Jobs(dsn, Ground("", anchor="somewhere"), str(path))


async def over(job: Any) -> Any:
    """Wait until it is over."""
    await asyncio.wait_for(asyncio.gather(job.task, return_exceptions=True), 60)
    return job


def test_a_job_says_how_far_it_is_and_what_came(monkeypatch, tmp_path):
    """Steps, then a result of its type; what is told of it first and last is told once."""
    program(
        monkeypatch,
        "import sys\n"
        "assert 'a secret' in sys.stdin.readline()\n"
        'print(\'{"of":"step","share":0.5}\', flush=True)\n'
        f"print({VERIFIED!r}, flush=True)",
    )
    told: list[tuple[str, str]] = []

    async def run() -> None:
        made = jobs(tmp_path)

        async def before(job: Any) -> None:
            told.append(("before", job.state))

        async def after(job: Any) -> None:
            told.append(("after", job.state))

        job = await over(made.start(Verify(), ANN, AUDITING, before, after))
        assert (job.state, job.share, job.says) == ("done", 1.0, "")
        assert job.result.says == "intact"
        assert told == [("before", "running"), ("after", "done")]
        assert made.find(job.job_id, ANN) is job
        with pytest.raises(NotThere):
            made.find(job.job_id, EVE)
        assert made.listed(ANN) == [job]
        assert made.listed(BEN) == made.listed(ANN, "export") == []
        await made.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("raise SystemExit(7)", "status 7"),
        ('print(\'{"of":"failed","says":"no such device"}\')', "no such device"),
        ("print('what is this')", "it failed"),
    ],
)
def test_a_job_that_fails_says_why(monkeypatch, tmp_path, text, says):
    """A process that dies, refuses or talks nonsense is a failed job, never a waiting one."""
    program(monkeypatch, text)

    async def run() -> None:
        made = jobs(tmp_path)
        job = await over(made.start(Verify(), ANN, AUDITING))
        assert job.state == "failed"
        assert says in job.says
        await made.close()

    asyncio.run(run())


def test_a_job_whose_event_cannot_be_kept_does_not_begin(monkeypatch, tmp_path):
    """What nobody can trace is not done."""
    mark = tmp_path / "ran"
    program(monkeypatch, f"open({str(mark)!r}, 'w')")

    async def before(_: Any) -> None:
        raise ServiceError("the record is away")

    async def run() -> None:
        made = jobs(tmp_path)
        job = await over(made.start(Verify(), ANN, AUDITING, before))
        assert (job.state, job.says) == ("failed", "the record is away")
        await made.close()

    asyncio.run(run())
    assert not mark.exists()


def test_jobs_are_bounded_and_ended(monkeypatch, tmp_path):
    """One of a kind and two in all; ending one ends its process; too long is ended by itself."""
    program(monkeypatch, "import sys, os; print(os.getpid(), file=sys.stderr); sys.stdin.read()")

    async def run() -> None:
        made = jobs(tmp_path)
        place = made.spool("export-1")
        first = made.start(Verify(), ANN, AUDITING, file=place / "x.zip")
        with pytest.raises(Illegal, match="verify is under way"):
            made.start(Verify(), ANN, AUDITING)
        made.start(Look("/x", "x"), ANN, ENGINEERING)
        with pytest.raises(Illegal, match="look and verify"):
            made.start(Rehearse("/x", LAYOUT), ANN, ENGINEERING)
        await asyncio.sleep(0.2)
        await made.end(first)
        assert (first.state, first.says) == ("ended", "somebody ended it")
        assert not place.exists()
        await made.end(first)
        at_once = made.start(Verify(), ANN, AUDITING)
        await made.end(at_once)
        assert at_once.state == "ended"
        monkeypatch.setitem(room.SECONDS_MAX, "verify", 0.2)
        slow = await over(made.start(Verify(), ANN, AUDITING))
        assert slow.state == "failed"
        assert "longer than" in slow.says
        spool = place.parent
        assert spool.exists()
        await made.close()
        assert not spool.exists()

    asyncio.run(run())


def test_who_ended_a_job_is_in_its_event(monkeypatch, tmp_path):
    """The event of its end stands under who began it, and names who ended it, if somebody did."""
    program(monkeypatch, "import sys; sys.stdin.read()")
    told: list[dict[str, object]] = []

    async def after(job: Any) -> None:
        told.append(outcome(job))

    async def run() -> None:
        made = jobs(tmp_path)
        for by in (BEN.actor, ""):
            job = made.start(Verify(), ANN, AUDITING, after=after)
            await asyncio.sleep(0.2)
            await made.end(job, by)
            assert job.actor == ANN.actor
        await made.close()

    asyncio.run(run())
    assert [one.get("ended_by") for one in told] == [BEN.actor, None]
    assert [one["state"] for one in told] == ["ended", "ended"]


def test_the_record_is_closed_after_the_last_event(monkeypatch, tmp_path):
    """Closing waits for the event of a job that was over before, and was still being written."""
    program(monkeypatch, f"input(); print({VERIFIED!r}, flush=True)")
    told: list[str] = []

    async def run() -> None:
        made = jobs(tmp_path)
        writing = asyncio.Event()

        async def after(job: Any) -> None:
            writing.set()
            await asyncio.sleep(0.2)
            told.append(job.state)

        job = made.start(Verify(), ANN, AUDITING, after=after)
        await asyncio.wait_for(writing.wait(), 60)
        assert job.is_over
        await made.close()
        assert told == ["done"]

    asyncio.run(run())


@pytest.mark.slow
def test_a_process_ends_with_who_began_it():
    """When its orders break off, the process of an errand does not go on by itself."""
    begun, asked = os.pipe()
    text = (
        "import sys, threading, time\n"
        "from floorlog.web.work.runner import watch\n"
        "threading.Thread(target=watch, args=(sys.stdin.buffer,), daemon=True).start()\n"
        "time.sleep(60)"
    )
    child = os.posix_spawn(
        sys.executable, [sys.executable, "-c", text], os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, begun, 0), (os.POSIX_SPAWN_CLOSE, asked)],
    )  # fmt: skip
    os.close(begun)
    os.close(asked)
    began = time.monotonic()
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 3
    assert time.monotonic() - began < 50


def test_a_file_comes_in_pieces(tmp_path):
    """In order, up to what was announced; its owner's alone; four at a time; gone when dropped.

    Where four are here, the owner's own that was longest untouched gives way to his next one,
    never another's and never one that is read.
    """
    made = Uploads(jobs(tmp_path))
    one = made.begin("../../etc/passwd.GZ", 6, BEN)
    assert one.path.name == "table.csv.gz"
    assert one.path.is_relative_to(tmp_path)
    one.append(0, b"abc")
    with pytest.raises(Illegal, match="3 bytes are here"):
        one.append(0, b"abc")
    with pytest.raises(InputError, match="more than the 6 bytes"):
        one.append(3, b"defg")
    with pytest.raises(Illegal, match="3 of 6 bytes"):
        made.whole(one.upload_id, BEN)
    one.append(3, b"def")
    assert made.whole(one.upload_id, BEN).path.read_bytes() == b"abcdef"
    assert one.sha256 == "bef57ec7f53a6d40beb640a780a639c83bc29ac8a9816f1fc6c5c6dcd93c4721"
    with pytest.raises(NotThere):
        made.find(one.upload_id, ANN)
    others = [made.begin("x.csv", 1, ANN) for _ in range(FILES_MAX - 1)]
    with pytest.raises(Illegal, match="files are here already"):
        made.begin("x.csv", 1, EVE)
    job = Job("1", "look", ENGINEERING, BEN.actor, 0)
    one.readers.append(job)
    with pytest.raises(Illegal, match="files are here already"):
        made.begin("x.csv", 1, BEN)
    others[0].readers.append(job)
    made.find(others[1].upload_id, ANN)
    newest = made.begin("x.csv", 1, ANN)
    assert not others[2].path.exists()  # longest untouched of those that nobody reads
    assert all(kept.path.exists() for kept in (one, *others[:2], newest))
    with pytest.raises(Illegal, match="a job reads it"):
        made.drop(one)
    job.state = "done"
    made.drop(one)
    assert not one.path.exists()
    one = made.begin("x.csv", 1, ANN)
    one.touched_s -= 4_000
    with pytest.raises(NotThere):
        made.find(one.upload_id, ANN)


def test_files_need_a_place(tmp_path):
    """Without a directory that can be written the answer names the setting."""
    made = Uploads(jobs(tmp_path / "not there"))
    with pytest.raises(ServiceError, match="FLOORLOG_WEB_SPOOL"):
        made.begin("x.csv", 1, ANN)


def test_what_a_killed_page_left_is_removed(tmp_path):
    """The next one to the same place clears it away; that of a page that lives stays."""
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    pids = (dead.pid, os.getppid(), os.getpid())
    left, live, namesake = (tmp_path / f"floorlog-page-{pid}-x" for pid in pids)
    other = tmp_path / "floorlog-page-mine"
    for place in (left, live, namesake, other):
        place.mkdir()
        (place / "file").touch()
    made = jobs(tmp_path).spool("a")
    assert made.exists()
    assert not left.exists()
    assert not namesake.exists()  # of a page with this one's number, in a container that restarted
    assert live.exists()
    assert other.exists()


@pytest.mark.slow
def test_the_page_without_jobs_says_so(page, tmp_path):
    """Work, files and replays are 404 where the process was not furnished for them."""
    for path in ("verifications", "exports", "uploads"):
        body: dict[str, Any] = {"name": "x", "size_bytes": 1} if path == "uploads" else {}
        assert "command line" in page.post(f"/api/v1/{path}", body, 404)["detail"]
    assert page.json("/api/v1/jobs", 404)
    said = page.post("/api/v1/rejects/1.1.00000000/replay", {"reason": "x"}, 404)
    assert "KINESIS_STREAM_NAME" in said["detail"]
    page.json("/api/v1/rejects/1.1.00000000", 404)
    page.json("/api/v1/rejects/evil", 404)


@pytest.mark.slow
def test_pieces_over_http(open_page, tmp_path):
    """Only bytes, at most 2 MiB of them; and a file that is not whole is not read."""
    made = jobs(tmp_path)
    page = open_page(
        furnish=lambda feed, record: Services(
            feed, record, Loopback(), jobs=made, uploads=Uploads(made)
        )
    )
    begun = page.post("/api/v1/uploads", {"name": "x.csv", "size_bytes": 3 << 20})
    path = f"/api/v1/uploads/{begun['upload']}?at=0"
    octets = {"Content-Type": "application/octet-stream"}
    assert page.send("PUT", path, b"{}", {"Content-Type": "application/json"})[0].status == 415
    assert page.send("PUT", path, bytes((2 << 20) + 1), octets)[0].status == 413
    answer, body = page.send("PUT", path, bytes(2 << 20), octets)
    assert (answer.status, json.loads(body)["received_bytes"]) == (200, 2 << 20)
    assert page.send("PUT", path, b"x", octets)[0].status == 409
    said = page.post("/api/v1/imports/look", {"upload": begun["upload"]}, 409)
    assert "bytes are here" in said["detail"]
    layout = {"time": 0, "device_name": "d", "values": [{"place": 1, "metric": "m"}]}
    said = page.post("/api/v1/imports", {"upload": begun["upload"], "layout": layout}, 404)
    assert "KINESIS_STREAM_NAME" in said["detail"]
    page.post("/api/v1/uploads", {"name": "x.csv", "size_bytes": (256 << 20) + 1}, 400)
    page.post("/api/v1/backtests", {"body": {"metrics": 5}, "begin": 0, "end": 1}, 400)
    page.post("/api/v1/backtests", {"body": {}, "begin": 5, "end": 1}, 400)
    page.post("/api/v1/exports", {"begin": 5, "end": 1}, 400)
    page.post("/api/v1/verifications", {"since": -70 * 10**15}, 400)
    page.post("/api/v1/exports", {"end": 254 * 10**15}, 400)
    assert page.send("DELETE", path.partition("?")[0], b"", {})[0].status == 200
    assert page.send("DELETE", path.partition("?")[0], b"", {})[0].status == 404
