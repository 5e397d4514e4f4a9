"""The Kinesis-compatible server as a service: a process of our own Python."""

import signal
import sys
from pathlib import Path

import msgspec

from floorlog.errors import ServiceError
from floorlog.local.birth import Stop
from floorlog.local.child import Child, Program
from floorlog.local.ports import LOOPBACK, Ports
from floorlog.local.service import Cause, Death, last_line

STOPS = (Stop(signal.SIGTERM, 4.0), Stop(signal.SIGKILL, 2.0))


class _Ready(msgspec.Struct):
    port: int


class Stream:
    """The service. It says on a line of its own, as JSON with `port`, that it is ready.

    Args:
        directory: the data directory; the streams' data go to `kinesis` in it.
        ports: where the port comes from.
    """

    name = "kinesis"
    ready_seconds_max = 60.0

    def __init__(self, directory: Path, ports: Ports) -> None:
        self.directory = directory / "kinesis"
        self._ports = ports
        self._was_ready = False

    @property
    def endpoint(self) -> str:
        """The URL for AWS_ENDPOINT_URL_KINESIS, once it was prepared."""
        return f"http://{LOOPBACK}:{self._ports[self.name]}"

    def prepare(self) -> Program:
        """Choose the port and make the directory."""
        self.directory.mkdir(mode=0o700, exist_ok=True)
        port = self._ports[self.name] if self._was_ready else self._ports.choose(self.name)
        argv = [sys.executable, "-m", "floorlog.local.kinesis"]
        argv += ["--data", str(self.directory), "--port", str(port)]
        return Program(self.name, argv, STOPS)

    def is_ready(self, child: Child) -> bool:
        """Whether it has said so."""
        for line in child.said().splitlines():
            try:
                ready = msgspec.json.decode(line, type=_Ready).port == self._ports[self.name]
            except msgspec.MsgspecError:
                continue
            self._was_ready = self._was_ready or ready
            return ready
        return False

    def death(self, child: Child) -> Death:
        """Why the server ended, from what it said."""
        said = child.said()
        error = ServiceError(
            f"the Kinesis-compatible server {child.ending()}: {last_line(said)}",
            where=str(child.log_path),
            fix="see its log",
        )
        if "in use" in said and not self._was_ready:
            return Death(Cause.PORT, error)
        return Death(Cause.PASSING if self._was_ready else Cause.LASTING, error)
