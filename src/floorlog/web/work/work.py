"""Work that takes longer than a request: verification, exports and back-tests, as jobs."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from tornado.web import HTTPError

from floorlog.core.catalogue import Catalogue
from floorlog.core.reading import MICROSECONDS
from floorlog.errors import Illegal, NotThere
from floorlog.record.verifier import time_text
from floorlog.web.access.audit_trail import keep
from floorlog.web.access.role import AUDITING, ENGINEERING, INSPECTING, Roles
from floorlog.web.api.route import Call, Moment, Name, Query, Route, Stream
from floorlog.web.work.errand import (
    BackTest,
    Errand,
    Export,
    Exported,
    Result,
    Share,
    Verified,
    Verify,
)
from floorlog.web.work.jobs import Job, Jobs, State

Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
Kind = Literal["verify", "export", "backtest", "look", "rehearse", "import"]
DEVICES_MAX = 50
BACKTEST_DAYS_MAX = 31
PIECE_BYTES = 1 << 20
FIRST_US, LAST_US = -62_135_596_800_000_000, 253_402_300_799_999_999  # the years 1 to 9999
BODY_BYTES_MAX = 4 << 20
ARCHIVE = "floorlog-export.zip"


class JobEntry(Struct, frozen=True):
    """A job: how far it is, and in the end its result or why there is none (`says`)."""

    job: str
    kind: Kind
    state: State
    actor: str
    begun: int
    ended: int | None
    share: Share
    says: str
    result: Result | None


class JobList(Struct, frozen=True):
    """Jobs of this process, the newest first; those that ended an hour ago are forgotten."""

    jobs: list[JobEntry]


def jobs_of(call: Call) -> Jobs:
    """The jobs of this process. Raises NotThere where it does none."""
    found: Jobs | None = call.services.jobs
    if found is None:
        raise NotThere(
            "this process does no such work", where="the page", fix="use the command line"
        )
    return found


def entry(job: Job) -> JobEntry:
    """A job as the API gives it."""
    kind: Any = job.kind
    return JobEntry(
        job.job_id, kind, job.state, job.actor, job.begun, job.ended, job.share, job.says,
        job.result,
    )  # fmt: skip


class JobsQuery(Query):
    """Of one kind, or all."""

    kind: Kind | None = None


async def listed(call: Call) -> JobList:
    """Jobs that your role may look at."""
    return JobList([entry(job) for job in jobs_of(call).listed(call.who, call.query.kind)])


async def one(call: Call) -> JobEntry:
    """One job."""
    return entry(jobs_of(call).find(call.parts["job"], call.who))


async def end(call: Call) -> JobEntry:
    """End a job that runs; what it has done so far stays done, which matters for imports alone."""
    jobs = jobs_of(call)
    job = jobs.find(call.parts["job"], call.who)
    await jobs.end(job, call.who.actor)
    return entry(job)


def outcome(job: Job) -> dict[str, object]:
    """How a job ended, for its audit event, which stands under the name of who began it."""
    end: dict[str, object] = {"job": job.job_id, "state": job.state}
    return end | {"ended_by": job.ended_by} if job.state == "ended" and job.ended_by else end


def begin(
    call: Call, errand: Errand, roles: Roles, detail: dict[str, object], file: Path | None = None
) -> JobEntry:
    """Start a job with an audit event at its beginning and at its end."""

    async def before(job: Job) -> None:
        await keep(call.services.record, call.who.actor, job.kind, {"job": job.job_id, **detail})

    async def after(job: Job) -> None:
        end = outcome(job)
        if isinstance(job.result, Verified):
            found = job.result
            end |= {"ok": found.ok, "wrong": found.wrong_count, "anchored": found.anchored}
        if isinstance(job.result, Exported):
            end |= {"readings": job.result.readings, "size_bytes": job.result.size_bytes}
        await keep(call.services.record, call.who.actor, f"{job.kind}.over", end)

    return entry(jobs_of(call).start(errand, call.who, roles, before, after, file))


def anchored(call: Call) -> Jobs:
    """The jobs, where there are notes to check against. Raises NotThere."""
    jobs = jobs_of(call)
    if not jobs.ground.anchor:
        raise NotThere(
            "this process knows no signed notes", where="the page", fix="set FLOORLOG_ANCHOR"
        )
    return jobs


class Verification(Struct, frozen=True, forbid_unknown_fields=True):
    """What to verify: all, one device's batches, or those stored since a time."""

    device: Name | None = None
    since: Moment | None = None


