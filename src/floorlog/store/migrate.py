"""Brings a database's schema to this release: roles, then the numbered migrations, each once."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, LiteralString

import psycopg
from psycopg import sql

from floorlog.errors import RecordError, ServiceError

OWNER = "floorlog_owner"
WRITER = "floorlog_writer"
KEEPER = "floorlog_keeper"
OPERATOR = "floorlog_operator"
READER = "floorlog_reader"
LOGIN_ROLES = (WRITER, KEEPER, OPERATOR, READER)
_LOCK = 4706880
_NAME = re.compile(r"(\d{4})_(pre|post)_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """One file: `pre` runs before a release's workers start, `post` after the last one's ended."""

    number: int
    phase: str
    name: str
    text: str

    @property
    def digest(self) -> str:
        """SHA-256 of the text, in hexadecimal."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """This release's migrations in order."""
    found = []
    for file in files("floorlog.store").joinpath("migrations").iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            number, phase = int(match[1]), match[2]
            found.append(Migration(number, phase, file.name, file.read_text("utf-8")))
    return sorted(found, key=lambda migration: migration.number)


def migrate(
    dsn: str,
    *,
    passwords: Mapping[str, str] | None = None,
    with_post: bool = True,
    known: Iterable[Migration] | None = None,
) -> list[str]:
    """Apply what the database has not seen yet, each file in a transaction of its own.

    Args:
        dsn: a role that may create roles and schemas: a superuser, or RDS's master user.
        passwords: by log-in role; a role that is not named keeps what it has.
        with_post: also those that the last release's workers do not run on.
        known: the migrations, this release's by default.

    Returns:
        The names of the files that were applied.

    Raises:
        RecordError: an applied file is not what it was, or a file fails.
        ServiceError: the database cannot be reached, or the role may not do this.
    """
    planned = list(migrations() if known is None else known)
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            # Two at once: the second finds everything done.
            connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            _open_roles(connection, passwords or {})
            _open_schema(connection)
            return _apply(connection, planned, with_post=with_post)
    except psycopg.errors.InsufficientPrivilege as error:
        raise ServiceError(
            f"the role may not set up the record: {error.diag.message_primary}",
            where="database",
            fix="migrate as a superuser, or as a role with CREATEROLE that owns the database",
        ) from error
    except psycopg.OperationalError as error:
        raise ServiceError(
            f"the database cannot be reached: {str(error).strip().splitlines()[0]}",
            where="database",
            fix="start it, or correct host, port, name and password",
        ) from error


def _open_roles(connection: psycopg.Connection[Any], passwords: Mapping[str, str]) -> None:
    there = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
    for role in (OWNER, *LOGIN_ROLES):
        log_in = "NOLOGIN" if role == OWNER else "LOGIN"
        if role not in there:
            _create_role(connection, role, log_in)
        password = passwords.get(role)
        if password is not None:
            _set_password(connection, role, password)
    database = connection.info.dbname
    for role in LOGIN_ROLES:
        connection.execute(
            sql.SQL("ALTER ROLE {} IN DATABASE {} SET search_path = floorlog").format(
                sql.Identifier(role), sql.Identifier(database)
            )
        )
    # RDS's master user is no superuser: it acts as the owner only as its member.
    # Since PostgreSQL 16 who made a role is a member, but may not act as it without another grant.
    kind = "SET" if connection.info.server_version >= 160000 else "MEMBER"
    row = connection.execute(
        "SELECT rolsuper OR pg_has_role(rolname, %s, %s) FROM pg_roles"
        " WHERE rolname = current_user",
        [OWNER, kind],
    ).fetchone()
    if row is None or not row[0]:
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))


def set_password(dsn: str, role: str, password: str) -> None:
    """Give a log-in role a password, as a role that may. Raises ServiceError."""
    try:
        with psycopg.connect(dsn, autocommit=True, connect_timeout=10) as connection:
            _set_password(connection, role, password)
    except psycopg.Error as error:
        raise ServiceError(
            f"{role} gets no new password: {str(error).strip().splitlines()[0]}",
            where="database",
            fix="see that it runs, is migrated, and that the administrator's log-in is right",
        ) from error


def _set_password(connection: psycopg.Connection[Any], role: str, password: str) -> None:
    # Hashed here, so that no log of statements can hold it.
    hashed = connection.pgconn.encrypt_password(
        password.encode(), role.encode(), b"scram-sha-256"
    ).decode()
    connection.execute(
        sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed))
    )


def _create_role(connection: psycopg.Connection[Any], role: str, log_in: LiteralString) -> None:
    try:
        statement = sql.SQL("CREATE ROLE {} " + log_in).format(sql.Identifier(role))
        connection.execute(statement)
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        return  # roles belong to the whole server: another database's migration was quicker


def _open_schema(connection: psycopg.Connection[Any]) -> None:
    owner = sql.Identifier(OWNER)
    connection.execute(
        sql.SQL("CREATE SCHEMA IF NOT EXISTS floorlog AUTHORIZATION {}").format(owner)
    )
    connection.execute(sql.SQL("SET ROLE {}").format(owner))
    connection.execute("SET search_path = floorlog, pg_catalog")
    connection.execute("SET client_min_messages = warning")
    with connection.transaction():
        connection.execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (number int4 PRIMARY KEY,"
            " name text NOT NULL, digest text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for column, purpose in {
            "number": "order of the migration",
            "name": "its file",
            "digest": "SHA-256 of the file when it was applied",
            "applied_at": "when",
        }.items():
            connection.execute(
                sql.SQL("COMMENT ON COLUMN schema_migration.{} IS {}").format(
                    sql.Identifier(column), sql.Literal(f"outside: {purpose}")
                )
            )


def _apply(
    connection: psycopg.Connection[Any], planned: list[Migration], *, with_post: bool
) -> list[str]:
    rows = connection.execute("SELECT number, name, digest FROM schema_migration")
    seen = {number: (name, digest) for number, name, digest in rows}
    newest = max(seen, default=0)
    applied = []
    for migration in planned:
        if migration.number in seen:
            _unchanged(migration, *seen[migration.number])
            continue
        if migration.number < newest:
            raise RecordError(
                f"{migration.name} was never applied, but number {newest} was",
                where="schema_migration",
                fix="give the new file a number above all that were ever released",
            )
        if migration.phase == "post" and not with_post:
            break
        _run(connection, migration)
        applied.append(migration.name)
    return applied


def _unchanged(migration: Migration, name: str, digest: str) -> None:
    if digest != migration.digest:
        raise RecordError(
            f"{migration.name} is not what was applied as {name}: its content has changed",
            where="schema_migration",
            fix="restore the file as it was released, and put the change into a new one",
        )


def _run(connection: psycopg.Connection[Any], migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.text)
            connection.execute(
                "INSERT INTO schema_migration (number, name, digest) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.digest],
            )
    except psycopg.errors.InsufficientPrivilege:
        raise
    except psycopg.Error as error:
        if error.sqlstate is None:
            raise
        raise RecordError(
            f"{migration.name} fails: {error.diag.message_primary} ({error.sqlstate})",
            where="database",
            fix="nothing of this file was applied: mend what it names, then migrate again",
        ) from error
