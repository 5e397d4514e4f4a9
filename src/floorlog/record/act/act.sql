-- What people do to the record. Read by store.queries.parse.

-- :name pseudonym
-- The pseudonym of a person, a new one at first sight.
SELECT floorlog.pseudonym_of(%(name)s);

-- :name people
-- Every pseudonym with its name, NULL where that was erased.
SELECT pseudonym, name, floorlog.to_us(given_at) FROM floorlog.person ORDER BY given_at, pseudonym;

-- :name erase_name
-- Forget who a pseudonym is.
SELECT floorlog.erase_name(%(pseudonym)s, %(actor)s, %(reason)s);

-- :name add_event
-- One audit event.
INSERT INTO floorlog.audit_event (actor, action, detail) VALUES (%(actor)s, %(action)s, %(detail)s::json)
RETURNING event_id;

-- :name kind_of_series
-- Whether a series holds numbers (0) or states (1).
SELECT kind FROM floorlog.series WHERE device = %(device)s AND metric = %(metric)s;

-- :name neighbours
-- The times of the readings before and after a time, within a day; µs UTC.
SELECT floorlog.to_us(max(ts) FILTER (WHERE ts < floorlog.from_us(%(at)s))),
    floorlog.to_us(min(ts) FILTER (WHERE ts > floorlog.from_us(%(at)s)))
FROM floorlog.readings(%(device)s, %(metric)s, floorlog.from_us(%(at)s - 86400000000),
    floorlog.from_us(%(at)s + 86400000000));

-- :name stands
-- Whether there is a reading of a series at a time.
SELECT 1 FROM floorlog.readings(%(device)s, %(metric)s, floorlog.from_us(%(at)s), floorlog.from_us(%(at)s + 1)) LIMIT 1;

-- :name correct
-- A further correction of the reading that stands; of states the code and the name both.
SELECT c.correction_id, floorlog.to_us(c.recorded_at), c.was_value,
    (SELECT t.name FROM floorlog.state AS t WHERE s.kind = 1 AND t.code = c.was_value), c.was_quality, c.value,
    (SELECT t.name FROM floorlog.state AS t WHERE s.kind = 1 AND t.code = c.value), c.quality
FROM floorlog.correct(%(device)s, %(metric)s, %(at)s, %(value)s, %(text)s, %(quality)s, %(actor)s, %(reason)s) AS c
JOIN floorlog.series AS s ON s.series_id = c.series_id;

-- :name knows_series
-- Whether the record holds such a series, or without a metric any of the device; and the time, µs.
SELECT EXISTS (
    SELECT FROM floorlog.series AS s
    WHERE s.device = %(device)s AND (%(metric)s::text IS NULL OR s.metric = %(metric)s)
), floorlog.to_us(clock_timestamp());

-- :name readings_now
-- Readings of one series beside their corrections.
SELECT floorlog.to_us(ts), value, text, quality, flags, floorlog.to_us(recorded_at), corrected_value, corrected_text,
    corrected_quality
FROM floorlog.readings(%(device)s, %(metric)s, %(from_time)s, %(to_time)s)
ORDER BY ts, flags & 1, recorded_at LIMIT %(rows_max)s;

-- :name readings_as_of
-- The same as of a size of the log.
SELECT floorlog.to_us(ts), value, text, quality, flags, floorlog.to_us(recorded_at), corrected_value, corrected_text,
    corrected_quality
FROM floorlog.readings_as_of(%(device)s, %(metric)s, %(from_time)s, %(to_time)s, %(log_size)s::int8)
ORDER BY ts, flags & 1, recorded_at LIMIT %(rows_max)s;

-- :name log_size_at
-- The size that the log had at a moment.
SELECT floorlog.log_size_at(%(moment)s);
