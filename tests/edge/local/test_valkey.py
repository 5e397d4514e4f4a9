"""Valkey in cluster mode: what AWS refuses is refused here."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from floorlog.local.ports import LOOPBACK
from floorlog.local.supervisor import Supervisor

pytestmark = pytest.mark.slow  # starts a server


@pytest.fixture(scope="module")
def supervisor() -> Iterator[Supervisor]:
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        supervisor = Supervisor(Path(name), only={"valkey"})
        with supervisor:
            yield supervisor


@pytest.fixture
def client(supervisor: Supervisor) -> Iterator[redis.Redis]:
    host, port = supervisor.services.redis_endpoint.split(":")
    with redis.Redis(host, int(port)) as client:
        yield client


def test_commands_over_two_slots_are_refused(client: redis.Redis) -> None:
    """MSET and EVAL over keys without a common hash tag answer CROSSSLOT, with one they work."""
    with pytest.raises(redis.ResponseError, match=r"CROSSSLOT|don't hash to the same slot"):
        client.mset({"a": 1, "b": 2})
    with pytest.raises(redis.ResponseError, match=r"CROSSSLOT|don't hash to the same slot"):
        client.eval("return 1", 2, "a", "b")
    assert client.mset({"{floorlog}a": 1, "{floorlog}b": 2})
    assert client.eval("return redis.call('get', KEYS[1])", 1, "{floorlog}a") == b"1"


def test_every_slot_is_served_and_cluster_clients_work(client: redis.Redis) -> None:
    """A client for clusters finds the one node and writes keys of many slots."""
    port = client.connection_pool.connection_kwargs["port"]
    with redis.RedisCluster(host=LOOPBACK, port=port) as cluster:
        for number in range(100):
            assert cluster.set(f"key-{number}", number)
    assert client.execute_command("CLUSTER", "INFO").startswith(b"cluster_state:ok")
    nodes = client.execute_command("CLUSTER", "SLOTS")
    assert [(first, last, node[0]) for first, last, node in nodes] == [(0, 16_383, b"127.0.0.1")]


def test_it_is_bounded_keeps_nothing_and_evicts_nothing(client: redis.Redis) -> None:
    """Memory has a bound; a full cache refuses writes in sight of everybody."""
    found = client.config_get("maxmemory", "maxmemory-policy", "save", "appendonly")
    assert found == {
        "maxmemory": str(192 << 20),
        "maxmemory-policy": "noeviction",
        "save": "",
        "appendonly": "no",
    }


def test_it_listens_on_loopback_alone(supervisor: Supervisor) -> None:
    """Both ports, the cluster's bus included, and never as root."""
    pid = supervisor.pid("valkey")
    state = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout
    addresses = [line.split()[3] for line in state.splitlines() if f"pid={pid}," in line]
    assert len(addresses) == 2
    assert all(address.startswith(f"{LOOPBACK}:") for address in addresses)
    assert Path(f"/proc/{pid}").stat().st_uid != 0


@pytest.mark.slow
def test_after_kill_9_it_is_back_empty_on_the_same_address(supervisor: Supervisor, client) -> None:
    """A view may vanish; it returns by itself and takes writes at once when ready."""
    client.set("a", 1)
    old = supervisor.kill("valkey")
    supervisor.wait_ready("valkey", old, 10)
    assert client.get("a") is None
    assert client.set("a", 2)
