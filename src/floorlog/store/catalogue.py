"""Versions of the catalogue in the record."""

import json

import psycopg

from floorlog.errors import InputError, ServiceError
from floorlog.store.link import Connection, transaction
from floorlog.store.queries import sql


def put_catalogue(dsn: str, body: bytes) -> int:
    """Make this the newest version of the catalogue, unless it is already; returns its number.

    Args:
        dsn: a role that may add versions: the writer or the operator.
        body: JSON, kept byte for byte.

    Raises:
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
            return _put(connection, text)
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


def _put(connection: Connection, text: str) -> int:
    with transaction(connection):
        connection.execute(sql("lock_catalogue"))
        newest = connection.execute(sql("newest_catalogue")).fetchone()
        version: int = newest[0] if newest else -1
        if newest and newest[1] == text:
            return version
        connection.execute(sql("add_catalogue"), {"version": version + 1, "body": text})
        return version + 1
