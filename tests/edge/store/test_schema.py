"""The schema: made by migrations, equal to schema.sql, and closed to whoever must not change it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from floorlog.errors import RecordError, ServiceError
from floorlog.record.check.finding import Findings
from floorlog.record.check.schema import check_schema
from floorlog.store import migrate as migrating
from floorlog.store.migrate import (
    KEEPER,
    LOGIN_ROLES,
    OPERATOR,
    OWNER,
    READER,
    WRITER,
    Migration,
    migrate,
    migrations,
)
from floorlog.store.queries import QUERIES, parse

STORE = Path(migrating.__file__).parent
RECORD = {
    "series", "state", "batch", "open_row", "reject", "anomaly", "conflict", "gap", "catalogue",
    "audit_event", "log_leaf", "note", "alarm_event", "correction",
    "expiry", "expired",
}  # fmt: skip
UPDATED = {"lease", "worker", "series_home", "shard_state"}
LOG = {"log_leaf", "note"}
BY_FUNCTION = {
    "alarm_event",
    "correction",
    "expiry",
    "expired",
}  # added to by functions of the owner alone
BY_MONTH = {
    "batch", "open_row", "reject", "anomaly", "conflict", "gap", "audit_event", *LOG, *BY_FUNCTION,
}  # fmt: skip

# Everything that makes a schema, as text.
SHAPE = """
SELECT 'column', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull::text,
    coalesce(pg_get_expr(d.adbin, d.adrelid), a.attidentity::text), col_description(c.oid, a.attnum)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p', 'v')
UNION ALL SELECT 'relation', relname, relkind::text, relacl::text, reloptions::text,
    pg_get_expr(relpartbound, oid), relowner::regrole::text FROM pg_class
    WHERE relnamespace = 'floorlog'::regnamespace
UNION ALL SELECT 'constraint', conrelid::regclass::text, pg_get_constraintdef(oid),
    NULL, NULL, NULL, NULL
    FROM pg_constraint WHERE connamespace = 'floorlog'::regnamespace
UNION ALL SELECT 'index', tablename, indexdef, NULL, NULL, NULL, NULL FROM pg_indexes
    WHERE schemaname = 'floorlog'
UNION ALL SELECT 'function', proname, pg_get_functiondef(oid), proacl::text,
    proowner::regrole::text, NULL, NULL
    FROM pg_proc WHERE pronamespace = 'floorlog'::regnamespace AND prokind <> 'a'
UNION ALL SELECT 'aggregate', aggfnoid::text, aggtransfn::text, proacl::text,
    proowner::regrole::text, format_type(aggtranstype, NULL), agginitval
    FROM pg_aggregate JOIN pg_proc ON oid = aggfnoid WHERE pronamespace = 'floorlog'::regnamespace
UNION ALL SELECT 'view', relname, pg_get_viewdef(oid), NULL, NULL, NULL, NULL FROM pg_class
    WHERE relnamespace = 'floorlog'::regnamespace AND relkind = 'v'
UNION ALL SELECT 'schema', nspname, nspacl::text, NULL, NULL, NULL, NULL FROM pg_namespace
    WHERE nspname = 'floorlog'
"""


@pytest.fixture
def empty(server) -> Iterator[str]:
    """The name of a database without anything in it."""
    server.run("postgres", "CREATE DATABASE empty")
    yield "empty"
    server.connections.pop("empty").close() if "empty" in server.connections else None
    server.run("postgres", "DROP DATABASE empty WITH (FORCE)")


def refused(record, role: str, statement: str) -> str:
    """The SQLSTATE with which a role's statement fails; "" when it goes through."""
    with psycopg.connect(record.dsn(role)) as connection:
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            return error.sqlstate or "lost"
        finally:
            connection.rollback()
    return ""


