"""The server as a process: starting, ending, killing, and refusing in one line."""

import json
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

import psutil
import pytest
from botocore.exceptions import BotoCoreError, ClientError

pytestmark = pytest.mark.slow  # starts processes

SHARD = "shardId-000000000000"
COMMAND = [sys.executable, "-m", "floorlog.local.kinesis"]


class Process:
    """One server process and a checked boto3 client for it."""

    def __init__(self, wire, data, *arguments, **popen):
        self.began = time.monotonic()
        self.child = subprocess.Popen(
            [*COMMAND, "--data", str(data), "--transition-ms", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **popen,
        )
        self.port = json.loads(self.child.stdout.readline())["port"]
        self.start_seconds = time.monotonic() - self.began
        self.client = wire.connect(self.port)

    def end(self, number):
        """Send a signal; return the exit code and what was said on stderr."""
        self.client.close()
        if self.child.poll() is None:
            self.child.send_signal(number)
        _, said = self.child.communicate(timeout=10)
        return self.child.returncode, said


@pytest.fixture
def run(wire, tmp_path):
    running = []

    def begin(*arguments, data=tmp_path / "data", **popen):
        running.append(Process(wire, data, *arguments, **popen))
        return running[-1]

    yield begin
    for process in running:
        process.end(signal.SIGKILL)


def refused(*arguments):
    """Run a server that must refuse to start; return the one line that it says."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return done.stderr


def numbers(client):
    """Everything in the shard, as the numbers that were put."""
    where = {"StreamName": "plant", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(**where)["ShardIterator"]
    found = []
    while True:
        answer = client.get_records(ShardIterator=iterator)
        found += [int(record["Data"]) for record in answer["Records"]]
        if not answer["MillisBehindLatest"]:
            return found
        iterator = answer["NextShardIterator"]


def put(client, first, count=50):
    records = [{"Data": b"%d" % n, "PartitionKey": "a"} for n in range(first, first + count)]
    return client.put_records(StreamName="plant", Records=records)["FailedRecordCount"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_and_cleanly(run, number):
    """SIGTERM and SIGINT end the server with code 0 and no word, connections open or not."""
    process = run()
    process.client.create_stream(StreamName="plant", ShardCount=1)
    with socket.create_connection(("127.0.0.1", process.port)):
        began = time.monotonic()
        assert process.end(number) == (0, "")
    assert time.monotonic() - began < 2


def test_what_was_acknowledged_survives_kill_9(run):
    """Killed five times under load, the server has every acknowledged record once, in order."""
    acknowledged, following = [], 0
    for turn in range(5):
        process = run("--limits", "off")
        if turn == 0:
            process.client.create_stream(StreamName="plant", ShardCount=1)
        killer = threading.Timer(0.15, process.child.kill)
        killer.start()
        try:
            while True:
                first, following = following, following + 50
                put(process.client, first)
                acknowledged += range(first, following)
        except (BotoCoreError, ClientError):
            killer.join()
        assert process.child.wait(10) == -signal.SIGKILL
    process = run("--limits", "off")
    found = numbers(process.client)
    assert found == sorted(set(found))
    missing = set(acknowledged) - set(found)
    assert not missing
    assert len(acknowledged) > 250


def test_reshards_tags_and_iterators_survive_kill_9(run):
    """The tree of shards, sequence numbers, tags, key, retention and iterators outlive a kill."""
    process = run("--limits", "off")
    client = process.client
    client.create_stream(StreamName="plant", ShardCount=1, Tags={"line": "3"})
    put(client, 0, 3)
    where = {"StreamName": "plant", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(**where)["ShardIterator"]
    client.update_shard_count(StreamName="plant", TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    client.start_stream_encryption(StreamName="plant", EncryptionType="KMS", KeyId="k")
    client.increase_stream_retention_period(StreamName="plant", RetentionPeriodHours=48)

    def state(client):
        description = client.describe_stream(StreamName="plant")["StreamDescription"]
        tags = client.list_tags_for_stream(StreamName="plant")["Tags"]
        return description, tags, client.get_records(ShardIterator=iterator)["Records"]

    before = state(client)
    process.end(signal.SIGKILL)
    client = run("--limits", "off").client
    assert state(client) == before
    last = before[0]["Shards"][-1]
    again = client.put_record(
        StreamName="plant",
        Data=b"x",
        PartitionKey="a",
        ExplicitHashKey=last["HashKeyRange"]["StartingHashKey"],
    )
    starting = last["SequenceNumberRange"]["StartingSequenceNumber"]
    assert int(again["SequenceNumber"]) > int(starting)


def test_one_server_a_directory(run, tmp_path):
    """A second server on the same data names the first and ends; a killed one is no obstacle."""
    process = run()
    said = refused("--data", str(tmp_path / "data"))
    assert f"process {process.child.pid}" in said
    assert "--data" in said
    process.end(signal.SIGKILL)
    run()


def test_a_port_in_use_is_one_line(run, tmp_path):
    """A port that is taken is named, with what to do."""
    process = run()
    said = refused("--data", str(tmp_path / "other"), "--port", str(process.port))
    assert f"port {process.port}" in said
    assert "--port" in said


def test_an_unusable_directory_is_one_line(tmp_path):
    """A directory that cannot be, and one whose database is none, are named with the fix."""
    (tmp_path / "file").write_text("in the way")
    assert str(tmp_path / "file") in refused("--data", str(tmp_path / "file" / "data"))
    (tmp_path / "kinesis.sqlite3").write_bytes(b"not a database" * 100)
    assert "cannot be read" in refused("--data", str(tmp_path))


def test_a_full_disk_loses_nothing(run):
    """Puts that do not fit are refused with 500; all acknowledged ones are there afterwards."""
    size = 3_000_000
    process = run(
        "--limits",
        "off",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
    )
    process.client.create_stream(StreamName="plant", ShardCount=1)
    accepted, status = 0, 200
    while status == 200:
        try:
            process.client.put_record(
                StreamName="plant", Data=b"%100000d" % accepted, PartitionKey="a"
            )
            accepted += 1
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    assert status == 500
    assert accepted > 5
    process.end(signal.SIGTERM)
    found = numbers(run("--limits", "off").client)
    assert found[:accepted] == list(range(accepted))
    assert len(found) <= accepted + 1


def test_a_change_that_cannot_be_kept_ends_the_server(run):
    """A reshard that the full disk refuses ends the process with one line, and never was."""
    process = run("--limits", "off")
    process.client.create_stream(StreamName="plant", ShardCount=1)
    resource.prlimit(process.child.pid, resource.RLIMIT_FSIZE, (4096, 4096))
    split = {"ShardToSplit": SHARD, "NewStartingHashKey": "1000"}
    with pytest.raises((ClientError, BotoCoreError)):
        process.client.split_shard(StreamName="plant", **split)
    code, said = process.end(0)
    assert (code, said.count("\n")) == (1, 1)
    assert "free room" in said
    again = run("--limits", "off").client
    assert len(again.list_shards(StreamName="plant")["Shards"]) == 1


def test_it_is_small_and_on_loopback(run):
    """It takes < 80 MB and listens on loopback alone."""
    process = run()
    observed = psutil.Process(process.child.pid)
    assert observed.memory_info().rss < 80e6
    listening = {c.laddr.ip for c in observed.net_connections() if c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    process.end(signal.SIGTERM)


@pytest.mark.slow
def test_without_limits_it_takes_more_than_a_shard_may(run):
    """With the limits off 10,000 records go into one shard at once, and come out in one answer."""
    process = run("--limits", "off")
    client = process.client
    client.create_stream(StreamName="plant", ShardCount=1)
    records = [{"Data": b"x" * 129, "PartitionKey": f"press-{n % 300}"} for n in range(500)]
    for _ in range(20):
        answer = client.put_records(StreamName="plant", Records=records)
        assert answer["FailedRecordCount"] == 0
    where = {"StreamName": "plant", "ShardId": SHARD, "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(**where)["ShardIterator"]
    assert len(client.get_records(ShardIterator=iterator)["Records"]) == 10_000


def test_browsers_are_not_served(run, wire):
    """A request with an Origin is refused, so that no web page can order a fault."""
    process = run()
    with socket.create_connection(("127.0.0.1", process.port)) as connection:
        connection.sendall(
            b"POST /_faults HTTP/1.1\r\nHost: x\r\nOrigin: http://x\r\nContent-Length: 0\r\n\r\n"
        )
        assert connection.recv(100).startswith(b"HTTP/1.1 403")
    assert wire.ask(process.port, "GET", "/_faults") == (200, {"faults": []})


@pytest.mark.parametrize(
    "wrong",
    [["--port", "70000"], ["--account", "12"], ["--limits", "maybe"], [], ["--nonsense"]],
)
def test_wrong_arguments_are_named(tmp_path, wrong):
    """A wrong argument is named on the last line and the server does not start."""
    data = ["--data", str(tmp_path)] if wrong else []
    done = subprocess.run(
        [*COMMAND, *data, *wrong], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode == 2
    assert (wrong[0] if wrong else "--data") in done.stderr.splitlines()[-1]
    assert not list(tmp_path.iterdir())
