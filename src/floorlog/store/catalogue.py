"""Versions of the catalogue in the record."""

import json

import msgspec
import psycopg

from floorlog.errors import Illegal, InputError, ServiceError
from floorlog.store.link import Connection, transaction
from floorlog.store.queries import sql


def require_version(version: int, made_from: int) -> int:
    """The newest version. Raises Illegal where the change was made from another."""
    if version != made_from:
        raise Illegal(
            f"version {version} is the newest, not {made_from}",
            where="catalogue",
            fix="read it again, and make the change anew",
        )
    return version


def put_catalogue(
    dsn: str, body: bytes, *, made_from: int | None = None, actor: str | None = None
) -> int:
    """Make this the newest version of the catalogue, unless it is already; returns its number.

    What operators said (`acts`) stays in force where the new body says nothing of it.

    Args:
        dsn: a role that may add versions: the writer or the operator.
        body: JSON, kept byte for byte where no acts are added to it.
        made_from: the version that it must follow; None: any.
        actor: who does it, for an audit event in the same transaction; None: no event.

    Raises:
        Illegal: another version came in between.
        InputError: the body is not JSON, or holds what PostgreSQL cannot keep.
        ServiceError: the record cannot be reached.
    """
    try:
        text = body.decode()
        json.loads(text)
    except ValueError as error:
        raise InputError(
            f"it is not JSON: {error}", where="catalogue", fix="give the catalogue as JSON"
        ) from error
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=5) as connection:
            return _put(connection, text, made_from, actor)
    except psycopg.DataError as error:
        raise InputError(
            f"the record cannot keep it: {error.diag.message_primary or error}",
            where="catalogue",
            fix="remove what is named",
        ) from error
    except psycopg.Error as error:
        raise ServiceError(
            f"the record does not take the catalogue: {str(error).strip().splitlines()[0]}",
            where="database",
            fix="see that it runs and is migrated, and that the role may add catalogues",
        ) from error


def newest(connection: Connection) -> tuple[int, str]:
    """The newest version of the catalogue and its body; (−1, "{}") where there is none."""
    row = connection.execute(sql("newest_catalogue")).fetchone()
    return (-1, "{}") if row is None else (row[0], row[1])


def _put(connection: Connection, text: str, made_from: int | None, actor: str | None) -> int:
    with transaction(connection):
        connection.execute(sql("lock_catalogue"))
        version, before = newest(connection)
        if made_from is not None:
            require_version(version, made_from)
        text = _with_acts(text, before)
        if version >= 0 and before == text:
            return version
        connection.execute(sql("add_catalogue"), {"version": version + 1, "body": text})
        if actor is not None:
            detail = json.dumps({"version": version + 1})
            audit = {"actor": actor, "action": "catalogue.put", "detail": detail}
            connection.execute(sql("add_audit"), audit)
        return version + 1


def _with_acts(text: str, before: str) -> str:
    """The text with the acts of the version before it, where it has none of its own."""
    old, new = json.loads(before), json.loads(text)
    if not (isinstance(old, dict) and isinstance(new, dict)) or "acts" in new or "acts" not in old:
        return text
    return msgspec.json.encode({**new, "acts": old["acts"]}, order="sorted").decode()
