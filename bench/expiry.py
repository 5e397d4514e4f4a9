"""What expires in how long, and what stays: batches of a second of 150 devices with 3 metrics each.

    .venv/bin/python bench/expiry.py [ASSET]

ASSET is one device (d7), or * for all, which is usual.
"""

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "record" / "ledger"))

from aged import AGE
from written import T0, Ground, Plant, Shard, Written

from floorlog.core.protocol import Lease, Register
from floorlog.core.reading import Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey
from floorlog.local.supervisor import Supervisor
from floorlog.record.act.expire import Expirer
from floorlog.record.check.verify import verify
from floorlog.record.seal.seal import Sealer
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, WRITER, migrate

BATCHES, DEVICES = 240, 150


def batch(lease: Lease, number: int, ids: np.ndarray, chance: np.random.Generator) -> Batch:
    """A second of the plant: rounded values, times that jitter by ms."""
    count, clock_s = len(ids), T0 // 10**6 + number
    none = np.zeros(count, np.int32)
    ts = np.full(count, clock_s * 10**6, np.int64) + chance.integers(-20, 20, count) * 1000
    kept = Readings(
        none, ts, np.round(chance.normal(70, 2, count), 1), np.zeros(count, np.uint32),
        np.full(count, clock_s, np.int64), none, none,
    )  # fmt: skip
    no = np.zeros(count, np.bool_)
    return Batch(
        lease_id=lease.lease_id, epoch=lease.epoch, number=number, version=lease.version,
        checkpoint=(number - 1) * 10 if number > 1 else -1, sequence=number * 10, clock_s=clock_s,
        catalogue=0, counts=Counts(1, count, count), series=ids, readings=kept, conflict=no,
        late=no, home=np.full(count, lease.lease_id, np.int32),
    )  # fmt: skip


def fill(made: Written) -> None:
    """Write the plant's seconds, and move them back by 800 days."""
    plant = Plant(made.dsn(WRITER))
    (lease,) = plant.take(Shard("shard-0", (), 0, 2**128 - 1))
    keys = tuple(
        SeriesKey(f"d{n // 3}", f"m{n % 3}", Kind.NUMBER, "Cel", "key") for n in range(3 * DEVICES)
    )
    found = plant.store.register(Register(lease, keys, ())).series
    plant.registry.learn(found)
    ids = np.array(sorted(one.series_id for one in found), np.int32)
    chance = np.random.default_rng(1)
    for number in range(1, BATCHES + 1):
        plant.commit(batch(lease, number, ids, chance))
    plant.store.close()
    made.run(AGE % (BATCHES, 800, 400))
    made.keep()


def measure(made: Written, asset: str) -> None:
    """Seal, let expire, verify; print what was found."""
    link = Link(made.dsn(KEEPER), "keeper", 30)
    sealer = Sealer(link.idle(), quiet_s=0, age_s=0)
    while sealer.step():
        pass
    detail = json.dumps({"asset": asset, "days": 500, "from": "recorded"})
    made.run(
        "INSERT INTO floorlog.audit_event (actor, action, detail)"
        " VALUES ('p', 'retention.set', %s)",
        detail,
    )
    expirer, began = Expirer(), time.monotonic()
    while expirer.step(link.idle()):
        pass
    seconds = time.monotonic() - began
    link.close()
    made.keep()
    ((readings, batches, before, after),) = made.run(
        "SELECT sum(readings)::int8, sum(batches), sum(bytes_before)::int8, sum(bytes_after)::int8"
        " FROM floorlog.expiry"
    )
    ((hashes,),) = made.run("SELECT max(cardinality(hashes)) FROM floorlog.expired")
    print(f"{readings} readings of {batches} batches expired in {seconds:.1f} s")
    print(f"{before} bytes became {after}; at most {hashes} hashes a batch")
    print(f"verify: {'intact' if verify(made.dsn(), made.anchor).ok else 'NOT INTACT'}")


def main() -> None:
    """Run once on a server of its own."""
    directory = Path(tempfile.mkdtemp(prefix="floorlog-expiry-"))
    directory.chmod(0o755)
    try:
        with Supervisor(directory / "data", only={"postgres"}) as services:
            ground = Ground(services, directory)
            ground.run("CREATE DATABASE plant")
            made = Written(ground, "plant", ground.place("plant"))
            passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
            migrate(made.dsn(), passwords=passwords)
            fill(made)
            measure(made, sys.argv[1] if len(sys.argv) > 1 else "*")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
