"""Numbers for series and codes for state names, at first sight."""

import numpy as np

from floorlog.core.protocol import Fenced, Register, Registered
from floorlog.core.series import hash_key
from floorlog.store.link import Connection, transaction
from floorlog.store.queries import sql
from floorlog.store.takeover import known


def register(connection: Connection, command: Register, series_max: int) -> Registered | Fenced:
    """Number what is new, note the partition keys of what is known, as long as the lease is ours.

    Series above `series_max` are absent from the reply.
    """
    lease_id = command.lease.lease_id
    keys = command.series
    asked = {
        "lease_id": lease_id,
        "devices": [key.device for key in keys],
        "metrics": [key.metric for key in keys],
        "kinds": np.array([key.kind for key in keys], np.int16),
        "units": [key.unit for key in keys],
        "hashes": [str(hash_key(key.partition_key)) for key in keys],
        "series_max": series_max,
    }
    with transaction(connection):
        held = connection.execute(sql("hold_lease"), {"lease_id": lease_id}, binary=True).fetchone()
        if held is None or held != (command.lease.epoch, False):
            return Fenced()
        connection.execute(sql("lock_names"))
        connection.execute(sql("join_by_hash"))
        connection.execute(sql("rekey_series"), asked)
        made = connection.execute(sql("add_series"), asked, binary=True).fetchall()
        fresh = [series_id for (series_id,) in made]
        if fresh:
            # Two statements: joined in the one that makes them, all were compared with all.
            numbers = {"fresh": np.array(fresh, np.int32)}
            connection.execute(sql("add_homes"), {**asked, **numbers})
        series = connection.execute(sql("known_names"), asked, binary=True).fetchall()
        states = _states(connection, command.states)
    return Registered(known(series), frozenset(fresh), states)


def _states(connection: Connection, names: tuple[str, ...]) -> dict[str, int]:
    """The codes of state names, made for those that are new."""
    if not names:
        return {}
    asked = {"names": list(names)}
    connection.execute(sql("add_states"), asked)
    return dict(connection.execute(sql("states_named"), asked, binary=True).fetchall())
