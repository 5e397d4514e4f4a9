"""Resharding under load: split and merge, with every reading in the order it was sent."""

import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from ground import Site, wait_until
from producer import Producer, put_all

from floorlog.core.catalogue import Catalogue
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import OPERATOR
from floorlog.store.reader import Reader

CATALOGUE = {"devices": {"mute": {"metrics": {"m": {"interval_s": 3}}}}}
pytestmark = pytest.mark.slow


def open_shards(site: Site) -> list[dict]:
    """The stream's open shards in the order of their keys."""
    listed = site.client().list_shards(StreamName=site.name)["Shards"]
    found = [one for one in listed if "EndingSequenceNumber" not in one["SequenceNumberRange"]]
    return sorted(found, key=lambda one: int(one["HashKeyRange"]["StartingHashKey"]))


def split(site: Site) -> None:
    """Split the first open shard in the middle."""
    shard = open_shards(site)[0]
    keys = shard["HashKeyRange"]
    middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
    site.client().split_shard(
        StreamName=site.name, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
    )
    wait_until("the split is done", site.is_active)


def merge(site: Site) -> None:
    """Merge the last two open shards: one of each generation."""
    left, right = open_shards(site)[-2:]
    site.client().merge_shards(
        StreamName=site.name, ShardToMerge=left["ShardId"], AdjacentShardToMerge=right["ShardId"]
    )
    wait_until("the merge is done", site.is_active)


def wait_ended(site: Site, ended: int, open_leases: int) -> None:
    """Wait until so many leases have ended, and as many others have stored batches."""

    def settled() -> bool:
        stands = site.stands().values()
        busy = [stand for stand in stands if not stand.ended and stand.owner and stand.number]
        return sum(stand.ended for stand in stands) == ended and len(busy) == open_leases

    wait_until(f"{ended} ended, {open_leases} at work", settled, 30)


def test_split_and_merge_under_load(new_site) -> None:
    """Nothing lost, nothing doubled, no series out of order; a silence across them is found."""
    with new_site() as site:
        put_catalogue(site.dsn(OPERATOR), Catalogue.of(CATALOGUE, "the test").encode())
        site.add_worker()
        site.add_worker()
        with Producer(site) as producer:
            site.wait_held()
            for key in ("0", "1", "2"):  # one of the shards that are split or merged has it last
                reading = {"device_id": "mute", "metric": "m", "ts": site.now_ms(), "value": -1}
                put_all(site, [(key, msgspec.json.encode(reading))])
            site.wait_progress()
            split(site)
            wait_ended(site, 1, 3)
            site.wait_progress()
            merge(site)
            wait_ended(site, 3, 2)
            site.wait_progress()
            reader = Reader(site.dsn())

            def silence() -> bool:
                found = reader.findings(0, 1000)
                return any((one.device, one.detector) == ("mute", "silence") for one in found)

            wait_until("the silence is found", silence, 40)
            reader.close()
            ledger = producer.finish()
        silent = site.rows("SELECT count(*) FROM floorlog.reading WHERE device_id = 'mute'")[0][0]
        site.wait_stored(len(ledger.owed) + silent)
        lost, doubled = ledger.compare(site, "device_id <> 'mute'")
        assert (len(lost), len(doubled)) == (0, 0), (lost[:3], doubled[:3])
        assert site.balance() == []
        late = "SELECT count(*) FROM floorlog.reading WHERE flags <> 0 AND device_id <> 'mute'"
        assert site.rows(late) == [(0,)]
        assert site.count("gaps") == 0
