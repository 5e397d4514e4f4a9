"""Faults on demand: each bites as ordered, as often as ordered, and can be listed and cleared."""

import time

import pytest
from botocore.exceptions import ConnectionClosedError

pytestmark = pytest.mark.slow  # starts servers

SHARD = "shardId-000000000000"
OTHER = "shardId-000000000001"
RECORD = {"StreamName": "plant", "Data": b"a", "PartitionKey": "a"}
THROTTLED = "ProvisionedThroughputExceededException"
KINDS = [
    ("throttle", THROTTLED, 0),
    ("error", "InternalFailure", 0),
    ("error_after", "InternalFailure", 1),
]


@pytest.mark.parametrize(("kind", "code", "stored"), KINDS)
def test_a_fault_bites_as_often_as_ordered(server, kind, code, stored):
    """`count` calls fail with the error ordered, done or not as the kind says; then all is well."""
    server.order(kind=kind, operation="PutRecord", count=2)
    for _ in range(2):
        server.refused(code, "put_record", **RECORD)
    assert len(server.data(SHARD)) == 2 * stored
    server.client.put_record(**RECORD)
    assert len(server.data(SHARD)) == 2 * stored + 1
    (placed,) = server.ask("GET", "/_faults")["faults"]
    assert (placed["remaining"], placed["fired"]) == (0, 2)


def test_a_fault_hits_only_what_it_names(server):
    """Operation, stream and shard narrow a fault down; other calls pass."""
    server.create("wide", 2)
    server.order(kind="throttle", operation="GetRecords", stream="wide", shard=OTHER)
    server.client.put_record(**RECORD)
    assert len(server.data(SHARD)) == 1
    server.read(SHARD, name="wide")
    iterator = server.iterator(OTHER, name="wide")
    server.refused(THROTTLED, "get_records", ShardIterator=iterator)
    server.client.get_records(ShardIterator=iterator)


def test_a_fault_can_wait(server):
    """`skip` lets that many calls pass before the fault bites."""
    server.order(kind="error", operation="PutRecord", skip=2)
    for _ in range(2):
        server.client.put_record(**RECORD)
    server.refused("InternalFailure", "put_record", **RECORD)
    server.client.put_record(**RECORD)


def test_an_iterator_expires_on_demand(server):
    """The next GetRecords gets ExpiredIteratorException; a new iterator works."""
    iterator = server.iterator(SHARD)
    server.order(kind="expire", operation="GetRecords", shard=SHARD)
    server.refused("ExpiredIteratorException", "get_records", ShardIterator=iterator)
    assert server.data(SHARD) == []


def test_a_dropped_reply_has_been_acted_on(server):
    """The connection closes without an answer, yet the record is stored: exactly the unknown."""
    server.order(kind="drop", operation="PutRecord")
    with pytest.raises(ConnectionClosedError):
        server.client.put_record(**RECORD)
    assert server.data(SHARD) == [b"a"]


def test_a_refused_call_does_not_use_up_a_drop(server):
    """A drop waits for a call that succeeds, so that every firing has acted."""
    server.order(kind="drop", operation="PutRecord")
    server.refused("InvalidArgumentException", "put_record", **RECORD, ExplicitHashKey="9" * 39)
    assert server.ask("GET", "/_faults")["faults"][0]["fired"] == 0


def test_a_delay_comes_before_acting(server):
    """A delayed call answers later by what was ordered; others are not held up."""
    server.order(kind="delay", operation="PutRecord", delay_ms=200)
    began = time.monotonic()
    server.client.list_streams()
    assert time.monotonic() - began < 0.2
    began = time.monotonic()
    server.client.put_record(**RECORD)
    assert time.monotonic() - began >= 0.2


def test_an_empty_answer_is_not_the_end(server):
    """Ordered empty, GetRecords gives nothing, is behind, and its next iterator loses nothing."""
    server.client.put_record(**RECORD)
    server.order(kind="empty", operation="GetRecords")
    answer = server.read(SHARD)
    assert answer["Records"] == []
    assert answer["MillisBehindLatest"] > 0
    following = server.client.get_records(ShardIterator=answer["NextShardIterator"])
    assert len(following["Records"]) == 1


