"""A record that was stored long ago: written today, then moved back with all that is chained."""

from datetime import timedelta

from written import MIDDLE, Ground, Plant, Shard, Written

from floorlog.store.migrate import LOGIN_ROLES, WRITER, migrate

AGED = "template_aged"
DAYS = 800  # so long ago the older half of the batches was stored; the younger one half of it
OLD = 8  # batches of a shard

# Moves what was stored back in time, and chains it again. Nothing is in the log yet.
AGE = """
DO $$
DECLARE
    b floorlog.batch;
    l floorlog.lease;
    name text;
BEGIN
    FOREACH name IN ARRAY '{batch,open_row,reject,anomaly,conflict,gap}'::text[] LOOP
        EXECUTE format('UPDATE floorlog.%%I SET recorded_at = recorded_at - make_interval(days =>'
            ' CASE WHEN number <= %s THEN %s ELSE %s END)', name);
    END LOOP;
    FOR l IN SELECT * FROM floorlog.lease ORDER BY lease_id LOOP
        l.head := floorlog.heads(l.parents);
        FOR b IN SELECT * FROM floorlog.batch WHERE lease_id = l.lease_id ORDER BY number LOOP
            l.head := floorlog.entry(l.digest, b.number, b.epoch, b.clock_s,
                floorlog.to_us(b.recorded_at), b.catalogue, b.sequence_before, b.sequence,
                ARRAY[b.records, b.received, b.stored, b.rejected, b.duplicate, b.conflict],
                b.leaves, b.root, l.head);
            UPDATE floorlog.batch SET head = l.head
                WHERE lease_id = l.lease_id AND number = b.number;
        END LOOP;
        UPDATE floorlog.lease SET head = l.head WHERE lease_id = l.lease_id;
    END LOOP;
END
$$
"""


def write_aged(ground: Ground) -> None:
    """Make the template: two shards, every kind of thing, half of it stored twice as long ago."""
    ground.run(f"CREATE DATABASE {AGED}")
    made = Written(ground, AGED, ground.place(AGED))
    passwords = {role: ground.services.postgres.password(role) for role in LOGIN_ROLES}
    migrate(made.dsn(), passwords=passwords)
    plant = Plant(made.dsn(WRITER))
    leases = plant.take(
        Shard("shard-0", (), 0, MIDDLE - 1), Shard("shard-1", (), MIDDLE, 2**128 - 1)
    )
    plant.register(leases[0])
    for number in range(1, 2 * OLD + 1):
        for lease in leases:
            plant.commit(plant.batch(lease, number))
    plant.store.close()
    made.run(AGE % (OLD, DAYS, DAYS // 2))
    made.keep()


AGO = timedelta(days=DAYS)
