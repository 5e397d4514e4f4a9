"""Append-only for real: every way to change a row, on every table, by every role, is tried.

Tables, columns, sequences and functions are read from the server's catalogue: a new one is tried
without a word here. What a role may do is the short list below; all else must be denied.
"""

from contextlib import suppress
from itertools import product

import psycopg
import pytest

from floorlog.store.migrate import KEEPER, LOGIN_ROLES, OPERATOR, OWNER, READER, WRITER

DENIED = "42501"
NO_TABLE = {"42809", "55000", "0A000"}  # what can be done to no view is denied as well
PASSED = "FLOK1"
MARKED = {"lease", "worker", "series_home", "shard_state"}  # what runs, and is no record
ADDED = {
    WRITER: {
        "stream", "series", "state", "catalogue", "batch", "open_row", "reject", "anomaly",
        "conflict", "gap", *MARKED,
    },
    OPERATOR: {"audit_event", "catalogue"},
    KEEPER: {"log_leaf", "note"},  # and events that are no policy: see below
    READER: set(),
}  # fmt: skip
TRY = """
CREATE FUNCTION pg_temp.attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RAISE EXCEPTION 'it went through' USING ERRCODE = 'FLOK1';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END
$$"""
RELATIONS = """
    SELECT c.relname, c.relkind::text, array_agg(a.attname ORDER BY a.attnum) FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    GROUP BY c.oid ORDER BY c.relname"""
TABLES = """
    SELECT c.relname, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ')
    FROM pg_class AS c
    JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    WHERE c.relnamespace = 'floorlog'::regnamespace AND c.relkind IN ('r', 'p')
        AND NOT c.relispartition
    GROUP BY c.oid"""
OF_TABLE = (
    "DELETE FROM {}",
    "TRUNCATE {}",
    "LOCK TABLE {} IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE {} DISABLE TRIGGER ALL",
    "ALTER TABLE {} DISABLE TRIGGER USER",
    "ALTER TABLE {} ADD COLUMN mine int",
    "ALTER TABLE {} OWNER TO CURRENT_USER",
    "ALTER TABLE {} RENAME TO mine",
    "ALTER TABLE {} SET SCHEMA public",
    "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
    "DROP TABLE {}",
    "CREATE INDEX ON {} ((1))",
    "CREATE TRIGGER mine BEFORE UPDATE ON {} EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE RULE mine AS ON INSERT TO {} DO INSTEAD NOTHING",
    "COMMENT ON TABLE {} IS 'mine'",
)
OF_SERVER = (
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION postgres",
    f"SET ROLE {OWNER}",
    f"ALTER ROLE {OWNER} LOGIN",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "CREATE TABLE floorlog.mine (a int)",
    "CREATE FUNCTION floorlog.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE SCHEMA mine",
    "CREATE EVENT TRIGGER mine ON sql_drop EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "ALTER SCHEMA floorlog OWNER TO CURRENT_USER",
    "DROP SCHEMA floorlog CASCADE",
    f"DROP OWNED BY {OWNER}",
    f"REASSIGN OWNED BY {OWNER} TO CURRENT_USER",
    "UPDATE pg_class SET relowner = 10 WHERE relname = 'batch'",
    "UPDATE pg_proc SET prosecdef = false",
    "DELETE FROM pg_trigger",
    "COPY floorlog.batch TO PROGRAM 'cat'",
    "SELECT pg_read_file('PG_VERSION')",
    "SELECT lo_import('/dev/null')",
)
FUNCTIONS = """
    SELECT p.oid, p.proname, p.proargtypes::oid[]::regtype[]::text[], p.proconfig,
        p.proowner::regrole::text, ARRAY(SELECT r.rolname FROM pg_roles AS r
            WHERE r.rolname = ANY (%s) AND has_function_privilege(r.rolname, p.oid, 'EXECUTE')),
        EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a
            WHERE a.grantee = 0)
    FROM pg_proc AS p WHERE p.pronamespace = 'floorlog'::regnamespace AND p.prosecdef
    ORDER BY p.proname"""
