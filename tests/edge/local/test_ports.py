"""Free ports: found, remembered, and refused when they are another's."""

import socket
from collections.abc import Iterator

import pytest

from floorlog.errors import PortInUse, ServiceError
from floorlog.local import ports
from floorlog.local.ports import FIRST_PORT, LAST_PORT, LOOPBACK, Ports, is_free


@pytest.fixture
def taken() -> Iterator[int]:
    """A port below the ephemeral range on which somebody listens."""
    with socket.socket() as listener:
        port = Ports({}, {}).choose("x")
        listener.bind((LOOPBACK, port))
        listener.listen()
        yield port


def test_found_ports_are_free_distinct_and_never_near_ends() -> None:
    """Each service gets a port of its own, outside the range of outgoing connections."""
    found = Ports({}, {})
    chosen = [found.choose(f"service-{number}") for number in range(50)]
    assert len(set(chosen)) == 50
    assert all(is_free(port) and FIRST_PORT <= port <= LAST_PORT < 32_768 for port in chosen)


def test_the_last_start_s_port_is_taken_again(taken: int) -> None:
    """A remembered port is kept while it is free, and another found when it is not."""
    free = Ports({}, {}).choose("x")
    assert Ports({}, {"postgres": free}).choose("postgres") == free
    assert Ports({}, {"postgres": taken}).choose("postgres") != taken


def test_a_port_asked_for_is_that_or_an_error(taken: int) -> None:
    """Who names a port gets it, or one line that says that it is in use."""
    free = Ports({}, {}).choose("x")
    asked = Ports({"web": free, "postgres": taken}, {"web": 1})
    assert asked.choose("web") == asked["web"] == free
    with pytest.raises(PortInUse, match=rf"127.0.0.1:{taken}: port {taken}.*end that program"):
        asked.choose("postgres")


def test_a_lingering_connection_does_not_take_a_port() -> None:
    """A port whose last connections are in TIME_WAIT is free: a restart must keep its address."""
    port = Ports({}, {}).choose("x")
    with socket.create_server((LOOPBACK, port)) as server:
        client = socket.create_connection((LOOPBACK, port))
        server.accept()[0].close()  # the server's side closes first and lingers
        client.close()
    assert is_free(port)


def test_giving_up_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no port is free the search ends, with a line that says how to go on."""
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(ServiceError, match="no free port"):
        Ports({}, {}).choose("postgres")