async def verify(call: Call) -> JobEntry:
    """Compute the record anew against the notes outside it: a job whose result names what is wrong.

    Only a verification of all shows that something was taken away whole.
    """
    anchored(call)
    body = call.body
    since = "-infinity" if body.since is None else time_text(within(body.since))
    detail = {"device": body.device, "since": since}
    return begin(call, Verify(body.device, since), AUDITING, detail)


def within(moment: int) -> int:
    """A moment that calendars know. Raises HTTPError 400."""
    if not FIRST_US <= moment <= LAST_US:
        raise HTTPError(400, "the time lies beyond what is recorded")
    return moment


class ExportAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A span (from, up to before to) and devices; without them all there is."""

    begin: Moment | None = None
    end: Moment | None = None
    devices: Annotated[list[Name], Meta(max_length=DEVICES_MAX)] = []


async def export(call: Call) -> JobEntry:
    """Write a part of the record into one file: CSV, Parquet, proofs, a page to read, the verifier.

    A job; its file is then at /api/v1/exports/{job}. Of several devices each is a folder of its
    own. At most 20 million readings a time, over all devices; of the one being written all of its
    batches count, and 1 GiB stays free on the page's disk.
    """
    jobs, body = anchored(call), call.body
    for moment in (body.begin, body.end):
        if moment is not None:
            within(moment)
    if body.begin is not None and body.end is not None and body.begin >= body.end:
        raise HTTPError(400, "from must lie before to")
    place = jobs.spool(f"export-{secrets.token_hex(8)}")
    file = place / ARCHIVE
    errand = Export(str(file), body.begin, body.end, tuple(dict.fromkeys(body.devices)))
    detail = {"from": body.begin, "to": body.end, "devices": body.devices}
    try:
        return begin(call, errand, INSPECTING, detail, file)
    except Illegal:
        place.rmdir()
        raise


async def exported(call: Call) -> AsyncIterator[bytes]:
    """The file of an export that is done: a zip archive, for an hour after it was made."""
    job = jobs_of(call).find(call.parts["job"], call.who)
    if job.state != "done" or job.file is None or not isinstance(job.result, Exported):
        raise Illegal("there is no file of this job", where="export", fix="wait until it is done")
    call.out["Content-Disposition"] = f'attachment; filename="{ARCHIVE}"'
    call.out["Content-Length"] = str(job.result.size_bytes)
    with await asyncio.to_thread(job.file.open, "rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE_BYTES):
            yield piece


class BackTestAsked(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole catalogue, and a span of at most 31 days (µs UTC)."""

    body: dict[str, Any]
    begin: Moment
    end: Moment


async def backtest(call: Call) -> JobEntry:
    """Judge a span of the record by another catalogue beside the newest: a job; nothing is stored.

    Learned detectors begin without a past in both. At most 20 million readings.
    """
    jobs_of(call)
    body = call.body
    Catalogue.of(body.body, "the catalogue")
    within(body.begin), within(body.end)
    if not 0 < body.end - body.begin <= BACKTEST_DAYS_MAX * 86_400 * MICROSECONDS:
        raise HTTPError(400, f"begin must lie before end, by at most {BACKTEST_DAYS_MAX} days")
    detail: dict[str, object] = {"from": body.begin, "to": body.end}
    errand = BackTest(body.body, body.begin, body.end)
    return begin(call, errand, ENGINEERING, detail)


ROUTES = (
    Route("GET", "/api/v1/jobs", listed, INSPECTING, "Work under way and done", JobList,
          JobsQuery, statuses=(404,)),
    Route("GET", "/api/v1/jobs/{job}", one, INSPECTING, "One job", JobEntry, parts={"job": Id},
          statuses=(404,)),
    Route("DELETE", "/api/v1/jobs/{job}", end, INSPECTING, "End a job", JobEntry,
          parts={"job": Id}, statuses=(404,)),
    Route("POST", "/api/v1/verifications", verify, AUDITING, "Verify the record", JobEntry,
          body=Verification, statuses=(404, 409)),
    Route("POST", "/api/v1/exports", export, INSPECTING, "Export a part of the record", JobEntry,
          body=ExportAsked, statuses=(404, 409)),
    Route("GET", "/api/v1/exports/{job}", exported, INSPECTING, "The file of an export",
          Stream("application/zip", "A zip archive"), parts={"job": Id}, statuses=(404, 409)),
    Route("POST", "/api/v1/backtests", backtest, ENGINEERING, "Try a catalogue on the past",
          JobEntry, body=BackTestAsked, body_bytes_max=BODY_BYTES_MAX, statuses=(404, 409)),
)  # fmt: skip
