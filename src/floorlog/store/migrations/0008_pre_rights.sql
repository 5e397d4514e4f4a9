-- Who may do what. No log-in role may change or remove what is recorded: not even the writer.

GRANT USAGE ON SCHEMA floorlog TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA floorlog TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
REVOKE SELECT ON shard_state FROM floorlog_operator, floorlog_reader;

GRANT INSERT ON stream, lease, worker, series, series_home, state, catalogue, shard_state,
    batch, open_row, reject, anomaly, conflict, gap TO floorlog_writer;
GRANT UPDATE ON lease, worker, series_home, shard_state TO floorlog_writer;
GRANT UPDATE (gone) ON stream TO floorlog_writer;
GRANT DELETE ON worker TO floorlog_writer;  -- names of workers that are long gone
GRANT EXECUTE ON FUNCTION make_months(int4) TO floorlog_writer, floorlog_keeper;
GRANT EXECUTE ON FUNCTION advance(int8, int8, int8, int8, numeric, numeric, int8, int8, int8, int8, int8[], int8, bytea, bool, float8)
    TO floorlog_writer;
GRANT EXECUTE ON FUNCTION end_older_streams(text, timestamptz) TO floorlog_writer;

GRANT INSERT ON audit_event, catalogue TO floorlog_operator;
GRANT INSERT ON log_leaf, note TO floorlog_keeper;
GRANT EXECUTE ON FUNCTION sequence(int4) TO floorlog_keeper;
