-- Rejects found by their leaf, and one trace for each replay.

CREATE FUNCTION digest(r reject) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x000201'::bytea || floorlog.field(r.sequence::text) || floorlog.field(r.element::int8)
        || floorlog.field(r.code) || floorlog.field(r.reason) || floorlog.field(r.data))
$$;

-- What was done to a reject, found without reading every event.
CREATE INDEX audit_event_reject ON audit_event ((detail ->> 'reject')) WHERE action ^@ 'reject.';
