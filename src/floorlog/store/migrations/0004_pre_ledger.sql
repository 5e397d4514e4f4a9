-- The ledger's bytes, as docs/reference/ledger.md gives them and core/ledger writes them.

-- A field as in binary COPY: its length, then its bytes; -1 alone for NULL.
CREATE FUNCTION field(value bytea) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT int4send(coalesce(length(value), -1)) || coalesce(value, '')
$$;
CREATE FUNCTION field(value text) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floorlog.field(convert_to(value, 'UTF8'))
$$;
CREATE FUNCTION field(value int8) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floorlog.field(int8send(value))
$$;
CREATE FUNCTION field(value float8) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floorlog.field(float8send(value))
$$;

-- A time as µs since 1970, cut to what slots can number.
CREATE FUNCTION to_us(t timestamptz) RETURNS int8
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN t = 'infinity' THEN 3800000000000000000
        WHEN t = '-infinity' THEN -3800000000000000000
        ELSE least(greatest(extract(epoch FROM t) * 1000000, -3800000000000000000), 3800000000000000000)::int8
    END
$$;

CREATE FUNCTION digest(s series) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001001'::bytea || floorlog.field(s.series_id::int8) || floorlog.field(s.device)
        || floorlog.field(s.metric) || floorlog.field(s.kind::int8) || floorlog.field(s.unit))
$$;
CREATE FUNCTION digest(s state) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001101'::bytea || floorlog.field(s.code::int8) || floorlog.field(s.name))
$$;
CREATE FUNCTION digest(l lease) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001201'::bytea || floorlog.field(l.lease_id::int8) || floorlog.field(s.arn)
        || floorlog.field(floorlog.to_us(s.created_at)) || floorlog.field(l.shard_id)
        || floorlog.field(array_to_string(l.parents, ',')) || floorlog.field(l.hash_begin::text)
        || floorlog.field(l.hash_end::text))
    FROM floorlog.stream AS s WHERE s.stream_id = l.stream_id
$$;
CREATE FUNCTION digest(c catalogue) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001301'::bytea || floorlog.field(c.version::int8)
        || floorlog.field(sha256(convert_to(c.body::text, 'UTF8'))) || floorlog.field(floorlog.to_us(c.recorded_at)))
$$;
CREATE FUNCTION digest(a audit_event) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x001401'::bytea || floorlog.field(floorlog.to_us(a.recorded_at)) || floorlog.field(a.actor)
        || floorlog.field(a.action) || floorlog.field(sha256(convert_to(a.detail::text, 'UTF8'))))
$$;
CREATE FUNCTION digest(g gap) RETURNS bytea LANGUAGE sql STABLE PARALLEL SAFE AS $$
    SELECT sha256('\x000401'::bytea || floorlog.field(g.begin_us) || floorlog.field(g.end_us) || floorlog.field(g.cause))
$$;

-- The heads of these shards, one after the other in the order of their numbers: what the first entry
-- of a child is chained to.
CREATE FUNCTION heads(of_leases int4[]) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(p.head, '' ORDER BY p.lease_id), '') FROM floorlog.lease AS p
    WHERE p.lease_id = ANY (of_leases)
$$;

-- The hash of a batch's entry. `counted`: records, received, stored, rejected, duplicate, conflict.
CREATE FUNCTION entry(
    shard bytea, number int8, epoch int8, clock_s int8, recorded_us int8, catalogue int8,
    sequence_before numeric, sequence numeric, counted int8[], leaves int8, root bytea, previous bytea
) RETURNS bytea LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT sha256('\x002001'::bytea || floorlog.field(shard) || floorlog.field(number) || floorlog.field(epoch)
        || floorlog.field(clock_s) || floorlog.field(recorded_us) || floorlog.field(catalogue)
        || floorlog.field(sequence_before::text) || floorlog.field(sequence::text)
        || floorlog.field(counted[1]) || floorlog.field(counted[2]) || floorlog.field(counted[3])
        || floorlog.field(counted[4]) || floorlog.field(counted[5]) || floorlog.field(counted[6])
        || floorlog.field(leaves) || floorlog.field(root) || floorlog.field(previous))
$$;
