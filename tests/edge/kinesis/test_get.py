"""Reading: the five kinds of iterator, limits of an answer, expiry, and how far behind."""

from datetime import UTC, datetime

import pytest

pytestmark = pytest.mark.slow  # waits for throttles and expiries

MIB = 1024 * 1024
SHARD = "shardId-000000000000"
THROTTLED = "ProvisionedThroughputExceededException"


def put(server, *values, name="plant"):
    """Put values one by one a second apart; return their sequence numbers."""
    numbers = []
    for value in values:
        answer = server.client.put_record(StreamName=name, Data=value, PartitionKey="a")
        numbers.append(answer["SequenceNumber"])
        server.clock.pass_ms(1_000)
    return numbers


def test_an_iterator_starts_where_it_is_asked_to(server):
    """All five types read from exactly the record that they mean."""
    began_ms = server.clock.ms
    numbers = put(server, b"a", b"b", b"c")
    middle = {"StartingSequenceNumber": numbers[1]}
    assert server.data(SHARD, "TRIM_HORIZON") == [b"a", b"b", b"c"]
    assert server.data(SHARD, "AT_SEQUENCE_NUMBER", **middle) == [b"b", b"c"]
    assert server.data(SHARD, "AFTER_SEQUENCE_NUMBER", **middle) == [b"c"]
    for ms, expected in ((0, [b"a", b"b", b"c"]), (1, [b"b", b"c"]), (2_000, [b"c"]), (2_001, [])):
        at = datetime.fromtimestamp((began_ms + ms) / 1000, UTC)
        assert server.data(SHARD, "AT_TIMESTAMP", Timestamp=at) == expected
    latest = server.iterator(SHARD, "LATEST")
    put(server, b"d")
    records = server.client.get_records(ShardIterator=latest)["Records"]
    assert [record["Data"] for record in records] == [b"d"]


def test_a_shard_begins_at_its_starting_sequence_number(server):
    """A shard's StartingSequenceNumber is a place to start at or after, before all records."""
    start = server.shards()[0]["SequenceNumberRange"]["StartingSequenceNumber"]
    numbers = put(server, b"a")
    assert int(start) < int(numbers[0])
    for kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        assert server.data(SHARD, kind, StartingSequenceNumber=start) == [b"a"]


def test_an_iterator_goes_on_where_it_stopped(server):
    """Following NextShardIterator with any Limit reads every record once, in order."""
    values = [b"%d" % n for n in range(23)]
    records = [{"Data": value, "PartitionKey": "a"} for value in values]
    server.client.put_records(StreamName="plant", Records=records[:11])
    server.client.put_records(StreamName="plant", Records=records[11:])
    for limit in (1, 4, 11, 30):
        read, iterator = [], server.iterator(SHARD)
        while len(read) < len(values):
            answer = server.client.get_records(ShardIterator=iterator, Limit=limit)
            assert 0 < len(answer["Records"]) <= limit
            read += [record["Data"] for record in answer["Records"]]
            iterator = answer["NextShardIterator"]
        assert read == values


def test_an_iterator_can_be_used_again(server):
    """An iterator names a place: used twice it gives the same records."""
    put(server, b"a")
    iterator = server.iterator(SHARD)
    for _ in range(2):
        records = server.client.get_records(ShardIterator=iterator)["Records"]
        assert [record["Data"] for record in records] == [b"a"]


def test_wrong_places_are_refused(server):
    """Foreign sequence numbers, the future, missing places and made-up iterators are refused."""
    server.create("other", 2)
    foreign = put(server, b"a", name="other")[0]
    own = put(server, b"a")[0]
    for kind, place in [
        ("AT_SEQUENCE_NUMBER", {}),
        ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": "7"}),
        ("AT_SEQUENCE_NUMBER", {"StartingSequenceNumber": str(int(own) + (9 << 80))}),
        ("AFTER_SEQUENCE_NUMBER", {"StartingSequenceNumber": foreign}),
        ("AT_TIMESTAMP", {}),
        ("AT_TIMESTAMP", {"Timestamp": (server.clock.ms + 1) / 1000}),
    ]:
        server.refused(
            "InvalidArgumentException",
            "get_shard_iterator",
            StreamName="plant",
            ShardId=SHARD,
            ShardIteratorType=kind,
            **place,
        )
    iterator = server.iterator(SHARD)
    forged = iterator[:-8] + "AAAAAAA="
    for wrong in ("nonsense", "A" * 200, forged):
        server.refused("InvalidArgumentException", "get_records", ShardIterator=wrong)
    for name in ("shardId-000000000009", "none"):
        server.refused(
            "ResourceNotFoundException",
            "get_shard_iterator",
            StreamName="plant",
            ShardId=name,
            ShardIteratorType="LATEST",
        )


def test_a_sequence_number_of_another_shard_is_named(server):
    """The refusal says which shard the number belongs to."""
    server.create("wide", 2)
    start = server.shards("wide")[1]["SequenceNumberRange"]["StartingSequenceNumber"]
    message = server.refused(
        "InvalidArgumentException",
        "get_shard_iterator",
        StreamName="wide",
        ShardId=SHARD,
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=start,
    )
    assert "shardId-000000000001" in message


