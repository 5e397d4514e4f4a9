"""Partitions by month beside who reads for long."""

from floorlog.core.protocol import Survey
from floorlog.store.migrate import KEEPER, OPERATOR, READER, WRITER


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
