-- Values of open rows are kept as they come: compressing floats took more of the server than all else
-- of a batch, and spared them a third, for the minutes until they are sealed.

ALTER TABLE open_row ALTER COLUMN value SET STORAGE EXTERNAL;

-- As before, and months to come keep their columns as their parent does.
CREATE OR REPLACE FUNCTION make_months(months_ahead int4) RETURNS int4
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    parent text;
    child text;
    first timestamptz;
    following timestamptz;
    taken bool;
    made int4 := 0;
BEGIN
    IF months_ahead NOT BETWEEN 0 AND 24 THEN
        RAISE EXCEPTION 'months_ahead is %, but must be 0 to 24', months_ahead;
    END IF;
    PERFORM pg_advisory_xact_lock(4706881);  -- two workers at once make each month once
    FOR parent IN
        SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = 'floorlog' AND c.relkind = 'p' ORDER BY c.relname
    LOOP
        FOR month IN 0..months_ahead LOOP
            first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => month)) AT TIME ZONE 'UTC';
            following := (first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
            child := parent || to_char(first AT TIME ZONE 'UTC', '"_"YYYY"_"MM');
            CONTINUE WHEN to_regclass(format('floorlog.%I', child)) IS NOT NULL;
            EXECUTE format(
                'SELECT EXISTS (SELECT FROM floorlog.%I WHERE recorded_at >= %L AND recorded_at < %L)',
                parent || '_default', first, following) INTO taken;
            CONTINUE WHEN taken;
            -- Attached, not created as a partition: that would stop all readers and writers.
            EXECUTE format('CREATE TABLE floorlog.%I (LIKE floorlog.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', child, parent);
            EXECUTE format('ALTER TABLE floorlog.%I ATTACH PARTITION floorlog.%I FOR VALUES FROM (%L) TO (%L)',
                parent, child, first, following);
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