def test_iterators_expire_after_five_minutes(server):
    """An iterator works for 300 s and not a millisecond longer, unlike the next one it gave."""
    iterator = server.iterator(SHARD)
    server.clock.pass_ms(300_000)
    following = server.client.get_records(ShardIterator=iterator)["NextShardIterator"]
    server.clock.pass_ms(1)
    server.refused("ExpiredIteratorException", "get_records", ShardIterator=iterator)
    server.client.get_records(ShardIterator=following)


def test_millis_behind_latest_is_the_age_of_what_was_read(server):
    """Behind the tip it is the age of the last record given; at the tip it is 0."""
    put(server, b"a", b"b", b"c")
    iterator = server.iterator(SHARD)
    behind = []
    for _ in range(3):
        answer = server.client.get_records(ShardIterator=iterator, Limit=1)
        behind.append(answer["MillisBehindLatest"])
        iterator = answer["NextShardIterator"]
    assert behind == [3_000, 2_000, 0]
    assert server.client.get_records(ShardIterator=iterator)["MillisBehindLatest"] == 0


def test_an_answer_holds_ten_thousand_records(server):
    """GetRecords gives 10,000 records at most, and says that it is behind."""
    records = [{"Data": b"x" * 129, "PartitionKey": "a"}] * 500
    for _ in range(21):
        server.client.put_records(StreamName="plant", Records=records)
    server.clock.pass_ms(5)
    answer = server.read(SHARD)
    assert (len(answer["Records"]), answer["MillisBehindLatest"]) == (10_000, 5)
    rest = server.client.get_records(ShardIterator=answer["NextShardIterator"])
    assert (len(rest["Records"]), rest["MillisBehindLatest"]) == (500, 0)


@pytest.mark.parametrize("size", [MIB - 1, MIB // 2])
def test_an_answer_holds_ten_mebibytes(server, size):
    """GetRecords stops before 10 MiB of data and keys is passed."""
    for _ in range(3):
        server.client.put_records(
            StreamName="plant", Records=[{"Data": b"x" * size, "PartitionKey": "a"}] * 4
        )
    if size < MIB - 1:
        for _ in range(3):
            server.client.put_records(
                StreamName="plant", Records=[{"Data": b"x" * size, "PartitionKey": "a"}] * 4
            )
    answer = server.read(SHARD)
    assert len(answer["Records"]) == 10 * MIB // (size + 1)
    assert answer["MillisBehindLatest"] > 0


def test_a_shard_is_read_five_times_a_second(limited):
    """The sixth GetRecords within a second is throttled, per shard."""
    iterator = limited.iterator(SHARD)
    for _ in range(5):
        limited.client.get_records(ShardIterator=iterator)
    message = limited.refused(THROTTLED, "get_records", ShardIterator=iterator)
    assert SHARD in message
    limited.clock.pass_ms(999)
    limited.refused(THROTTLED, "get_records", ShardIterator=iterator)
    limited.clock.pass_ms(1)
    limited.client.get_records(ShardIterator=iterator)


def test_iterators_are_given_five_times_a_second(limited):
    """The sixth GetShardIterator within a second is throttled, per shard."""
    for _ in range(5):
        limited.iterator(SHARD)
    where = {"StreamName": "plant", "ShardId": SHARD, "ShardIteratorType": "LATEST"}
    limited.refused(THROTTLED, "get_shard_iterator", **where)


def test_after_ten_mebibytes_a_shard_rests_five_seconds(limited):
    """The call after a 10 MiB answer is throttled for just under 5 s."""
    for _ in range(10):
        limited.client.put_record(StreamName="plant", Data=b"x" * (MIB - 1), PartitionKey="a")
        limited.clock.pass_ms(1_000)
    answer = limited.read(SHARD)
    assert len(answer["Records"]) == 10
    following = answer["NextShardIterator"]
    for wait_ms in (2_500, 2_400, 101):
        limited.refused(THROTTLED, "get_records", ShardIterator=following)
        limited.clock.pass_ms(wait_ms)
    limited.client.get_records(ShardIterator=following)


def test_small_answers_do_not_throttle(limited):
    """Reading a steady 1 MiB/s five times a second is never throttled."""
    iterator = limited.iterator(SHARD)
    for _ in range(20):
        limited.client.put_record(StreamName="plant", Data=b"x" * 200_000, PartitionKey="a")
        limited.clock.pass_ms(200)
        answer = limited.client.get_records(ShardIterator=iterator)
        assert len(answer["Records"]) == 1
        iterator = answer["NextShardIterator"]


def test_an_iterator_behind_the_horizon_goes_on_after_the_loss(server):
    """Where the next records were trimmed, reading goes on with the oldest that is kept."""
    numbers = put(server, b"a", b"b", b"c")
    server.order(kind="trim", stream="plant", older_than_ms=2_000)
    after = {"StartingSequenceNumber": numbers[0]}
    assert server.data(SHARD, "AFTER_SEQUENCE_NUMBER", **after) == [b"c"]