# What somebody may try who knows that there is something to find.
NASTY = {
    "integer": ["NULL", "-1", "0", "2147483647"],
    "smallint": ["NULL", "-1", "32767"],
    "bigint": ["NULL", "-1", "9223372036854775807"],
    "double precision": ["NULL", "'NaN'", "'infinity'", "0"],
    "text": [
        "NULL",
        "''",
        "'press-0'",
        "'''; DROP TABLE floorlog.batch; --'",
        "repeat('x', 100000)",
    ],
    "boolean": ["NULL", "true"],
    "timestamp with time zone": ["NULL", "'infinity'", "'-infinity'", "now()"],
}
RUNS_ALONG = {
    "person",
    "expiry_mark",
    "expiry_left",
    "alarm",
    "alarm_budget",
    "learning",
}  # beside the record


@pytest.fixture
def filled(record):
    """A record with something of most kinds in it."""
    store, lease = record.begin()
    ids = record.register(store, lease)
    record.commit(store, record.batch(lease, 1, [(ids[0], 0, 1.0), (ids[1], 5, 2.0)]))
    record.run("INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('p', 'x', '{}')")
    record.run(
        "INSERT INTO floorlog.correction (ts_us, was_value, was_quality, value, quality, series_id,"
        " actor, reason) VALUES (0, 1, 0, 2, 0, %s, 'p', 'x')",
        ids[0],
    )
    record.run("SELECT floorlog.sequence(100)")
    return record


def attempts(record, role: str, statements: list[str]) -> dict[str, str]:
    """The SQLSTATE of each statement; all are undone."""
    with record.connect(role) as connection:
        connection.execute(TRY)
        rows = connection.execute(
            "SELECT s, pg_temp.attempt(s) FROM unnest(%s::text[]) AS u (s)", [statements]
        ).fetchall()
    return dict(rows)


def content(record) -> dict[str, str]:
    """What every table holds, as one hash each."""
    tables = record.run(
        "SELECT relname FROM pg_class WHERE relnamespace = 'floorlog'::regnamespace"
        " AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1"
    )
    return {
        name: record.run(
            "SELECT md5(coalesce(string_agg(t::text, '|' ORDER BY t::text), ''))"
            f" FROM floorlog.{name} AS t"
        )[0][0]
        for (name,) in tables
    }


def allowed(role: str, columns: dict[str, list[str]]) -> set[str]:
    """The statements that must not be denied."""
    found = {f"INSERT INTO floorlog.{name} DEFAULT VALUES" for name in ADDED[role]}
    if role == WRITER:
        for name in MARKED:
            found |= {f"UPDATE floorlog.{name} SET {one} = DEFAULT" for one in columns[name]}
            found.add(f"LOCK TABLE floorlog.{name} IN ACCESS EXCLUSIVE MODE")
        found |= {"UPDATE floorlog.stream SET gone = DEFAULT", "DELETE FROM floorlog.worker"}
    return found


@pytest.mark.slow
@pytest.mark.parametrize("role", LOGIN_ROLES)
def test_no_role_changes_a_row_in_any_way(filled, role) -> None:
    """Partitions, views and sequences included; what a role may do is the list above, no more."""
    relations = filled.run(RELATIONS)
    columns = {name: list(of) for name, _, of in relations}
    assert len(relations) > 60
    statements = []
    for name, kind, of in relations:
        table = f"floorlog.{name}"
        statements.append(f"INSERT INTO {table} DEFAULT VALUES")
        statements += [f"UPDATE {table} SET {one} = DEFAULT" for one in of]
        statements += [each.format(table) for each in OF_TABLE if kind != "v" or "LOCK" not in each]
    sequences = filled.run(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S'"
        " AND relnamespace = 'floorlog'::regnamespace"
    )
    statements += [f"SELECT setval('{name}', 1)" for (name,) in sequences]
    with filled.connect(role) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("ALTER SYSTEM SET session_replication_role = replica")
    before = content(filled)
    answers = attempts(filled, role, [*statements, *OF_SERVER])
    open_to = {one for one, state in answers.items() if state not in {DENIED, *NO_TABLE}}
    assert open_to == allowed(role, columns) & set(statements)
    assert content(filled) == before


def functions(record) -> list[tuple]:
    found = record.run(FUNCTIONS, list(LOGIN_ROLES))
    assert {"expire", "seal", "correct", "erase_name", "make_months"} <= {row[1] for row in found}
    return found


def test_functions_that_act_as_the_owner_are_closed(record) -> None:
    """A search path that nobody bends, an owner that nobody is, and none for everybody."""
    for _, name, _, config, owner, roles, is_public in functions(record):
        assert "search_path=pg_catalog, pg_temp" in (config or []), name
        assert owner == OWNER, name
        assert not is_public, name
        assert READER not in roles, name
        assert roles, name
    assert record.run("SELECT rolcanlogin, rolsuper FROM pg_roles WHERE rolname = %s", OWNER) == [
        (False, False)
    ]


