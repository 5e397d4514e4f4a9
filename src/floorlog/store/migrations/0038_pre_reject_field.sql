-- A reject names a device where a whole field of it is the name: press-10 is not press-1.

-- Whether a reject goes: with all that belongs to no device, or because a field of its bytes is a
-- device that goes; never while its bytes hold the name of one that is held, wherever.
CREATE OR REPLACE FUNCTION reject_goes(data bytea, is_all bool, going text[], held text[]) RETURNS bool
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (is_all OR EXISTS (SELECT FROM unnest(going) AS g (name)
            WHERE g.name <> '' AND position(convert_to(g.name, 'UTF8') IN data) > 0
                -- Fields end at quotes, commas, semicolons, control characters and NUL, with spaces beside
                -- them. Bytes are compared as `escape` writes them: it is text whatever they are.
                AND encode(data, 'escape') ~ ('(^|["'',;[:cntrl:]]|\\000) *'
                    || regexp_replace(encode(convert_to(g.name, 'UTF8'), 'escape'), '([^A-Za-z0-9_])', '\\\1', 'g')
                    || ' *($|["'',;[:cntrl:]]|\\000|\\\\)')))
        AND NOT EXISTS (SELECT FROM unnest(held) AS h (name)
            WHERE h.name <> '' AND position(convert_to(h.name, 'UTF8') IN data) > 0)
$$;
