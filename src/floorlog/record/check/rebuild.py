"""Makes again what is derived, where verification found it wrong and all evidence right."""

from importlib.resources import files
from typing import Any

import numpy as np
import psycopg

from floorlog.core.reading import Kind
from floorlog.errors import RecordError, ServiceError
from floorlog.record.check.chunks import PART, SLOT, WIDTH, Made, wrong_chunks
from floorlog.record.check.content import known_of
from floorlog.record.check.finding import EVIDENCE
from floorlog.record.check.verify import Report, Tell, check
from floorlog.record.log.anchor import Anchor
from floorlog.record.log.anchored import Anchored
from floorlog.record.rows import Connection
from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.record.check").joinpath("rebuild.sql").read_text("utf-8"))
# In this order: heads before the leases that repeat the last one.
STEPS = (
    "rebuild_heads", "rebuild_newer_heads", "rebuild_leases", "rebuild_open_rows",
    "forget_conflicts", "find_conflicts", "forget_twins", "rebuild_homes", "forget_alarms",
    "fold_alarms", "rebuild_chunk_times",
)  # fmt: skip

ASIDE_MAX = 30_000  # chunks that are moved at once: parts are int2


def rebuild_in(connection: Connection, anchored: Anchored) -> None:
    """Make all again that is derived, in the connection's open transaction.

    What workers remember for their detectors is not touched: they make it again from the record.

    Args:
        connection: settled, of a role that owns the tables; nobody writes meanwhile.
        anchored: the notes outside.
    """
    for name in STEPS:
        connection.execute(QUERIES[name].text)
    connection.execute(QUERIES["forget_notes"].text)
    for size, body in anchored.bodies.items():
        values = {"size": size, "body": body.decode()}
        connection.execute(QUERIES["copy_note"].text, values)
    known = known_of(connection)
    states = {one.series_id for one in known.series.values() if one.kind == Kind.STATE}
    wrong = [_values(one) for one in wrong_chunks(connection, states)]
    for begin in range(0, len(wrong), ASIDE_MAX):
        some = wrong[begin : begin + ASIDE_MAX]
        moved = [{**one, "aside": -1 - place} for place, one in enumerate(some)]
        for name in ("set_chunk_aside", "rebuild_chunk"):
            for chunk in moved:
                connection.execute(QUERIES[name].text, chunk)


def rebuild(
    dsn: str, anchor: Anchor, key: str, tell: Tell = lambda _done, _total: None
) -> tuple[Report, Report]:
    """Verify, make again what is derived and wrong, and verify again: both reports.

    Nothing is changed where evidence is wrong, or where the second report is not good.

    Raises:
        RecordError: evidence is wrong, or something stays wrong.
        ServiceError: the database does not answer, or the role does not own the record.
    """
    try:
        with psycopg.connect(dsn, connect_timeout=10) as connection:
            connection.execute(QUERIES["hold_record"].text)
            anchored = Anchored(anchor, key)
            before = check(connection, anchored, tell=tell)
            if any(one.kind == EVIDENCE for one in before.wrong):
                raise RecordError(
                    "evidence is wrong, so nothing is made again from it",
                    where="rebuild",
                    fix="see what `floorlog verify` says",
                )
            if before.ok:
                return before, before
            rebuild_in(connection, anchored)
            after = check(connection, anchored, tell=tell)
            if not after.ok:
                raise RecordError(
                    f"something stays wrong: {after.wrong[0].says}",
                    where="rebuild",
                    fix="nothing was changed; tell us what `floorlog verify --json` says",
                )
            return before, after
    except psycopg.Error as error:
        raise ServiceError(
            f"the record cannot be rebuilt: {str(error).strip().splitlines()[0]}",
            where="database",
            fix="use the log-in that migrates it, while it runs",
        ) from error


def _values(one: Made) -> dict[str, Any]:
    found = {name: _plain(value) for name, value in one.made.items()}
    place = {"series_id": one.row[0], "part": one.row[PART]}
    place |= {"width": one.row[WIDTH], "slot": one.row[SLOT]}
    new = {"new_width": one.made["width"], "new_slot": one.made["slot"]}
    return {**found, **place, **new}


def _plain(value: object) -> object:
    return value.tolist() if isinstance(value, np.ndarray) else value
