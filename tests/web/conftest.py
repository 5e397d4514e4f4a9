"""A page on a real record and a real cache, a small plant to fill them, and a browser."""

import asyncio
import json
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from floorlog.cache import Endpoint, LastValues
from floorlog.core.protocol import Commit, Committed, Lease, Publish, Register, Shard, Survey, Take
from floorlog.core.reading import Anomaly, Batch, Counts, Kind, Readings
from floorlog.core.series import SeriesKey, SeriesTable
from floorlog.local.supervisor import Supervisor
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import LOGIN_ROLES, OPERATOR, READER, WRITER, migrate
from floorlog.store.postgres import Store
from floorlog.web.access.access import Loopback
from floorlog.web.access.proxy import networks_of
from floorlog.web.api.health import Gauge
from floorlog.web.api.record import Record, RecordReader
from floorlog.web.app import make_app
from floorlog.web.feed import Feed
from floorlog.web.services import Services

sys.path.insert(0, str(Path(__file__).parent))
LEASE_SECONDS = 5.0


@dataclass
class Servers:
    """A running PostgreSQL with a migrated template, and a running Valkey."""

    supervisor: Supervisor
    dsn: Callable[..., str]
    endpoint: Endpoint

    def run(self, database: str, statement: str) -> None:
        with psycopg.connect(self.dsn(database=database), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    directory = Path(tempfile.mkdtemp(prefix="floorlog-web-"))
    directory.chmod(0o755)
    supervisor = Supervisor(directory / "data", only={"postgres", "valkey"})
    try:
        with supervisor as services:
            made = Servers(
                supervisor, services.postgres_dsn, Endpoint.parse(services.redis_endpoint)
            )
            made.run("postgres", "CREATE DATABASE page")
            passwords = {role: services.postgres.password(role) for role in LOGIN_ROLES}
            migrate(made.dsn(database="page"), passwords=passwords)
            yield made
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class Plant:
    """One shard of readings, stored and published as a worker does."""

    servers: Servers
    database: str
    store: Store
    lease: Lease
    values: LastValues
    table: SeriesTable = field(default_factory=SeriesTable)
    states: dict[str, int] = field(default_factory=lambda: {"false": 0, "true": 1})
    number: int = 0

    def dsn(self, role: str = READER) -> str:
        return self.servers.dsn(role, self.database)

    def catalogue(self, content: dict[str, Any]) -> None:
        put_catalogue(self.dsn(OPERATOR), json.dumps(content).encode())

    def row(
        self, device: str, metric: str, kind: Kind = Kind.NUMBER, unit: str | None = None
    ) -> int:
        """The series' row, registered at first sight."""
        if (device, metric) not in self.table.index:
            self.register([SeriesKey(device, metric, kind, unit, device)])
        return self.table.index[device, metric]

    def register(self, keys: list[SeriesKey], states: tuple[str, ...] = ()) -> None:
        reply = self.store.register(Register(self.lease, tuple(keys), states))
        self.table.learn(reply.series)
        self.states.update(reply.states)

    def commit(
        self,
        rows: list[tuple[int, int, float]],
        anomalies: tuple[Anomaly, ...] = (),
        **counts: int,
    ) -> None:
        """Store (row, ts in µs, value) with one transaction, and publish them."""
        self.number += 1
        batch = self.batch(rows, anomalies, **counts)
        reply = self.store.commit(Commit(batch))
        assert isinstance(reply, Committed), reply
        self.values.publish(Publish(batch, self.table, self.states))

    def batch(
        self, rows: list[tuple[int, int, float]], anomalies: tuple[Anomaly, ...], **counts: int
    ) -> Batch:
        rows = sorted(rows, key=lambda row: (self.table.id[row[0]], row[1]))
        count = len(rows)
        row = np.array([r[0] for r in rows], np.int32)
        nought = np.zeros(count, np.int32)
        now_s = int(time.time())
        return Batch(
            lease_id=self.lease.lease_id,
            epoch=self.lease.epoch,
            number=self.number,
            version=self.lease.version,
            checkpoint=(self.number - 1) * 10 if self.number > 1 else -1,
            sequence=self.number * 10,
            clock_s=now_s,
            catalogue=0,
            counts=replace(Counts(1, count, count), **counts),
            series=self.table.id[row].astype(np.int32),
            readings=Readings(
                row,
                np.array([r[1] for r in rows], np.int64),
                np.array([r[2] for r in rows], np.float64),
                np.zeros(count, np.uint32),
                np.full(count, now_s, np.int64),
                nought,
                nought,
            ),
            conflict=np.zeros(count, np.bool_),
            late=np.zeros(count, np.bool_),
            home=nought + self.lease.lease_id,
            anomalies=anomalies,
            anomaly_series=tuple(int(self.table.id[one.row]) for one in anomalies),
            read_at=now_s * 1_000_000,
        )


def open_plant(servers: Servers) -> Plant:
    """A worker's side of record and cache."""
    store = Store(
        servers.dsn(WRITER, "page"),
        stream_arn="arn:plant",
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        worker="ann",
        lease_s=LEASE_SECONDS,
        series_max=10_000,
    )
    view = store.survey(Survey((Shard("shardId-000000000000", (), 0, 2**128 - 1),)))
    lease = store.take(Take(view.leases[0].lease_id))
    assert isinstance(lease, Lease)
    return Plant(servers, "page", store, lease, LastValues(servers.endpoint))


def close_plant(plant: Plant) -> None:
    """End the connections; the record goes with its server."""
    plant.values.close()
    plant.store.close()


@pytest.fixture(scope="session")
def plant(servers: Servers) -> Iterator[Plant]:
    """One for all tests, for a record takes long to make: each names devices of its own."""
    made = open_plant(servers)
    yield made
    close_plant(made)


class Page:
    """The page's server in a thread of its own, on a free port."""

    def __init__(
        self,
        dsn: str,
        endpoint: Endpoint,
        furnish: Callable[[Feed, Record], Services] = lambda f, r: Services(f, r, Loopback()),
        proxies: str = "",
    ) -> None:
        self.furnish = furnish
        self.proxies = networks_of(proxies)
        self.record = Record(lambda: RecordReader(dsn))
        self.feed = Feed(self.record, endpoint, Gauge(LEASE_SECONDS))
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _run(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        services = self.furnish(self.feed, self.record)
        server = HTTPServer(make_app(services, proxies=self.proxies))
        sockets = bind_sockets(0, "127.0.0.1")
        self.port = sockets[0].getsockname()[1]
        server.add_sockets(sockets)
        self.feed.start()
        self._ready.set()
        await self._stop.wait()
        server.stop()
        await self.feed.stop()
        await server.close_all_connections()
        self.record.close()

    def get(self, path: str, host: str | None = None) -> tuple[HTTPResponse, bytes]:
        """One request; `host` is the Host header."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.putrequest("GET", path, skip_host=host is not None)
        if host is not None:
            connection.putheader("Host", host)
        connection.endheaders()
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response, body

    def json(self, path: str, status: int = 200) -> Any:
        response, body = self.get(path)
        assert response.status == status, body
        return json.loads(body)

    def send(
        self, method: str, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        """One request of any kind."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        return response, content

    def post(self, path: str, content: Any, status: int = 200) -> Any:
        headers = {"Content-Type": "application/json"}
        response, body = self.send("POST", path, json.dumps(content).encode(), headers)
        assert response.status == status, body
        return json.loads(body) if "json" in response.headers["Content-Type"] else body

    def shows(self, device: str) -> bool:
        """Whether it has a value of this device."""
        last = self.json("/api/v1/last")
        valued = {value[0] for value in last["values"]}
        return any(one["device"] == device and one["i"] in valued for one in last["series"])

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


class Stream:
    """A page's live feed, event by event."""

    def __init__(self, port: int, last: str | None = None) -> None:
        self.name = ""  # of the last event that had one
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)
        headers = {} if last is None else {"Last-Event-ID": last}
        self._connection.request("GET", "/api/v1/live", headers=headers)
        self.response = self._connection.getresponse()

    def next(self, *kinds: str) -> tuple[str, Any]:
        """The next event of these kinds, or of any."""
        kind = ""
        while line := self.response.readline():
            word, _, rest = line.decode().rstrip("\n").partition(": ")
            if word == "id":
                self.name = rest
            elif word == "event":
                kind = rest
            elif word == "data" and (not kinds or kind in kinds):
                return kind, json.loads(rest)
        raise EOFError("the feed ended")

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@pytest.fixture
def open_page(plant: Plant) -> Iterator[Callable[..., Page]]:
    made: list[Page] = []

    def make(endpoint: Endpoint | None = None, dsn: str | None = None, **options: Any) -> Page:
        made.append(Page(dsn or plant.dsn(OPERATOR), endpoint or plant.servers.endpoint, **options))
        return made[-1]

    yield make
    for page in made:
        page.close()


@pytest.fixture(scope="session")
def page_kind() -> type[Page]:
    """For rooms that furnish a page by themselves."""
    return Page


@pytest.fixture
def page(open_page: Callable[..., Page]) -> Page:
    return open_page()


@pytest.fixture(scope="session")
def bare_page() -> Iterator[Page]:
    """A page without record or cache: for what does not depend on them."""
    page = Page("host=127.0.0.1 port=9 dbname=none", Endpoint("127.0.0.1", 9))
    yield page
    page.close()


@pytest.fixture
def follow() -> Iterator[Callable[..., Stream]]:
    made: list[Stream] = []

    def make(page: Page, last: str | None = None) -> Stream:
        made.append(Stream(page.port, last))
        return made[-1]

    yield make
    for stream in made:
        stream.close()


def wait_until(true: Callable[[], Any], seconds: float = 8.0) -> float:
    """Wait until it is true; returns the seconds that took."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, f"not so after {seconds} s"
        time.sleep(0.03)
    return time.monotonic() - began


@pytest.fixture
def until() -> Callable[..., float]:
    return wait_until
