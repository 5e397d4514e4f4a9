-- Which series are learned still: what the worker's detectors know is in no other place to be read.

ALTER TABLE series_home ADD COLUMN calibrated_s int8;
COMMENT ON COLUMN series_home.calibrated_s IS 'derived: the shard''s clock when its detectors had learned enough; NULL: learning';

CREATE VIEW learning AS
SELECT s.device AS device_id, s.metric FROM series AS s JOIN series_home AS h USING (series_id)
WHERE s.kind = 0 AND h.calibrated_s IS NULL;
COMMENT ON VIEW learning IS 'derived: series of numbers of which learned detectors say nothing yet';
GRANT SELECT ON learning TO floorlog_writer, floorlog_keeper, floorlog_operator, floorlog_reader;
