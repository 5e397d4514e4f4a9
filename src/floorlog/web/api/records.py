"""What was refused, lost, done and signed: rejects, gaps, audit events, catalogue, ledger."""

import json
import time
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from tornado.web import HTTPError

from floorlog.core.catalogue import Catalogue
from floorlog.core.reading import MICROSECONDS
from floorlog.record.export.prove import Proven
from floorlog.store.alarms import LAST_ID
from floorlog.web.access.role import ALL, AUDITING, ENGINEERING, INSPECTING
from floorlog.web.api import shape
from floorlog.web.api.page import after, place_of
from floorlog.web.api.route import Call, Cursor, Limit, Moment, Name, Query, Route

CATALOGUE_BYTES_MAX = 4 << 20
Skip = Annotated[int, Meta(ge=0)]


class PageQuery(Query):
    """A page, newest first."""

    limit: Limit = 500
    cursor: Cursor = ""


class RejectsQuery(PageQuery):
    """Of one code, or all."""

    code: Name | None = None


def _place(call: Call) -> tuple[int, int]:
    if call.query.cursor:
        return place_of(call.query.cursor, tuple[int, Skip])
    return time.time_ns() // 1000 + 60 * MICROSECONDS, 0


def _follows(times: list[int], limit: int, place: tuple[int, int]) -> str | None:
    """Where to go on after `limit` rows: at their last time, without those of it given already."""
    if len(times) <= limit:
        return None
    final = times[limit - 1]
    given = sum(1 for at in times[:limit] if at == final)
    return after((final, given + (place[1] if final == place[0] else 0)))


async def rejects(call: Call) -> shape.RejectPage:
    """Input that did not become readings, newest first."""
    place, query = _place(call), call.query
    found = await call.services.record.ask(
        lambda a: a.reject_page(place[0], code=query.code, skip=place[1], rows_max=query.limit + 1)
    )
    shown = [
        shape.RejectEntry(
            one.recorded_at, one.shard_id, str(one.sequence), one.element, one.code, one.reason,
            one.data, one.name, one.replayed,
        )
        for one in found[: query.limit]
    ]  # fmt: skip
    times = [one.recorded_at for one in found]
    return shape.RejectPage(shown, _follows(times, query.limit, place))


async def gaps(call: Call) -> shape.GapPage:
    """Losses of input, newest first."""
    place, limit = _place(call), call.query.limit
    found = await call.services.record.ask(
        lambda a: a.gap_page(place[0], skip=place[1], rows_max=limit + 1)
    )
    shown = [
        shape.GapEntry(one.recorded_at, one.shard_id, one.begin, one.end, one.cause)
        for one in found[:limit]
    ]
    return shape.GapPage(shown, _follows([one.recorded_at for one in found], limit, place))


class AuditQuery(PageQuery):
    """Of one person or action, or all."""

    actor: Name | None = None
    action: Name | None = None


async def audit(call: Call) -> shape.AuditPage:
    """Who did what, newest first."""
    query = call.query
    before = place_of(query.cursor, tuple[int])[0] if query.cursor else LAST_ID
    found = await call.services.record.ask(
        lambda a: a.audit_page(
            actor=query.actor, action=query.action, before_id=before, rows_max=query.limit + 1
        )
    )
    shown = [
        shape.AuditEntry(
            one.event_id, one.recorded_at, one.actor, one.action, json.loads(one.detail)
        )
        for one in found[: query.limit]
    ]
    follows = (found[query.limit - 1].event_id,) if len(found) > query.limit else None
    return shape.AuditPage(shown, after(follows))


async def catalogue(call: Call) -> shape.CatalogueBody:
    """The newest version of the catalogue."""
    found = await call.services.record.ask(lambda a: a.catalogue_now())
    return shape.CatalogueBody(found.version, found.recorded_at, json.loads(found.body))


class CatalogueChange(Struct, frozen=True, forbid_unknown_fields=True):
    """A whole catalogue; `version` is the one that it was made from; `dry_run` only checks it."""

    version: int
    body: dict[str, Any]
    dry_run: bool = False


class CatalogueKept(Struct, frozen=True):
    """The version that is the newest now."""

    version: int


async def put_catalogue(call: Call) -> CatalogueKept:
    """Make a catalogue the newest version; 409 where another one came in between."""
    body = call.body
    Catalogue.of(body.body, "the catalogue")
    text = msgspec.json.encode(body.body)
    kept = await call.services.record.ask(
        lambda a: a.put_catalogue(
            text, made_from=body.version, actor=call.who.actor, dry_run=body.dry_run
        )
    )
    return CatalogueKept(kept)


class AtQuery(Query):
    """A moment."""

    at: Moment


class LedgerSize(Struct, frozen=True):
    """How many leaves the log had at a moment: what `as_of` takes."""

    at: int
    size: shape.Tally


async def ledger_at(call: Call) -> LedgerSize:
    """The size that the log had at a moment, so that readings can be asked for as of then."""
    at = call.query.at
    size = await call.services.record.ask(lambda a: a.log_size_at(at))
    return LedgerSize(at, size)


async def ledger(call: Call) -> shape.LedgerState:
    """The log's size and its newest signed note."""
    found = await call.services.record.ask(lambda a: a.noted())
    return shape.LedgerState(found.leaves, found.size, found.recorded_at, found.body)


class ProofQuery(Query):
    """A reading; `which` of those of its time, from 1."""

    device: Name
    metric: Name
    ts: Moment
    which: Annotated[int, Meta(ge=1, le=1_000)] = 1


class ProofBody(Struct, frozen=True):
    """A proof as docs/reference/ledger.md has it, what it says, and by which key it was checked."""

    says: str
    key: str
    proof: dict[str, Any]


async def proof(call: Call) -> ProofBody:
    """The proof of one reading, checked before it is given."""
    services, query = call.services, call.query
    anchor = services.anchor
    if anchor is None:
        raise HTTPError(404, "this process knows no signed notes: set FLOORLOG_ANCHOR")
    found: Proven = await services.record.ask(
        lambda a: a.prove(anchor, services.key, query.device, query.metric, query.ts, query.which)
    )
    return ProofBody(found.says, found.key, found.proof)


ROUTES = (
    Route("GET", "/api/v1/rejects", rejects, ALL, "Input that was refused", shape.RejectPage,
          RejectsQuery),
    Route("GET", "/api/v1/gaps", gaps, ALL, "Losses of input", shape.GapPage, PageQuery),
    Route("GET", "/api/v1/audit", audit, INSPECTING, "Who did what", shape.AuditPage, AuditQuery),
    Route("GET", "/api/v1/catalogue", catalogue, ALL, "The newest catalogue",
          shape.CatalogueBody),
    Route("PUT", "/api/v1/catalogue", put_catalogue, ENGINEERING, "Make a catalogue the newest",
          CatalogueKept, body=CatalogueChange, body_bytes_max=CATALOGUE_BYTES_MAX,
          statuses=(409,)),
    Route("GET", "/api/v1/ledger", ledger, ALL, "The log and its newest note", shape.LedgerState),
    Route("GET", "/api/v1/ledger/size", ledger_at, ALL, "The log's size at a moment", LedgerSize,
          AtQuery),
    Route("GET", "/api/v1/proof", proof, AUDITING, "The proof of one reading", ProofBody,
          ProofQuery, statuses=(404, 409)),
)  # fmt: skip
