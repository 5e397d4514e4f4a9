"""Any history of puts, reshards, faults and restarts: what is read is what was acknowledged."""

from collections import defaultdict

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.slow  # starts servers

TOP = 2**128
KEYS = [f"press-{n}" for n in range(6)]
PUT = st.tuples(st.just("put"), st.lists(st.sampled_from(KEYS), min_size=1, max_size=8))
STEPS = st.lists(
    st.one_of(
        PUT,
        PUT,
        st.tuples(st.just("split"), st.integers(0, TOP - 1)),
        st.tuples(st.just("merge"), st.integers(0, TOP - 1)),
        st.tuples(st.just("count"), st.integers(1, 5)),
        st.tuples(st.just("fault"), st.sampled_from(["drop", "error", "error_after", "throttle"])),
        st.tuples(st.just("restart"), st.none()),
    ),
    min_size=1,
    max_size=14,
)


class History:
    """What was acknowledged, what is unknown, and in which order, by partition key."""

    def __init__(self, server, stream):
        self.server = server
        self.stream = stream
        self.count = 0
        self.acknowledged = defaultdict(list)
        self.unknown = set()

    def put(self, keys):
        """Put one record a key, each with a number of its own."""
        records = []
        for key in keys:
            self.count += 1
            records.append({"Data": b"%d" % self.count, "PartitionKey": key})
        try:
            answer = self.server.client.put_records(StreamName=self.stream, Records=records)
        except (ClientError, ConnectionClosedError):
            self.unknown |= {record["Data"] for record in records}
            return
        for record, result in zip(records, answer["Records"], strict=True):
            if "SequenceNumber" in result:
                self.acknowledged[record["PartitionKey"]].append(record["Data"])

    def reshard(self, kind, value):
        """Ask for a reshard; one that makes no sense is refused and changes nothing."""
        client, stream = self.server.client, self.stream
        shards = self.server.shards(stream, ShardFilter={"Type": "AT_LATEST"})
        shards.sort(key=lambda shard: int(shard["HashKeyRange"]["StartingHashKey"]))
        place = value * len(shards) // TOP
        try:
            if kind == "split":
                client.split_shard(
                    StreamName=stream,
                    ShardToSplit=shards[place]["ShardId"],
                    NewStartingHashKey=str(value),
                )
            elif kind == "merge" and place + 1 < len(shards):
                client.merge_shards(
                    StreamName=stream,
                    ShardToMerge=shards[place]["ShardId"],
                    AdjacentShardToMerge=shards[place + 1]["ShardId"],
                )
            elif kind == "count":
                client.update_shard_count(
                    StreamName=stream, TargetShardCount=value, ScalingType="UNIFORM_SCALING"
                )
        except client.exceptions.InvalidArgumentException:
            return

    def read_all(self):
        """Read as a consumer does: parents to their end first, then the children they name."""
        read, ended, waiting = defaultdict(list), set(), {}
        shards = self.server.shards(self.stream)
        ready = [shard["ShardId"] for shard in shards if "ParentShardId" not in shard]
        while ready:
            shard = ready.pop()
            answer = self.server.read(shard, name=self.stream)
            for record in answer["Records"]:
                read[record["PartitionKey"]].append(record["Data"])
            ended.add(shard)
            waiting |= {c["ShardId"]: c["ParentShards"] for c in answer.get("ChildShards", [])}
            ready += [c for c, parents in waiting.items() if set(parents) <= ended]
            waiting = {c: parents for c, parents in waiting.items() if c not in ready}
        assert ended == {shard["ShardId"] for shard in shards}
        return read

    def check(self):
        """Everything acknowledged is read once and in order; nothing else but the unknown."""
        read = self.read_all()
        for key in KEYS:
            assert [v for v in read[key] if v not in self.unknown] == self.acknowledged[key]
            assert len(set(read[key])) == len(read[key])


@pytest.mark.slow
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=STEPS)
def test_what_is_read_is_what_was_acknowledged(start, tmp_path_factory, steps):
    """Over any history a consumer that follows children reads each record once, in key order."""
    server = start(data=tmp_path_factory.mktemp("history"))
    try:
        stream = server.create(shards=2)
        history = History(server, stream)
        for kind, value in steps:
            if kind == "put":
                history.put(value)
            elif kind == "fault":
                server.order(kind=value, operation="PutRecords")
            elif kind == "restart":
                server.close()
                history.server = server = start(data=server.options.data, now_ms=server.clock)
            else:
                history.reshard(kind, value)
        history.check()
    finally:
        server.close()
