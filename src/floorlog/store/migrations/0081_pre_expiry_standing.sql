-- What some columns of expiry are, said as verification finds it: nothing is proven by them.

COMMENT ON COLUMN expired.recorded_at IS 'outside: when the row was made; the expiry says when that was';
COMMENT ON COLUMN expiry_mark.device IS 'outside: the device; empty: rejects';
COMMENT ON COLUMN expiry_mark.lease_id IS 'outside: the shard';
COMMENT ON COLUMN expiry_mark.number IS 'outside: up to this batch expiry looked, and need not look again';
