"""A server in a thread with a clock that tests set, and boto3 with every answer checked."""

import asyncio
import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.model import Shape, StructureShape

from floorlog.local.kinesis.server import Options, Server

REGION = "eu-west-2"
# Errors that the protocol knows for every operation; the model lists only the operation's own.
EVERYWHERE = {
    "ValidationException",
    "SerializationException",
    "UnknownOperationException",
    "InternalFailure",
}
NUMBERS = {"integer": int, "long": int, "timestamp": (int, float)}


def check_shape(shape: Shape, value: object, where: str = "$") -> None:
    """Fail unless `value` is what botocore's model says: members, types, bounds, words."""
    kind = shape.type_name
    if isinstance(shape, StructureShape):
        assert isinstance(value, dict), where
        assert set(value) <= set(shape.members), (
            f"{where}: unknown {set(value) - set(shape.members)}"
        )
        missing = set(shape.required_members) - set(value)
        assert not missing, f"{where}: missing {missing}"
        for name, member in value.items():
            check_shape(shape.members[name], member, f"{where}.{name}")
    elif kind == "list":
        assert isinstance(value, list), where
        for place, item in enumerate(value):
            check_shape(shape.member, item, f"{where}[{place}]")
    elif kind in NUMBERS:
        assert isinstance(value, NUMBERS[kind]), f"{where}: {value!r}"
        assert not isinstance(value, bool), where
        # The service answers FailedRecordCount 0, whatever its model says.
        low = 0 if where.endswith("FailedRecordCount") else shape.metadata.get("min", 0)
        assert low <= value <= shape.metadata.get("max", value), f"{where}: {value}"
    elif kind == "boolean":
        assert isinstance(value, bool), where
    else:
        assert kind in {"string", "blob"}, f"{where}: {kind} is not checked"
        assert isinstance(value, str), f"{where}: {value!r}"
        if kind == "string":
            assert value in (getattr(shape, "enum", None) or [value]), f"{where}: {value}"
            assert len(value) >= shape.metadata.get("min", 0), where
            assert len(value) <= shape.metadata.get("max", len(value)), where


def check_answer(operation_model: Any, response_dict: dict[str, Any]) -> None:
    """Check one HTTP answer against the service model; called by botocore before it parses."""
    status, body = response_dict["status_code"], response_dict["body"]
    assert response_dict["headers"]["Content-Type"] == "application/x-amz-json-1.1"
    assert response_dict["headers"]["x-amzn-RequestId"]
    if status == 200:
        if operation_model.output_shape is None:
            assert body == b""
        else:
            check_shape(operation_model.output_shape, json.loads(body))
        return
    error = json.loads(body)
    assert set(error) == {"__type", "message"}
    assert isinstance(error["message"], str)
    known = EVERYWHERE | {shape.name for shape in operation_model.error_shapes}
    assert error["__type"] in known, error
    assert status == (500 if error["__type"] == "InternalFailure" else 400)


class Clock:
    """Milliseconds that pass when a test says so."""

    def __init__(self) -> None:
        self.ms = 1_700_000_000_123

    def __call__(self) -> int:
        return self.ms

    def pass_ms(self, ms: int) -> None:
        self.ms += ms


def connect(port: int, seen: list[tuple[str, int]] | None = None, **config: Any) -> Any:
    """Give a boto3 client that does not retry, whose every answer is checked."""
    client = boto3.client(
        "kinesis",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name=REGION,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"total_max_attempts": 1}, **config),
    )

    def check(operation_model: Any, response_dict: dict[str, Any], **_: Any) -> None:
        check_answer(operation_model, response_dict)
        if seen is not None:
            seen.append((operation_model.name, response_dict["status_code"]))

    client.meta.events.register("before-parse.kinesis", check)
    return client


def ask(port: int, method: str, path: str, body: object = None) -> tuple[int, Any]:
    """Make one plain HTTP request of the admin side."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


class Running:
    """A server in a thread of this process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.clock = options.now_ms
        self.seen: list[tuple[str, int]] = []
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        self.client = connect(self.port, self.seen)

    async def _run(self) -> None:
        server = Server(self.options)
        self._loop = asyncio.get_running_loop()
        self.port = await server.start()
        self._server = server
        self._ready.set()
        try:
            await server.ended()
        finally:
            await server.stop()

    def ask(self, method: str, path: str, body: object = None) -> Any:
        status, answer = ask(self.port, method, path, body)
        assert status == 200, answer
        return answer

    def order(self, **fault: object) -> Any:
        return self.ask("POST", "/_faults", fault)

    def refused(self, code: str, operation: str, **arguments: object) -> str:
        """Call an operation that must be refused with this code; return the message."""
        with pytest.raises(self.client.exceptions.ClientError) as caught:
            getattr(self.client, operation)(**arguments)
        error = caught.value.response["Error"]
        assert error["Code"] == code, error
        return str(error["Message"])

    def create(self, name: str = "plant", shards: int = 1) -> str:
        self.client.create_stream(StreamName=name, ShardCount=shards)
        return name

    def shards(self, name: str = "plant", **filters: object) -> list[dict[str, Any]]:
        return list(self.client.list_shards(StreamName=name, **filters)["Shards"])

    def iterator(
        self, shard: str, kind: str = "TRIM_HORIZON", name: str = "plant", **at: Any
    ) -> str:
        answer = self.client.get_shard_iterator(
            StreamName=name, ShardId=shard, ShardIteratorType=kind, **at
        )
        return str(answer["ShardIterator"])

    def read(self, shard: str, kind: str = "TRIM_HORIZON", name: str = "plant", **at: Any) -> Any:
        """Return one GetRecords from a place in a shard."""
        return self.client.get_records(ShardIterator=self.iterator(shard, kind, name, **at))

    def data(self, shard: str, kind: str = "TRIM_HORIZON", **at: Any) -> list[bytes]:
        return [record["Data"] for record in self.read(shard, kind, **at)["Records"]]

    def close(self) -> None:
        self.client.close()
        self._loop.call_soon_threadsafe(self._server.end)
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start servers, one after another on the same data if asked; all are ended."""
    running: list[Running] = []

    def begin(**changed: Any) -> Running:
        options = {
            "data": tmp_path / "data",
            "limits": False,
            "transition_ms": 0,
            "now_ms": Clock(),
        }
        running.append(Running(Options(**(options | changed))))
        return running[-1]

    yield begin
    for server in running:
        if server._thread.is_alive():
            server.close()


@pytest.fixture
def server(start: Callable[..., Running]) -> Running:
    """A server without limits whose clock stands still, with a stream `plant` of one shard."""
    running = start()
    running.create()
    return running


@pytest.fixture
def limited(start: Callable[..., Running]) -> Running:
    """A server with Kinesis's limits whose clock stands still, and a stream `plant`."""
    running = start(limits=True)
    running.create()
    return running


@pytest.fixture
def wire() -> SimpleNamespace:
    """What tests of processes need: boto3 and plain HTTP to a port."""
    return SimpleNamespace(connect=connect, ask=ask)
