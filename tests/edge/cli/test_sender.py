"""The sender: everything arrives, in order, within the limits, whatever the stream answers."""

import json
import tempfile
import time
import urllib.request
from pathlib import Path

import boto3
import pytest

from floorlog.errors import InputError, ServiceError
from floorlog.local.supervisor import Supervisor
from floorlog.source import sender as room
from floorlog.source.sender import Allowance, Entry, Sender

pytestmark = pytest.mark.slow  # starts a stream

REGION = "eu-west-2"


class Wire:
    """A stream server of its own, its orders, and what arrived."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.client = boto3.client("kinesis", region_name=REGION)

    def order(self, **fault: object) -> None:
        body = json.dumps(fault).encode()
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/_faults", body)).close()

    def arrived(self, name: str) -> dict[str, list[bytes]]:
        """The records of each shard."""
        found = {}
        for shard in self.client.list_shards(StreamName=name)["Shards"]:
            iterator = self.client.get_shard_iterator(
                StreamName=name, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
            )["ShardIterator"]
            records = []
            while True:
                answer = self.client.get_records(ShardIterator=iterator)
                records += [record["Data"] for record in answer["Records"]]
                if not answer["MillisBehindLatest"]:
                    break
                iterator = answer["NextShardIterator"]
                time.sleep(0.21)
            found[shard["ShardId"]] = records
        return found


@pytest.fixture(scope="module")
def wire():
    with tempfile.TemporaryDirectory(prefix="floorlog-sender-") as name:
        Path(name).chmod(0o755)
        with (
            Supervisor(Path(name), only={"kinesis"}) as services,
            pytest.MonkeyPatch.context() as m,
        ):
            for variable, value in services.environment().items():
                m.setenv(variable, value)
            yield Wire(services.kinesis_endpoint)


@pytest.fixture
def sender(wire, request):
    made = Sender(request.node.name.partition("[")[0].replace("_", "-"), REGION)
    yield made
    made.close()


def entries(count: int, size: int = 20) -> list[Entry]:
    return [Entry(f"device-{n % 7}", f"{n:06d}".encode().ljust(size, b".")) for n in range(count)]


def numbers(records: list[bytes]) -> list[int]:
    return [int(record[:6]) for record in records]


def test_create_says_whether_it_was_there(sender):
    """The first call makes the stream and waits for it, the second finds it."""
    assert sender.create(1)
    assert not sender.create(1)


@pytest.mark.slow
def test_more_than_a_shard_takes_in_a_second_is_paced(sender, wire):
    """1,800 records into one shard: no refusal, each there once, in order, in about a second."""
    sender.create(1)
    assert sender.put(entries(1_800)) == 0
    (records,) = wire.arrived(sender.name).values()
    assert numbers(records) == list(range(1_800))


@pytest.mark.parametrize("kind", ["throttle", "error"])
def test_single_records_that_are_refused_go_again(sender, wire, kind):
    """The stream refuses some records of a request: they alone are sent again, none twice."""
    sender.create(2)
    before = sum(map(len, wire.arrived(sender.name).values()))
    wire.order(
        kind=kind, operation="PutRecords", stream=sender.name, shard="shardId-000000000001",
        count=40,
    )  # fmt: skip
    assert sender.put(entries(200)) == 40
    shards = wire.arrived(sender.name)
    records = [number for found in shards.values() for number in numbers(found)]
    assert len(records) == before + 200
    assert set(records) == set(range(200))


@pytest.mark.parametrize("kind", ["throttle", "error", "error_after", "drop"])
def test_whole_requests_that_fail_go_again(sender, wire, kind):
    """A request fails or its answer is lost: all of it goes again, so nothing is missing."""
    sender.create(1)
    wire.order(kind=kind, operation="PutRecords", stream=sender.name, count=2)
    assert sender.put(entries(50)) == 100
    (records,) = wire.arrived(sender.name).values()
    assert set(numbers(records)) == set(range(50))


@pytest.mark.parametrize("kind", ["throttle", "error", "drop"])
def test_one_record_is_sent_until_it_is_taken(sender, wire, kind):
    """And the shard and the sequence number that it got are known."""
    sender.create(1)
    wire.order(kind=kind, operation="PutRecord", stream=sender.name, count=2)
    shard, sequence = sender.put_one(Entry("press-1", b"0"))
    arrived = wire.arrived(sender.name)
    assert b"0" in arrived[shard]
    assert int(sequence) > 0


@pytest.mark.slow
def test_large_records_go_in_requests_that_the_stream_takes(sender, wire):
    """Five records of 900 kB over four shards: below 5 MiB a request, each there once."""
    sender.create(4)
    large = [Entry(f"d-{n}", f"{n:06d}".encode().ljust(900_000, b".")) for n in range(5)]
    assert sender.put(large) == 0
    records = [n for found in wire.arrived(sender.name).values() for n in numbers(found)]
    assert sorted(records) == list(range(5))


def test_a_record_beyond_the_limit_is_refused_here(sender):
    """More than 1 MiB: said before anything is sent."""
    sender.create(1)
    with pytest.raises(InputError, match="1 MiB"):
        sender.put([Entry("d", b"." * (1 << 20))])


def test_a_stream_that_is_not_there_is_said(sender):
    """One error that names the stream and what to check."""
    with pytest.raises(ServiceError, match=f"the stream {sender.name} "):
        sender.put(entries(1))


def test_a_stream_that_takes_nothing_is_given_up(sender, wire, monkeypatch):
    """After the patience is over, the error says what the stream answered."""
    sender.create(1)
    monkeypatch.setattr(room, "PATIENCE_SECONDS", 0.2)
    wire.order(kind="throttle", operation="PutRecords", stream=sender.name, count=1_000)
    with pytest.raises(ServiceError, match="took nothing"):
        sender.put(entries(5))


def test_an_allowance_is_one_second_of_a_shard():
    """Never more than a second's worth at once, and again as much a second later."""
    allowance = Allowance(0.0)
    allowance.refill(100.0)
    assert sum(allowance.take(10) for _ in range(5_000)) == int(room.SHARD_RECORDS_PER_SECOND)
    allowance.refill(101.0)
    assert sum(allowance.take(100_000) for _ in range(50)) == 10
    allowance.empty()
    assert not allowance.take(1)
