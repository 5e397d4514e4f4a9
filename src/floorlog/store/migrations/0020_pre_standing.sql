-- What some columns are, said as verification finds it: what no leaf binds is no evidence.

COMMENT ON COLUMN series.first_seen IS 'outside: when it got its number, by this database''s clock; no leaf binds it';
COMMENT ON COLUMN log_leaf.recorded_at IS 'outside: when it got its position, by this database''s clock; notes bound it';
COMMENT ON COLUMN note.recorded_at IS 'outside: when the copy was made';
COMMENT ON COLUMN note.size IS 'derived: leaves of the log that it speaks of';
COMMENT ON COLUMN note.body IS 'derived: a copy of the signed note as it is anchored outside';
COMMENT ON COLUMN lease.ended IS 'outside: the shard''s last batch is stored, or its stream is gone';
