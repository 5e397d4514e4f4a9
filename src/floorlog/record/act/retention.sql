-- Policies, holds and expiry. Read by store.queries.parse.

-- :name lock_retention
-- No step of expiry runs while a policy or a hold changes, and none changes while one runs.
SELECT pg_advisory_xact_lock(4706887);

-- :name policies
-- The policies in force.
SELECT asset, days, from_active, reason, actor, floorlog.to_us(recorded_at) FROM floorlog.retention ORDER BY asset;

-- :name holds
-- The holds in force.
SELECT asset, name, reason, actor, floorlog.to_us(recorded_at) FROM floorlog.hold ORDER BY asset, name;

-- :name known_asset
-- Whether an asset is one: by the newest catalogue, or as a device.
SELECT %(asset)s = '*' OR EXISTS (
    SELECT FROM floorlog.series AS s, (SELECT o.body FROM floorlog.catalogue AS o ORDER BY o.version DESC LIMIT 1) AS c
    WHERE s.device = %(asset)s OR floorlog.asset_of(s.device, c.body) = %(asset)s);

-- :name due
-- How many batches hold something that may expire now, per device and shard.
SELECT e.device, l.shard_id, e.upto - e.done FROM floorlog.expiring() AS e JOIN floorlog.lease AS l USING (lease_id)
ORDER BY e.device, l.lease_id;

-- :name expiries
-- The steps of expiry, the newest first.
SELECT x.expiry_id, floorlog.to_us(x.recorded_at), l.shard_id, x.first_number, x.last_number,
    ARRAY(SELECT DISTINCT s.device FROM floorlog.series AS s WHERE s.series_id = ANY (x.series) ORDER BY s.device),
    x.batches, x.readings, x.rejects, x.anomalies, x.bytes_before, x.bytes_after
FROM floorlog.expiry AS x JOIN floorlog.lease AS l USING (lease_id) ORDER BY x.expiry_id DESC LIMIT %(rows_max)s;

-- :name expire
-- One step; no row when nothing is left, and without any policy nothing is looked at.
SELECT x.expiry_id, x.readings, x.rejects, x.anomalies, x.batches, x.bytes_before, x.bytes_after
FROM (SELECT WHERE EXISTS (SELECT FROM floorlog.retention AS r WHERE r.days IS NOT NULL)) AS any_policy
CROSS JOIN LATERAL floorlog.expire(%(batches_max)s::int4) AS x;

-- :name left_now
-- What the step of this transaction left out, for it is not what was stored.
SELECT l.shard_id, f.first_number, f.last_number, f.says, floorlog.to_us(f.recorded_at)
FROM floorlog.expiry_left AS f JOIN floorlog.lease AS l USING (lease_id) WHERE f.recorded_at = now();

-- :name left
-- What steps left out, since it is not what was stored.
SELECT l.shard_id, f.first_number, f.last_number, f.says, floorlog.to_us(f.recorded_at)
FROM floorlog.expiry_left AS f JOIN floorlog.lease AS l USING (lease_id) ORDER BY l.shard_id, f.first_number LIMIT %(rows_max)s;
