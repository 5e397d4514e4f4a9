"""Assets whose series came to several shards: said in the catalogue, so that each shard hears it.

Each shard would judge a part of such an asset as if it were the whole. That it is split is known to
the record alone; as a version of the catalogue it has its place among the batches of every shard.
"""

import logging
from collections import defaultdict
from contextlib import suppress
from typing import Any

import msgspec

from floorlog.core.catalogue import Catalogue
from floorlog.core.condition import ACTS_MAX
from floorlog.errors import InputError
from floorlog.store.catalogue import newest
from floorlog.store.link import Connection, transaction
from floorlog.store.queries import sql

log = logging.getLogger("floorlog.store")


class Splits:
    """Looks for assets in several shards, when anything that they depend on has changed."""

    def __init__(self) -> None:
        """Has looked at nothing yet."""
        self._seen: tuple[Any, ...] | None = None

    def look(self, connection: Connection) -> int | None:
        """Say what has changed; the number of the new version, None where nothing has.

        A shard that has ended counts no more. Of more than 10,000 the first by name are kept.
        Raises psycopg.Error.
        """
        mark = connection.execute(sql("split_mark"), binary=True).fetchone()
        if mark == self._seen:
            return None
        version = None
        with suppress(InputError), transaction(connection):  # a catalogue that cannot be used
            version = _say(connection)
        self._seen = mark if version is None else None
        return version


def _say(connection: Connection) -> int | None:
    connection.execute(sql("lock_catalogue"))
    version, body = newest(connection)
    catalogue = Catalogue.decode(body.encode())
    shards: defaultdict[str, set[int]] = defaultdict(set)
    for device, lease_id in connection.execute(sql("homes_of_devices"), binary=True):
        shards[catalogue.asset(device)].add(lease_id)
    split = tuple(sorted(asset for asset, leases in shards.items() if len(leases) > 1))[:ACTS_MAX]
    before = catalogue.acts.split
    if split == before:
        return None
    acts = msgspec.structs.replace(catalogue.acts, split=split)
    content = msgspec.json.encode({**msgspec.json.decode(body), "acts": acts}, order="sorted")
    connection.execute(sql("add_catalogue"), {"version": version + 1, "body": content.decode()})
    for asset in sorted(set(split) - set(before)):
        log.warning(
            "asset %s: its series came to %d shards, so that its sensors are judged one by one "
            "only; let producers use its name as the partition key", asset, len(shards[asset]),
        )  # fmt: skip
    for asset in sorted(set(before) - set(split)):
        log.info("asset %s: all in one shard again, its sensors are judged together", asset)
    return version + 1
