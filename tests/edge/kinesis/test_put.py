"""Putting: routing by hash key, sequence numbers, sizes, rates and single failures."""

import hashlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorlog.local.kinesis import sequence

pytestmark = pytest.mark.slow  # starts servers

MIB = 1024 * 1024
THROTTLED = "ProvisionedThroughputExceededException"
SHARD = "shardId-000000000000"


def record(data=b"a", key="a", **extra):
    return {"Data": data, "PartitionKey": key, **extra}


def test_the_md5_of_the_key_finds_the_shard(server):
    """A record goes to the shard whose range holds the MD5 of its partition key."""
    server.create("wide", 5)
    keys = [f"device-{n}" for n in range(60)] + ["Größe-µ"]
    results = server.client.put_records(StreamName="wide", Records=[record(key=k) for k in keys])
    ranges = {shard["ShardId"]: shard["HashKeyRange"] for shard in server.shards("wide")}
    for key, result in zip(keys, results["Records"], strict=True):
        value = int.from_bytes(hashlib.md5(key.encode()).digest(), "big")
        where = ranges[result["ShardId"]]
        assert int(where["StartingHashKey"]) <= value <= int(where["EndingHashKey"])
    assert len({result["ShardId"] for result in results["Records"]}) == 5


def test_an_explicit_hash_key_comes_before_the_md5(server):
    """ExplicitHashKey routes to exactly the range that holds it, bounds included."""
    server.create("wide", 4)
    for shard in server.shards("wide"):
        for key in shard["HashKeyRange"].values():
            put = server.client.put_record(StreamName="wide", **record(ExplicitHashKey=key))
            assert put["ShardId"] == shard["ShardId"]
    too_large = str(2**128)
    server.refused(
        "InvalidArgumentException",
        "put_record",
        StreamName="wide",
        **record(ExplicitHashKey=too_large),
    )
    server.refused(
        "InvalidArgumentException",
        "put_records",
        StreamName="wide",
        Records=[record(), record(ExplicitHashKey=too_large)],
    )


def test_sequence_numbers_rise_in_the_order_of_the_answers(server):
    """Numbers are 56-digit decimals that rise with every record of a shard, not by one."""
    numbers = [
        int(server.client.put_record(StreamName="plant", **record())["SequenceNumber"])
        for _ in range(3)
    ]
    answer = server.client.put_records(StreamName="plant", Records=[record()] * 20)
    numbers += [int(result["SequenceNumber"]) for result in answer["Records"]]
    assert all(len(str(number)) == 56 for number in numbers)
    assert all(b - a > 1 for a, b in pairwise(numbers))
    assert [int(r["SequenceNumber"]) for r in server.read(SHARD)["Records"]] == numbers


@given(
    created_s=st.integers(1, 2**35),
    number=st.integers(0, 2**32 - 1),
    stream_key=st.integers(0, 2**40),
    place=st.integers(0, 2**60),
    arrival_s=st.integers(0, 2**35),
)
def test_a_sequence_number_says_where_it_came_from(created_s, number, stream_key, place, arrival_s):
    """Composing and parsing are inverse, the order is that of creation, then place."""
    prefix = sequence.prefix(created_s, number, stream_key)
    text = sequence.compose(prefix, place, arrival_s)
    assert sequence.parse(text) == (created_s, number, place, stream_key % 256, arrival_s)
    assert int(sequence.compose(prefix, place + 1, 0)) > int(text)
    assert int(sequence.compose(sequence.prefix(created_s + 1, 0, 0), 0, 0)) > int(text)


@pytest.mark.parametrize("text", ["", "0", "12", "x" * 56, "9" * 56, "1" + "0" * 55, "²" * 56])
def test_other_numbers_are_not_sequence_numbers(text):
    """A text that this server never gave out is not taken for a sequence number."""
    assert sequence.parse(text) is None


def test_bytes_come_back_as_they_were(server):
    """Every byte value, nothing at all, and keys in any script come back unchanged."""
    values = [bytes(range(256)), b"", b"\xff" * 1000]
    keys = ["a", "ключ", "k" * 256]
    entries = [record(data, key) for data, key in zip(values, keys, strict=True)]
    server.client.put_records(StreamName="plant", Records=entries)
    back = server.read(SHARD)["Records"]
    assert [(r["Data"], r["PartitionKey"]) for r in back] == list(zip(values, keys, strict=True))


