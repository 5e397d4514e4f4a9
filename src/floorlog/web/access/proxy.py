"""Who asks where a proxy stands in front: the address that trusted proxies say they answer for."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from floorlog.errors import SettingError

Networks = tuple[IPv4Network | IPv6Network, ...]
HOPS_MAX = 20  # of one request; what lies further back is not looked at


def networks_of(setting: str) -> Networks:
    """The proxies of a setting: addresses or networks with commas between; empty for none.

    Raises:
        SettingError: one of them is neither.
    """
    try:
        return tuple(ip_network(part.strip()) for part in setting.split(",") if part.strip())
    except ValueError as error:
        raise SettingError(
            f"FLOORLOG_WEB_PROXIES: {error}",
            where="environment",
            fix="give addresses or networks with commas between, as 10.0.0.7 or 10.0.0.0/24",
        ) from error


def client_of(peer: str, forwarded: Sequence[str], trusted: Networks) -> str:
    """The address that a request comes from.

    Args:
        peer: who opened the connection.
        forwarded: the request's X-Forwarded-For headers; anybody can write what he likes in front,
            each proxy adds whom it saw at the end.
        trusted: proxies whose word is taken; without any it is the peer.

    Returns:
        The last address, from the end, that is no trusted proxy's: what stands before it may be
        made up. Where something else than an address stands there, the proxy that let it through.
    """
    client = _plain(peer)
    hops = [hop.strip() for hop in ",".join(forwarded).split(",")] if forwarded else []
    for hop in reversed(hops[-HOPS_MAX:]):
        if client is None or not _is_in(client, trusted):
            break
        further = _plain(hop)
        if further is None:
            break
        client = further
    return peer if client is None else client


def neighbourhood(address: str) -> str:
    """What limits count by: the address, of IPv6 its /64: one customer's, who may use all of it."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and not found.is_loopback:
        return str(ip_network((found.packed[:8] + bytes(8), 64)))
    return str(found)


def _plain(text: str) -> str | None:
    """An address without port, brackets, and IPv6 around an IPv4 one; None where it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return str(found)


def _is_in(address: str, networks: Networks) -> bool:
    found = ip_address(address)
    return any(found in network for network in networks)
