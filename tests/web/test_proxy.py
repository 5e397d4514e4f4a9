"""Who asks behind a proxy, and that strangers lock nobody out."""

import json

import pytest
from test_access import PASSWORD, House

from floorlog.errors import SettingError
from floorlog.web.access.limit import Guesses
from floorlog.web.access.proxy import client_of, neighbourhood, networks_of

TRUSTED = networks_of("10.0.0.0/24, 192.0.2.7,fd00::/8")


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", [], "203.0.113.5"),
        ("203.0.113.5", ["198.51.100.1"], "203.0.113.5"),  # a stranger's word
        ("10.0.0.9", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.9", ["6.6.6.6, 198.51.100.1"], "198.51.100.1"),  # the first was made up
        ("10.0.0.9", ["6.6.6.6", "198.51.100.1, 192.0.2.7"], "198.51.100.1"),
        ("10.0.0.9", ["10.0.0.1"], "10.0.0.1"),
        ("10.0.0.9", ["6.6.6.6, unknown"], "10.0.0.9"),
        ("10.0.0.9", [""], "10.0.0.9"),
        ("::ffff:10.0.0.9", ["198.51.100.1:4711"], "198.51.100.1"),
        ("fd00::1", ["[2001:db8::5]:443"], "2001:db8::5"),
        ("10.0.0.9", ["6.6.6.6, " + "10.0.0.2, " * 30 + "10.0.0.3"], "10.0.0.2"),
    ],
)
def test_whose_word_is_taken(peer, forwarded, client):
    """The last that no trusted proxy is, whatever is written in front of it."""
    assert client_of(peer, forwarded, TRUSTED) == client
    assert client_of(peer, forwarded, ()) in {peer, peer.removeprefix("::ffff:")}


def test_the_setting():
    """Nobody is trusted by default; what is no network is refused by name."""
    assert networks_of("") == ()
    with pytest.raises(SettingError, match=r"FLOORLOG_WEB_PROXIES.*10\.0\.0\.1/8"):
        networks_of("10.0.0.1/8")


def test_one_customer_of_ipv6_counts_once():
    """All of a /64 together; IPv4 and loopback each for itself."""
    assert neighbourhood("2001:db8::5") == neighbourhood("2001:db8::ffff:6") == "2001:db8::/64"
    assert neighbourhood("2001:db8:0:1::5") != neighbourhood("2001:db8::5")
    assert (neighbourhood("10.1.2.3"), neighbourhood("::1")) == ("10.1.2.3", "::1")


def test_strangers_do_not_lock_a_name():
    """Five in a row shut it for their address, fifty for strange ones; who is known goes on."""
    guesses = Guesses()
    guesses.passed("ann", "home")
    assert [guesses.failed("ann", "a", 0.0) for _ in range(5)] == [False] * 4 + [True]
    assert guesses.shut_s("ann", "a", 0.0) == 60
    assert guesses.shut_s("ann", "b", 0.0) == 0
    for n in range(45):
        guesses.failed("ann", f"of many {n}", 0.0)
    assert guesses.shut_s("ann", "b", 0.0) == 60
    assert guesses.shut_s("bob", "b", 0.0) == 0
    assert guesses.shut_s("ann", "home", 0.0) == 0
    assert [guesses.failed("ann", "home", 0.0) for _ in range(5)][-1]
    assert guesses.shut_s("ann", "home", 0.0) == 60


@pytest.mark.slow
def test_behind_a_proxy(open_page, tmp_path):
    """Limits, lock-out and audit go by whom the proxy names; without the setting by the proxy."""
    house = House(open_page, tmp_path / "users.json", proxies="127.0.0.0/8")

    def log_in(address: str, password: str) -> int:
        body = {"name": "a admin", "password": password}
        asked = {"X_Forwarded_For": f"6.6.6.6, {address}"}
        return house.ask("POST", "/api/v1/login", body, **asked)[0].status

    assert [log_in("198.51.100.1", "wrong") for _ in range(6)] == [401] * 5 + [429]
    assert log_in("198.51.100.2", PASSWORD) == 200
    refused = house.audited("login.refused")
    # Other tests' events stand in the same record.
    assert [one["detail"].get("address") for one in refused][:5] == ["198.51.100.1"] * 5
    assert "6.6.6.6" not in json.dumps(refused)
