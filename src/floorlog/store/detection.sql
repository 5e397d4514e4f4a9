-- What detection tells the record beside its anomalies.

-- :name tell_calibration
-- Since when the detectors know these series well enough to judge them; NULL where they learn anew.
UPDATE floorlog.series_home AS h SET calibrated_s = CASE WHEN given.ready THEN %(clock_s)s::int8 END
FROM unnest(%(series)s::int4[], %(ready)s::bool[]) AS given (series_id, ready)
WHERE h.series_id = given.series_id AND given.ready <> (h.calibrated_s IS NOT NULL);

-- :name count_learning
-- How many series are learned still.
SELECT count(*) FROM floorlog.learning;
