"""Free ports on loopback, remembered from one start to the next."""

import secrets
import socket
from collections.abc import Mapping

from floorlog.errors import PortInUse, ServiceError

LOOPBACK = "127.0.0.1"
# Below the range from which systems take the near ends of outgoing connections (from 32768 on
# Linux): else a client that calls a stopped server again and again takes that port, or is connected
# to itself.
FIRST_PORT, LAST_PORT = 15_000, 29_999
ATTEMPTS_MAX = 200


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with socket.socket() as probe:
        # As servers do: connections that linger in TIME_WAIT do not count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


class Ports:
    """The port of each service.

    Args:
        asked: ports that a person asked for by number; these or none.
        remembered: ports of the last start; taken again if free, so that addresses stay the same.
    """

    def __init__(self, asked: Mapping[str, int], remembered: Mapping[str, int]) -> None:
        self._asked = dict(asked)
        self._chosen = dict(remembered)

    def choose(self, name: str) -> int:
        """A free port for the service `name`.

        Raises:
            PortInUse: the port asked for belongs to another program.
            ServiceError: no free port was found.
        """
        if name in self._asked:
            port = self._asked[name]
            if not is_free(port):
                raise PortInUse(
                    f"port {port}, asked for {name}, is in use by another program",
                    where=f"{LOOPBACK}:{port}",
                    fix="end that program, or leave the port away and a free one is found",
                )
        else:
            port = self._free_port(self._chosen.get(name))
        self._chosen[name] = port
        return port

    def is_asked(self, name: str) -> bool:
        """Whether a person chose this port, so that another would be wrong."""
        return name in self._asked

    def forget(self, name: str) -> None:
        """Choose anew next time: another program was quicker on this port."""
        self._chosen.pop(name, None)

    def __getitem__(self, name: str) -> int:
        return self._chosen[name]

    def as_dict(self) -> dict[str, int]:
        """All ports chosen so far, to be remembered."""
        return dict(self._chosen)

    def _free_port(self, remembered: int | None) -> int:
        if remembered is not None and is_free(remembered):
            return remembered
        taken = set(self._chosen.values())
        for _ in range(ATTEMPTS_MAX):
            port = FIRST_PORT + secrets.randbelow(LAST_PORT - FIRST_PORT + 1)
            if port not in taken and is_free(port):
                return port
        raise ServiceError(
            f"no free port found between {FIRST_PORT} and {LAST_PORT}",
            where=LOOPBACK,
            fix="see what listens there (ss -ltn), or ask for ports by number",
        )