def test_a_record_has_a_size(server):
    """Data and key together may be 1 MiB: one byte more refuses the whole request."""
    server.client.put_record(StreamName="plant", **record(b"x" * (MIB - 2), "kk"))
    for data, key in ((b"x" * (MIB - 1), "kk"), (b"x" * (MIB - 1), "ß")):
        too_large = record(data, key)
        server.refused("InvalidArgumentException", "put_record", StreamName="plant", **too_large)
        server.refused(
            "InvalidArgumentException",
            "put_records",
            StreamName="plant",
            Records=[record(), too_large],
        )
    server.refused(
        "ValidationException", "put_record", StreamName="plant", **record(b"x" * (MIB + 1))
    )
    assert len(server.data(SHARD)) == 1


def test_a_request_has_a_size(server, wire):
    """PutRecords takes 500 records and 5 MiB; 501, or a byte more, is refused as a whole."""
    server.client.put_records(StreamName="plant", Records=[record(b"x" * (MIB - 1))] * 5)
    server.refused(
        "InvalidArgumentException",
        "put_records",
        StreamName="plant",
        Records=[*[record(b"x" * (MIB - 1))] * 5, record(b"", "k")],
    )
    server.client.put_records(StreamName="plant", Records=[record()] * 500)
    server.client.close()
    server.client = wire.connect(server.port, parameter_validation=False)
    server.refused(
        "ValidationException", "put_records", StreamName="plant", Records=[record()] * 501
    )


def test_a_shard_takes_a_thousand_records_a_second(limited):
    """After 1,000 records in one moment the shard throttles; half a second gives 500 more."""
    for _ in range(2):
        answer = limited.client.put_records(StreamName="plant", Records=[record()] * 500)
        assert answer["FailedRecordCount"] == 0
    message = limited.refused(THROTTLED, "put_record", StreamName="plant", **record())
    assert SHARD in message
    limited.clock.pass_ms(250)
    answer = limited.client.put_records(StreamName="plant", Records=[record()] * 500)
    codes = [result.get("ErrorCode") for result in answer["Records"]]
    assert (answer["FailedRecordCount"], codes) == (250, [None] * 250 + [THROTTLED] * 250)
    assert len(limited.data(SHARD)) == 1_250


def test_a_shard_takes_a_mebibyte_a_second(limited):
    """Bytes count as records do; a small record still fits where a large one does not."""
    large, small = record(b"x" * (MIB // 2)), record(b"x")
    answer = limited.client.put_records(StreamName="plant", Records=[large, large, small])
    assert [bool(result.get("ErrorCode")) for result in answer["Records"]] == [False, True, False]
    limited.clock.pass_ms(1_000)
    limited.client.put_record(StreamName="plant", **record(b"x" * (MIB - 1)))


def test_one_full_shard_fails_only_its_own_records(limited):
    """In a PutRecords over two shards only the records of the throttled one fail, by name."""
    limited.create("wide", 2)
    low, high = record(ExplicitHashKey="0"), record(ExplicitHashKey=str(2**128 - 1))
    limited.client.put_records(StreamName="wide", Records=[low] * 500)
    limited.client.put_records(StreamName="wide", Records=[low] * 500)
    answer = limited.client.put_records(StreamName="wide", Records=[low, high] * 3)
    failed = [result for result in answer["Records"] if "ErrorCode" in result]
    assert answer["FailedRecordCount"] == 3
    assert {result["ErrorCode"] for result in failed} == {THROTTLED}
    assert all(SHARD in result["ErrorMessage"] for result in failed)
    assert [result.get("ShardId") for result in answer["Records"]] == [
        None,
        "shardId-000000000001",
    ] * 3


@pytest.mark.slow
def test_without_limits_nothing_is_throttled(server):
    """`--limits off` takes as much as comes, and still refuses what is too large."""
    for _ in range(6):
        answer = server.client.put_records(StreamName="plant", Records=[record()] * 500)
        assert answer["FailedRecordCount"] == 0
    for _ in range(12):
        assert len(server.data(SHARD)) == 3_000