def calls(name: str, types: list[str], most: int = 40) -> list[str]:
    """Calls with arguments that may do harm."""
    pools = [NASTY.get(one, ["NULL", "'{}'", "'{NULL}'"]) for one in types]
    every = product(*pools)
    typed = (
        ", ".join(f"{value}::{of}" for value, of in zip(values, types, strict=True))
        for values in every
    )
    found = [f"SELECT floorlog.{name}({arguments})" for arguments, _ in zip(typed, range(5_000))]  # noqa: B905 - the second one bounds the first
    return found[:: max(1, len(found) // most)]


@pytest.mark.slow
def test_nobody_else_calls_them_and_wrong_arguments_change_nothing(filled) -> None:
    """Roles that may not are denied; those that may reach no row of the record by bad arguments."""
    before = content(filled)
    for _, name, types, _, _, roles, _ in functions(filled):
        every = calls(name, types)
        for role in LOGIN_ROLES:
            if role not in roles:
                assert set(attempts(filled, role, every).values()) == {DENIED}, (name, role)
        for statement in every:
            with filled.connect(roles[0]) as connection, suppress(psycopg.Error):
                connection.execute(f"SET statement_timeout = '20s'; {statement}")
    after = content(filled)
    changed = {name for name in before if before[name] != after[name]} - RUNS_ALONG
    # An event tells of what was done; nothing that was there is another.
    assert changed <= {"audit_event"}
    kept = "SELECT count(*) FROM floorlog.audit_event WHERE (actor, action) = ('p', 'x')"
    assert filled.run(kept) == [(1,)]


@pytest.mark.parametrize("role", [KEEPER, OPERATOR])
def test_temporary_things_shadow_nothing(filled, role) -> None:
    """Tables and functions of a session come first in its search path, and are not used."""
    tables = filled.run(TABLES)
    ((device, metric, at),) = filled.run(
        "SELECT device_id, metric, floorlog.to_us(ts) FROM floorlog.reading ORDER BY 1 LIMIT 1"
    )
    with filled.connect(role) as session:
        for name, columns in tables:
            session.execute(f"CREATE TEMP TABLE {name} ({columns})")
        for name, returns in (("now", "timestamptz"), ("clock_timestamp", "timestamptz")):
            session.execute(
                f"CREATE FUNCTION pg_temp.{name}() RETURNS {returns} LANGUAGE sql AS"
                " $$SELECT timestamptz '2200-01-01'$$"
            )
        session.execute("SET search_path = pg_temp, floorlog, pg_catalog")
        if role == OPERATOR:
            correct = "SELECT (floorlog.correct(%s, %s, %s, 9, NULL, NULL, 'p', 'x')).recorded_at"
            ((made,),) = session.execute(correct, [device, metric, at]).fetchall()
            assert made.year < 2200
            ((pseudonym,),) = session.execute("SELECT floorlog.pseudonym_of('Zoe')").fetchall()
            session.execute("SELECT floorlog.erase_name(%s, 'p', 'x')", [pseudonym])
        else:
            session.execute("SELECT floorlog.make_months(2)")
            assert session.execute("SELECT floorlog.expire(1)").fetchall() == []
        for name, _ in tables:
            assert session.execute(f"SELECT count(*) FROM pg_temp.{name}").fetchone() == (0,), name
    if role == OPERATOR:
        held = "SELECT count(*) FROM floorlog.correction WHERE value = 9"
        assert filled.run(held) == [(1,)]
        assert filled.run("SELECT count(*) FROM floorlog.person WHERE name = 'Zoe'") == [(0,)]


def test_policies_are_the_operators_alone(record) -> None:
    """The keeper tells of what it did, and cannot say what may expire."""
    event = "INSERT INTO floorlog.audit_event (actor, action, detail) VALUES ('p', %s, '{}')"
    policies = ("retention.set", "hold.place", "hold.release")
    with record.connect(KEEPER) as keeper:
        keeper.execute(event, ["recover"])
        for action in policies:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                keeper.execute(event, [action])
    with record.connect(OPERATOR) as operator:
        for action in policies:
            operator.execute(event, [action])
    assert record.run("SELECT count(*) FROM floorlog.audit_event") == [(1 + len(policies),)]
