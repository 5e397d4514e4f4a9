"""Partitions by month beside who reads for long."""

from floorlog.core.protocol import Survey
from floorlog.store.migrate import KEEPER, OPERATOR, READER, WRITER

AS_THEY_ARE = """
SELECT count(*), count(*) FILTER (WHERE a.attstorage = 'e') FROM pg_attribute AS a
JOIN pg_inherits AS i ON i.inhrelid = a.attrelid
WHERE i.inhparent = 'floorlog.open_row'::regclass AND a.attname = 'value'
"""


def test_months_to_come_keep_values_as_they_are(record) -> None:
    """A partition does not take over by itself how its parent stores a column."""
    (before,) = record.run(AS_THEY_ARE)
    record.run("BEGIN")
    try:
        record.run("SELECT floorlog.make_months(12)")
        (after,) = record.run(AS_THEY_ARE)
    finally:
        record.run("ROLLBACK")
    assert before[0] == before[1] < after[0] == after[1]


def test_a_long_reader_at_a_month_s_turn_keeps_no_worker_out(record) -> None:
    """The month is made later; until then its rows have the DEFAULT partition."""
    record.store("ann").survey(Survey(record.shards(1)))
    record.run("SELECT floorlog.make_months(2)")
    ((last,),) = record.run(
        "SELECT max(inhrelid::regclass::text) FROM pg_inherits"
        " WHERE inhparent = 'floorlog.batch'::regclass AND inhrelid::regclass::text ~ '_20'"
    )
    try:
        with record.connect(READER) as reader, reader.transaction():
            record.run(f"DROP TABLE {last}")
            reader.execute("SELECT count(*) FROM floorlog.batch")
            store, lease = record.begin("bob")
            record.commit(store, record.batch(lease, 1))
    finally:
        record.run("SELECT floorlog.make_months(2)")
        # As migrations left it: others compare the whole schema.
        record.run(f"GRANT SELECT ON {last} TO {WRITER}, {KEEPER}, {OPERATOR}, {READER}")
    assert record.run("SELECT to_regclass(%s) IS NOT NULL", last) == [(True,)]
