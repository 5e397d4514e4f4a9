"""Valkey as AWS runs it: cluster mode with every slot on one node, nothing kept on disk."""

import signal
from pathlib import Path

import redis

from floorlog.errors import ServiceError
from floorlog.local.birth import Stop
from floorlog.local.child import Child, Program
from floorlog.local.place import Account, private_directory
from floorlog.local.ports import LOOPBACK, Ports
from floorlog.local.postgres import SERVER_ENVIRONMENT
from floorlog.local.programs import valkey_program
from floorlog.local.service import Cause, Death, last_line

SLOTS = 16_384
BUS = "valkey-bus"
# 100,000 series take some 50 MB. Nothing is evicted when it is full: a refused write is seen and
# reported, an evicted last value would look like a device that never spoke. AWS's default
# (volatile-lru) comes to the same for keys without an expiry.
MEMORY = ("--maxmemory", "192mb", "--maxmemory-policy", "noeviction")
# A node that had no slots at first waits as long as this, up to 5 s, before it calls its cluster
# whole; there is no other node that it could be for.
NODE_TIMEOUT_MS = 500
STOPS = (Stop(signal.SIGTERM, 2.0), Stop(signal.SIGKILL, 2.0))


class Valkey:
    """The service: a view that may vanish, so it starts empty every time.

    It takes Valkey two seconds from its start until it calls its cluster whole (a fixed delay of
    its own); until then it answers CLUSTERDOWN.

    Args:
        directory: the data directory.
        account: who runs the server; None is the present user.
        ports: where its port and its cluster bus's port come from.
    """

    name = "valkey"
    ready_seconds_max = 20.0

    def __init__(self, directory: Path, account: Account | None, ports: Ports) -> None:
        self.directory = directory / "valkey"
        self._account = account
        self._ports = ports
        self._was_ready = False

    @property
    def endpoint(self) -> str:
        """`host:port`, once it was prepared."""
        return f"{LOOPBACK}:{self._ports[self.name]}"

    def prepare(self) -> Program:
        """Choose the ports and remove what the last node remembered of its cluster."""
        server = valkey_program(self._account)
        private_directory(self.directory, self._account)
        # A new node each time: nothing of the old one is needed, and a crash may leave half a file.
        (self.directory / "nodes.conf").unlink(missing_ok=True)
        choose = self._ports.__getitem__ if self._was_ready else self._ports.choose
        port, bus_port = choose(self.name), choose(BUS)
        argv = [str(server), "--port", str(port), "--bind", LOOPBACK, "--dir", str(self.directory)]
        argv += ["--cluster-enabled", "yes", "--cluster-port", str(bus_port)]
        argv += ["--cluster-config-file", "nodes.conf", "--cluster-announce-ip", LOOPBACK]
        argv += ["--cluster-node-timeout", str(NODE_TIMEOUT_MS)]
        argv += ["--save", "", "--appendonly", "no", "--maxclients", "256", *MEMORY]
        argv += ["--daemonize", "no", "--loglevel", "notice"]
        return Program(self.name, argv, STOPS, SERVER_ENVIRONMENT, self._account)

    def is_ready(self, child: Child) -> bool:
        """Whether it takes writes to every slot; gives it the slots when it has none."""
        del child
        try:
            known = self._command("CLUSTER", "INFO").decode().split("\r\n")
            if "cluster_slots_assigned:0" in known:
                self._command("CLUSTER", "ADDSLOTSRANGE", 0, SLOTS - 1)
        except redis.RedisError:
            return False
        if "cluster_state:ok" not in known:
            return False
        self._was_ready = True
        return True

    def _command(self, *words: str | int) -> bytes:
        """One command on a connection of its own; its answer."""
        with redis.Redis(
            LOOPBACK, self._ports[self.name], socket_timeout=1.0, socket_connect_timeout=1.0
        ) as client:
            answer = client.execute_command(*words)
        assert isinstance(answer, bytes)
        return answer

    def death(self, child: Child) -> Death:
        """Why the server ended, from its log."""
        said = child.said()
        port_taken = "Address already in use" in said
        if port_taken:
            self._ports.forget(BUS)
        error = ServiceError(
            f"Valkey {child.ending()}: {last_line(said)}",
            where=str(child.log_path),
            fix="see its log",
        )
        if port_taken and not self._was_ready:
            return Death(Cause.PORT, error)
        return Death(Cause.PASSING if self._was_ready else Cause.LASTING, error)
