"""Rows that are all as they were, and still shown otherwise: found by verification."""

from collections.abc import Iterator

import psycopg
import pytest
from written import TEMPLATE, Ground

from floorlog.record.check.finding import Findings
from floorlog.record.check.schema import check_schema
from floorlog.record.check.verify import verify
from floorlog.store.migrate import READER

pytestmark = pytest.mark.slow  # a database each

FALSE_VIEW = """
CREATE OR REPLACE VIEW floorlog.stored_reading AS
SELECT floorlog.from_us(0) AS ts, ''::text AS device_id, ''::text AS metric, 1::float8 AS value,
    ''::text AS text, ''::text AS unit, 0::int8 AS quality, now() AS recorded_at, 0 AS flags,
    now() AS arrived_at, 1 AS shard, 1::int8 AS batch, now() AS bucket
"""
FALSE_FUNCTION = """
CREATE OR REPLACE FUNCTION floorlog.from_us(us int8) RETURNS timestamptz LANGUAGE sql IMMUTABLE
PARALLEL SAFE AS $$ SELECT timestamptz 'epoch' + us * interval '2 microseconds' $$
"""
NARROWER = """
CREATE FUNCTION floorlog.readings(of_device varchar, of_metric varchar, from_time timestamptz,
    to_time timestamptz) RETURNS SETOF floorlog.reading LANGUAGE sql STABLE AS $$
    SELECT * FROM floorlog.reading LIMIT 0 $$
"""
HIDDEN = """
ALTER TABLE floorlog.gap ENABLE ROW LEVEL SECURITY;
CREATE POLICY readable ON floorlog.gap FOR SELECT USING (current_user = 'floorlog_operator')
"""
UNREADABLE = "ALTER TABLE floorlog.conflict ENABLE ROW LEVEL SECURITY"
ELSEWHERE = "ALTER FUNCTION floorlog.correct(text, text, int8, float8, text, int8, text, text)"
AS_VIEW = """
ALTER TABLE floorlog.gap RENAME TO gap_kept;
CREATE VIEW floorlog.gap AS SELECT * FROM floorlog.gap_kept;
GRANT SELECT ON floorlog.gap TO floorlog_reader
"""


@pytest.fixture(scope="module")
def record(ground: Ground) -> Iterator[tuple[psycopg.Connection, str]]:
    """A superuser's connection to one record, and the name of its database."""
    with ground.copy(TEMPLATE) as copied, copied.connect() as connection:
        yield connection, copied.database


@pytest.fixture
def connection(record) -> psycopg.Connection:
    return record[0]


@pytest.fixture
def database(record) -> str:
    return record[1]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (FALSE_VIEW, "view stored_reading is not that of this release"),
        (FALSE_FUNCTION, "function from_us is not that of this release"),
        (NARROWER, "function readings is not that of this release"),
        (HIDDEN, "gap is under the policy readable"),
        (UNREADABLE, "conflict is under policies that let nobody read"),
        (f"{ELSEWHERE} SET search_path = public", "function correct looks for names elsewhere"),
        (AS_VIEW, "view gap is not that of this release"),
        ("DROP VIEW floorlog.hold CASCADE", "view hold is gone"),
        ("CREATE VIEW floorlog.more AS SELECT 1", "view more is not that of this release"),
        ("DELETE FROM floorlog.schema_migration WHERE number > 30", "the schema is at 0030"),
        (
            "REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC",
            "views are not compared: grant TEMPORARY on the database",
        ),
    ],
)
def test_what_shows_something_else_is_named(connection, database, change, says) -> None:
    """Views, functions, policies and rules: verification says which."""
    with connection.transaction(force_rollback=True):
        connection.execute(change.replace("{database}", database))
        connection.execute("SET LOCAL ROLE floorlog_reader")
        findings = Findings()
        check_schema(connection, findings)
    found = [one.says for one in findings.wrong if one.where == "schema"]
    assert any(says in one for one in found), found
    assert len(found) == len(findings.wrong)


def test_verification_looks_at_it_first(written) -> None:
    """Rows that are shown to some alone: not intact, whatever the one who verifies can read."""
    assert verify(written.dsn(READER), written.anchor).wrong == []
    written.run(HIDDEN)
    report = verify(written.dsn(READER), written.anchor)
    assert not report.ok
    assert any("gap is under the policy readable" in one.says for one in report.wrong)


def test_nothing_is_left_behind(written) -> None:
    """What is made to compare is gone afterwards."""
    verify(written.dsn(READER), written.anchor)
    assert written.run("SELECT relname FROM pg_class WHERE relname LIKE 'made|_%' ESCAPE '|'") == []