def test_schema_sql_is_the_sum_of_the_migrations(server, empty) -> None:
    """Tables, columns, comments, indexes, functions, views, rights and owners."""
    with psycopg.connect(server.dsn(database=empty), autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA floorlog AUTHORIZATION {OWNER}")
        connection.execute(f"SET ROLE {OWNER}")
        connection.execute("SET search_path = floorlog, pg_catalog")
        connection.execute((STORE / "schema.sql").read_text())
    summed = set(server.run("record", SHAPE))
    whole = set(server.run(empty, SHAPE))
    assert len(whole) > 300
    assert whole - summed == set()
    assert {row for row in summed - whole if "schema_migration" not in repr(row)} == set()


def test_verification_knows_the_schema(server, empty) -> None:
    """A migrated database shows what it stores by this release's views and functions alone."""
    migrate(server.dsn(database=empty), passwords=server.passwords)
    findings = Findings()
    with psycopg.connect(server.dsn(READER, empty), autocommit=True) as connection:
        check_schema(connection, findings)
    assert findings.wrong == []


def test_a_second_migration_has_nothing_to_do(server, empty) -> None:
    """All files once, in order, each recorded with its digest."""
    dsn = server.dsn(database=empty)
    assert migrate(dsn) == [migration.name for migration in migrations()]
    assert migrate(dsn) == []
    recorded = server.run(empty, "SELECT number, digest FROM floorlog.schema_migration ORDER BY 1")
    assert recorded == [(one.number, one.digest) for one in migrations()]


def test_a_failing_migration_leaves_nothing(server, empty) -> None:
    """The error names the file; those before it stay, and a mended one goes on from there."""
    good = Migration(1, "pre", "0001_pre_good.sql", "CREATE TABLE good (a int);")
    bad = Migration(2, "pre", "0002_pre_bad.sql", "CREATE TABLE half (a int); SELECT 1 / 0;")
    dsn = server.dsn(database=empty)
    with pytest.raises(RecordError, match=r"0002_pre_bad.sql fails: division by zero \(22012\)"):
        migrate(dsn, known=[good, bad])
    there = server.run(empty, "SELECT to_regclass('floorlog.good'), to_regclass('floorlog.half')")
    assert there == [("floorlog.good", None)]
    assert migrate(dsn, known=[good, replace(bad, text="SELECT 1")]) == ["0002_pre_bad.sql"]


def test_changed_history_is_refused(server, empty) -> None:
    """A file that was applied may not change, and none may come between."""
    one = Migration(1, "pre", "0001_pre_one.sql", "SELECT 1")
    three = Migration(3, "pre", "0003_pre_three.sql", "SELECT 3")
    dsn = server.dsn(database=empty)
    migrate(dsn, known=[one, three])
    with pytest.raises(RecordError, match="content has changed - restore the file"):
        migrate(dsn, known=[replace(one, text="SELECT 2")])
    two = Migration(2, "pre", "0002_pre_two.sql", "SELECT 2")
    with pytest.raises(RecordError, match=r"0002_pre_two.sql was never applied, but number 3"):
        migrate(dsn, known=[one, two, three])


def test_post_migrations_can_wait(server, empty) -> None:
    """Until the last release's workers have ended; nothing overtakes them."""
    files = [
        Migration(1, "pre", "0001_pre_a.sql", "SELECT 1"),
        Migration(2, "post", "0002_post_b.sql", "SELECT 1"),
        Migration(3, "pre", "0003_pre_c.sql", "SELECT 1"),
    ]
    dsn = server.dsn(database=empty)
    assert migrate(dsn, known=files, with_post=False) == ["0001_pre_a.sql"]
    assert migrate(dsn, known=files) == ["0002_post_b.sql", "0003_pre_c.sql"]


def test_who_may_not_migrate_is_told_who_may(record) -> None:
    """One line, with the fix."""
    with pytest.raises(ServiceError, match="migrate as a superuser"):
        migrate(record.dsn(WRITER), passwords={READER: "x"})
    with pytest.raises(ServiceError, match="cannot be reached"):
        migrate(psycopg.conninfo.make_conninfo(record.dsn(WRITER), port=1))


def test_numbers_of_migrations_are_in_order() -> None:
    """Each number once, ascending, and every file's name follows the pattern."""
    found = migrations()
    numbers = [one.number for one in found]
    assert numbers[:8] == list(range(1, 9))
    assert numbers == sorted(set(numbers))
    assert len(found) == len(list((STORE / "migrations").iterdir()))


@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_no_role_may_change_or_remove_what_is_recorded(record, role) -> None:
    """By the server's own catalogue, partitions included; the writer updates what is no record."""
    rows = record.run(
        "SELECT c.relname, p.name, has_table_privilege(%s, c.oid, p.name),"
        " coalesce(i.inhparent::regclass::text, '')"
        " FROM pg_class AS c LEFT JOIN pg_inherits AS i ON i.inhrelid = c.oid"
        " CROSS JOIN unnest('{UPDATE,DELETE,TRUNCATE,TRIGGER,REFERENCES}'::text[]) AS p (name)"
        " WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p')",
        role,
    )
    tables = {name for name, *_ in rows}
    assert tables >= RECORD | UPDATED
    held = {(name, right) for name, right, has, _ in rows if has}
    allowed = {(name, "UPDATE") for name in UPDATED} | {("worker", "DELETE")}
    assert held == (allowed if role == WRITER else set())
    columns = record.run(
        "SELECT c.relname, a.attname"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND a.attnum > 0 AND has_column_privilege(%s, c.oid, a.attnum, 'UPDATE')",
        role,
    )
    only = {(name, column) for name, column in columns if name not in UPDATED}
    assert only == ({("stream", "gone")} if role == WRITER else set())


def test_who_may_add_what(record) -> None:
    """Readers nothing, operators events and catalogues, the keeper log and events, writers more."""
    rows = record.run(
        "SELECT r.name, c.relname FROM pg_class AS c CROSS JOIN unnest(%s::text[]) AS r (name)"
        " WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND has_table_privilege(r.name, c.oid, 'INSERT')",
        list(LOGIN_ROLES),
    )
    by_role = {role: {table for name, table in rows if name == role} for role in LOGIN_ROLES}
    assert by_role[READER] == set()
    assert by_role[KEEPER] == LOG | {"audit_event"}
    assert by_role[OPERATOR] == {"audit_event", "catalogue"}
    assert by_role[WRITER] == (RECORD - {"audit_event"} - LOG - BY_FUNCTION) | UPDATED | {"stream"}
    assert record.run("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = %s", OWNER) == [
        (False, False)
    ]
    mighty = (
        "SELECT rolname FROM pg_roles WHERE rolname ^@ 'floorlog' AND (rolsuper OR rolcreaterole)"
    )
    assert record.run(mighty) == []


def test_rights_hold_when_tried(record) -> None:
    """Denied: changing rows, reading a shard's state as reader, moving leases as reader."""
    denied = "42501"
    for table in sorted(RECORD):
        for statement in (f"DELETE FROM floorlog.{table}", f"TRUNCATE floorlog.{table}"):
            assert refused(record, WRITER, statement) == denied
    assert refused(record, WRITER, "UPDATE floorlog.open_row SET value = '{}'") == denied
    assert refused(record, WRITER, "CREATE TABLE floorlog.mine (a int)") == denied
    assert refused(record, READER, "SELECT * FROM floorlog.shard_state") == denied
    assert refused(record, READER, "SELECT floorlog.make_months(1)") == denied
    assert refused(record, READER, "SELECT * FROM reading, readings('-infinity', 'now')") == ""


def test_every_column_says_what_it_is(record) -> None:
    """Evidence, derived, or outside the record; a new column without a class fails here."""
    rows = record.run(
        "SELECT c.relname, a.attname, coalesce(col_description(c.oid, a.attnum), '')"
        " FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0"
        " WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND NOT c.relispartition AND NOT a.attisdropped"
    )
    assert len(rows) > 100
    pattern = re.compile(r"(evidence|derived|outside): \S")
    assert [row for row in rows if not pattern.match(row[2])] == []


def test_tables_that_grow_are_parted_by_month(record) -> None:
    """This month, the two after it, and a DEFAULT one that refuses nothing."""
    parts = record.run(
        "SELECT inhparent::regclass::text, inhrelid::regclass::text FROM pg_inherits"
        " JOIN pg_class AS c ON c.oid = inhparent WHERE c.relkind = 'p'"
    )
    now = datetime.now(UTC)
    months = [divmod(now.year * 12 + now.month - 1 + ahead, 12) for ahead in range(3)]
    names = {f"{year}_{month + 1:02}" for year, month in months} | {"default"}
    for table in BY_MONTH:
        parent = f"floorlog.{table}"
        assert names <= {
            name.removeprefix(f"{parent}_") for whole, name in parts if whole == parent
        }


def test_the_writer_makes_further_months(server, empty) -> None:
    """As many as are missing; a month that the DEFAULT partition holds rows of is left there."""
    migrate(server.dsn(database=empty))
    with psycopg.connect(server.dsn(WRITER, empty), autocommit=True) as writer:
        assert writer.execute("SELECT floorlog.make_months(2)").fetchone() == (0,)
        writer.execute(
            "INSERT INTO floorlog.gap VALUES (now() + interval '4 months', 1, 1, 1, 1, 'early')"
        )
        made = writer.execute("SELECT floorlog.make_months(4)").fetchone()[0]
        assert made == 2 * len(BY_MONTH) - 1
        assert writer.execute("SELECT count(*) FROM floorlog.gap").fetchone() == (1,)
        with pytest.raises(psycopg.errors.RaiseException, match="must be 0 to 24"):
            writer.execute("SELECT floorlog.make_months(99)")


def test_every_query_is_used_and_says_its_purpose() -> None:
    """By its name in the code; what nobody calls goes."""
    code = "".join(path.read_text() for path in STORE.rglob("*.py"))
    assert len(QUERIES) > 40
    assert [name for name in QUERIES if f'"{name}"' not in code] == []
    assert all(query.purpose.endswith(".") for query in QUERIES.values())
    used = re.findall(r'\bsql\(\s*"(\w+)"\s*\)', code)
    assert set(used) <= set(QUERIES)


@pytest.mark.parametrize(
    "text",
    [
        "-- :name a\nSELECT 1;",
        "-- :name a\n-- What for.\n",
        "-- :name a\n-- What for.\nSELECT 1;\n-- :name a\n-- What for.\nSELECT 1;",
    ],
    ids=["no purpose", "no statement", "twice"],
)
def test_a_query_without_name_purpose_or_statement_is_an_error(text: str) -> None:
    """Found when the file is read."""
    with pytest.raises(ValueError, match="query a"):
        parse(text)