@pytest.mark.parametrize(("kind", "code"), [("throttle", THROTTLED), ("error", "InternalFailure")])
def test_single_records_of_a_request_fail(server, kind, code):
    """With a shard named, PutRecords fails `count` records of that shard and stores the rest."""
    server.create("wide", 2)
    low = {"Data": b"low", "PartitionKey": "a", "ExplicitHashKey": "0"}
    high = {"Data": b"high", "PartitionKey": "a", "ExplicitHashKey": str(2**128 - 1)}
    server.order(kind=kind, operation="PutRecords", shard=OTHER, count=2)
    answer = server.client.put_records(StreamName="wide", Records=[low, high, high, high])
    codes = [result.get("ErrorCode") for result in answer["Records"]]
    assert (answer["FailedRecordCount"], codes) == (2, [None, code, code, None])
    assert [len(server.data(shard, name="wide")) for shard in (SHARD, OTHER)] == [1, 1]


def test_a_trim_drops_what_is_older(server):
    """A trim drops records by age, of one shard or of all, and says where the shard goes on."""
    server.create("wide", 2)
    for data in (b"old", b"new"):
        for key in ("0", str(2**128 - 1)):
            server.client.put_record(
                StreamName="wide", Data=data, PartitionKey="a", ExplicitHashKey=key
            )
        server.clock.pass_ms(100)
    server.order(kind="trim", stream="wide", shard=SHARD, older_than_ms=200)
    assert server.data(SHARD, name="wide") == [b"new"]
    assert server.data(OTHER, name="wide") == [b"old", b"new"]
    server.order(kind="trim", stream="wide")
    assert server.data(OTHER, name="wide") == []
    server.clock.pass_ms(1)
    server.client.put_record(
        StreamName="wide", Data=b"later", PartitionKey="a", ExplicitHashKey="0"
    )
    assert server.data(SHARD, name="wide") == [b"later"]


def test_a_trim_takes_closed_shards_along(server):
    """A trim of the whole stream past a shard's end makes the shard vanish as retention does."""
    server.client.split_shard(StreamName="plant", ShardToSplit=SHARD, NewStartingHashKey="1000")
    server.clock.pass_ms(10)
    server.order(kind="trim", stream="plant", older_than_ms=5)
    assert [shard["ShardId"] for shard in server.shards()] == [OTHER, "shardId-000000000002"]


def test_faults_are_listed_and_cleared(server):
    """Orders are listed with what they did; one or all can be cleared, and bite no more."""
    ids = [server.order(kind="error", operation="PutRecord", count=9)["id"] for _ in range(3)]
    listed = server.ask("GET", "/_faults")["faults"]
    assert [placed["id"] for placed in listed] == ids
    left = server.ask("DELETE", f"/_faults/{ids[1]}")["faults"]
    assert [placed["id"] for placed in left] == [ids[0], ids[2]]
    assert server.ask("DELETE", "/_faults")["faults"] == []
    server.client.put_record(**RECORD)


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "explode"},
        {"kind": "throttle", "count": 0},
        {"kind": "throttle", "often": 3},
        {"kind": "trim", "stream": "absent"},
        {"kind": "trim"},
        [],
        "throttle",
    ],
)
def test_a_wrong_order_is_refused(server, wire, body):
    """An order that cannot be carried out is refused with 400 and one line that says why."""
    status, answer = wire.ask(server.port, "POST", "/_faults", body)
    assert status == 400
    assert "\n" not in answer["error"]
    assert server.ask("GET", "/_faults")["faults"] == []


def test_health_names_the_streams(server, wire):
    """GET /_health answers with the streams; other paths and methods are refused."""
    assert server.ask("GET", "/_health") == {"status": "ok", "streams": ["plant"]}
    assert wire.ask(server.port, "GET", "/")[0] == 404
    assert wire.ask(server.port, "PUT", "/_faults", {})[0] == 405
    assert wire.ask(server.port, "DELETE", "/_faults/x")[0] == 400
