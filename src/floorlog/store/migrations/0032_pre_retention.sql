-- Policies and holds, folded from audit events, and what they say may expire.

-- The policy of each asset that has one ('*': of all others), by its last event. Without `days` it
-- is kept for ever. `from` active: the days count from when the whole asset went quiet.
CREATE VIEW retention AS
SELECT DISTINCT ON (a.detail ->> 'asset') a.detail ->> 'asset' AS asset,
    CASE WHEN a.detail ->> 'days' ~ '^[1-9][0-9]{0,5}$' THEN (a.detail ->> 'days')::int4 END AS days,
    coalesce(a.detail ->> 'from' <> 'recorded', true) AS from_active,
    a.detail ->> 'reason' AS reason, a.actor, a.recorded_at, a.event_id
FROM floorlog.audit_event AS a
WHERE a.action = 'retention.set' AND a.detail ->> 'asset' <> ''
ORDER BY a.detail ->> 'asset', a.event_id DESC;
COMMENT ON VIEW retention IS 'derived: the policy in force per asset';

-- The holds that were placed and not released: nothing of their asset ('*': of any) may expire.
CREATE VIEW hold AS
SELECT h.asset, h.name, h.reason, h.actor, h.recorded_at, h.event_id FROM (
    SELECT DISTINCT ON (a.detail ->> 'asset', a.detail ->> 'hold') a.detail ->> 'asset' AS asset,
        a.detail ->> 'hold' AS name, a.detail ->> 'reason' AS reason, a.actor, a.recorded_at, a.event_id, a.action
    FROM floorlog.audit_event AS a
    WHERE a.action IN ('hold.place', 'hold.release') AND a.detail ->> 'asset' <> ''
    ORDER BY a.detail ->> 'asset', a.detail ->> 'hold', a.event_id DESC
) AS h WHERE h.action = 'hold.place';
COMMENT ON VIEW hold IS 'derived: the holds in force';
CREATE INDEX audit_event_retention ON audit_event (event_id) WHERE action IN ('retention.set', 'hold.place', 'hold.release');

-- The asset of a device by one version of the catalogue: its own where that names none.
CREATE FUNCTION asset_of(device text, body json) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(CASE WHEN json_typeof(body -> 'devices') = 'object' AND json_typeof(body -> 'devices' -> device) = 'object'
        THEN body -> 'devices' -> device ->> 'asset' END, device)
$$;

-- The devices that a hold keeps. A hold is not slipped by moving a device to another asset: it
-- keeps whatever belonged to its asset in any version of the catalogue since it was placed.
CREATE FUNCTION held_devices() RETURNS TABLE (device text) LANGUAGE sql STABLE AS $$
    SELECT d.device FROM (SELECT DISTINCT s.device FROM floorlog.series AS s) AS d
    WHERE EXISTS (
        SELECT FROM floorlog.hold AS h
        WHERE h.asset IN ('*', d.device) OR EXISTS (
            SELECT FROM floorlog.catalogue AS c
            WHERE floorlog.asset_of(d.device, c.body) = h.asset AND (c.recorded_at >= h.recorded_at OR c.version = (
                SELECT max(o.version) FROM floorlog.catalogue AS o WHERE o.recorded_at < h.recorded_at))))
$$;

-- Whether nothing of a device's asset was stored since a time; of '', nothing at all.
CREATE FUNCTION is_quiet(of_device text, since timestamptz) RETURNS bool LANGUAGE plpgsql STABLE AS $$
DECLARE
    ids int4[];
BEGIN
    IF of_device = '' THEN
        RETURN NOT EXISTS (SELECT FROM floorlog.batch AS b WHERE b.recorded_at >= since AND b.stored > 0);
    END IF;
    SELECT array_agg(s.series_id) INTO ids FROM floorlog.series AS s, (
        SELECT o.body FROM floorlog.catalogue AS o ORDER BY o.version DESC LIMIT 1) AS c
    WHERE floorlog.asset_of(s.device, c.body) = floorlog.asset_of(of_device, c.body);
    -- The quick answer of a plant that runs; the rest tells readings that are older than their storing.
    RETURN NOT EXISTS (SELECT FROM floorlog.series_home AS h
            WHERE h.series_id = ANY (ids) AND h.newest_window * 300000000::int8 >= floorlog.to_us(since))
        AND NOT EXISTS (SELECT FROM floorlog.open_row AS r WHERE r.recorded_at >= since AND r.series && ids)
        AND NOT EXISTS (SELECT FROM floorlog.chunk AS c WHERE c.series_id = ANY (ids) AND c.recorded_max >= since);
END
$$;

-- Which devices may expire, and what was stored before when: whole days, so that it moves on once a
-- day. The device '' stands for rejects, which belong to none: they go by the policy of all others,
-- and not while there is any hold.
CREATE FUNCTION expirable() RETURNS TABLE (device text, before timestamptz) LANGUAGE sql STABLE AS $$
    SELECT p.device, p.before FROM (
        SELECT d.device, date_trunc('day', now() - make_interval(days => r.days), 'UTC') AS before, r.from_active
        FROM (
            SELECT DISTINCT s.device, floorlog.asset_of(s.device, c.body) AS asset
            FROM floorlog.series AS s, (SELECT o.body FROM floorlog.catalogue AS o ORDER BY o.version DESC LIMIT 1) AS c
            UNION ALL SELECT '', '*'
        ) AS d
        JOIN LATERAL (
            SELECT o.days, o.from_active FROM floorlog.retention AS o WHERE o.asset IN ('*', d.asset)
            ORDER BY o.asset = '*' LIMIT 1
        ) AS r ON r.days IS NOT NULL
    ) AS p
    WHERE p.device NOT IN (SELECT h.device FROM floorlog.held_devices() AS h)
        AND (p.device <> '' OR NOT EXISTS (SELECT FROM floorlog.hold))
        AND (NOT p.from_active OR floorlog.is_quiet(p.device, p.before))
$$;

GRANT SELECT ON retention, hold TO floorlog_keeper, floorlog_operator, floorlog_reader;
