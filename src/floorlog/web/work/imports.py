"""Taking in a table: its file in pieces, how it is laid out, a dry run, and the import itself."""

import asyncio
from typing import Annotated

from msgspec import Meta, Struct

from floorlog.errors import NotThere
from floorlog.source.csv_layout import Layout
from floorlog.web.access.audit_trail import keep
from floorlog.web.access.role import ENGINEERING
from floorlog.web.api.route import Call, Name, Query, Route
from floorlog.web.api.shape import Tally
from floorlog.web.work.errand import Look, Rehearse, TakeIn, TakenIn
from floorlog.web.work.jobs import Job
from floorlog.web.work.upload import FILE_BYTES_MAX, PIECE_BYTES_MAX, Upload, Uploads
from floorlog.web.work.work import JobEntry, entry, jobs_of, outcome

Id = Annotated[str, Meta(pattern=r"^[0-9a-f]{16}$")]
LAYOUT_BYTES_MAX = 1 << 20


class NewFile(Struct, frozen=True, forbid_unknown_fields=True):
    """A file that shall come: its name, and its bytes."""

    name: Name
    size_bytes: Annotated[int, Meta(ge=1, le=FILE_BYTES_MAX)]


class UploadEntry(Struct, frozen=True):
    """How much of a file is here, and of that its SHA-256."""

    upload: str
    name: str
    size_bytes: Tally
    received_bytes: Tally
    sha256: str


class PieceQuery(Query):
    """Where a piece belongs."""

    at: Annotated[int, Meta(ge=0, le=FILE_BYTES_MAX, description="bytes before it")]


class Unread(Struct, frozen=True, forbid_unknown_fields=True):
    """A file whose layout is asked for; with one, whether it suits."""

    upload: Id
    layout: Layout | None = None


class LaidOut(Struct, frozen=True, forbid_unknown_fields=True):
    """A file and its layout."""

    upload: Id
    layout: Layout


def uploads_of(call: Call) -> Uploads:
    """The files of this process. Raises NotThere where it takes none."""
    jobs_of(call)
    found: Uploads = call.services.uploads
    return found


def shown(one: Upload) -> UploadEntry:
    """An upload as the API gives it."""
    return UploadEntry(one.upload_id, one.name, one.size_bytes, one.received_bytes, one.sha256)


def reading(upload: Upload, job: Job) -> JobEntry:
    """A job that reads a file, which stays as long."""
    upload.readers = [one for one in upload.readers if not one.is_over] + [job]
    return entry(job)


async def begin(call: Call) -> UploadEntry:
    """Announce a file of at most 256 MiB, plain CSV or gzip; four at a time, kept for an hour.

    Where four are here, your own that was longest untouched gives way, unless a job reads it.
    """
    body = call.body
    return shown(uploads_of(call).begin(body.name, body.size_bytes, call.who))


async def put(call: Call) -> UploadEntry:
    """The next piece of a file, at most 2 MiB; 409 says from where to go on."""
    upload = uploads_of(call).find(call.parts["upload"], call.who)
    async with upload.lock:
        await asyncio.to_thread(upload.append, call.query.at, call.body)
    return shown(upload)


async def drop(call: Call) -> UploadEntry:
    """Forget a file; 409 while a job reads it."""
    uploads = uploads_of(call)
    upload = uploads.find(call.parts["upload"], call.who)
    async with upload.lock:  # not under a piece that is being written
        uploads.drop(upload)
    return shown(upload)


async def look(call: Call) -> JobEntry:
    """Guess how a file is laid out, or try a layout: a job that gives columns and first rows."""
    jobs, body = jobs_of(call), call.body
    upload = uploads_of(call).whole(body.upload, call.who)
    errand = Look(str(upload.path), upload.name, body.layout)
    return reading(upload, jobs.start(errand, call.who, ENGINEERING))


async def rehearse(call: Call) -> JobEntry:
    """A dry run: a job that says which readings, rejects and series a file would become.

    It runs the worker's own decoding, validation and detectors by the newest catalogue. Nothing is
    sent or stored, and what the record holds already is not looked up.
    """
    jobs, body = jobs_of(call), call.body
    upload = uploads_of(call).whole(body.upload, call.who)
    errand = Rehearse(str(upload.path), body.layout)
    return reading(upload, jobs.start(errand, call.who, ENGINEERING))


async def take_in(call: Call) -> JobEntry:
    """Send a file's readings through the stream, as every producer's.

    The job ends when the record has all of them. Its beginning and its end are audit events.
    """
    jobs, body = jobs_of(call), call.body
    if not jobs.ground.stream:
        raise NotThere(
            "this process knows no stream", where="import", fix="set KINESIS_STREAM_NAME for it"
        )
    upload = uploads_of(call).whole(body.upload, call.who)
    errand = TakeIn(str(upload.path), body.layout)

    async def before(job: Job) -> None:
        detail = {
            "job": job.job_id, "file": upload.name, "size_bytes": upload.size_bytes,
            "sha256": upload.sha256, "device": body.layout.device_name,
        }  # fmt: skip
        await keep(call.services.record, call.who.actor, "import", detail)

    async def after(job: Job) -> None:
        detail = outcome(job)
        if isinstance(job.result, TakenIn):
            detail |= {"sent": job.result.sent, "skipped": job.result.skipped}
        await keep(call.services.record, call.who.actor, "import.over", detail)

    return reading(upload, jobs.start(errand, call.who, ENGINEERING, before, after))


ROUTES = (
    Route("POST", "/api/v1/uploads", begin, ENGINEERING, "Announce a file", UploadEntry,
          body=NewFile, statuses=(404, 409)),
    Route("PUT", "/api/v1/uploads/{upload}", put, ENGINEERING, "Send a piece of a file",
          UploadEntry, PieceQuery, body=bytes, body_bytes_max=PIECE_BYTES_MAX,
          parts={"upload": Id}, statuses=(404, 409)),
    Route("DELETE", "/api/v1/uploads/{upload}", drop, ENGINEERING, "Forget a file", UploadEntry,
          parts={"upload": Id}, statuses=(404, 409)),
    Route("POST", "/api/v1/imports/look", look, ENGINEERING, "How a file is laid out", JobEntry,
          body=Unread, body_bytes_max=LAYOUT_BYTES_MAX, statuses=(404, 409)),
    Route("POST", "/api/v1/imports/rehearsal", rehearse, ENGINEERING, "What a file would become",
          JobEntry, body=LaidOut, body_bytes_max=LAYOUT_BYTES_MAX, statuses=(404, 409)),
    Route("POST", "/api/v1/imports", take_in, ENGINEERING, "Take a file in", JobEntry,
          body=LaidOut, body_bytes_max=LAYOUT_BYTES_MAX, statuses=(404, 409)),
)  # fmt: skip
