"""One service under watch: started, waited for, started again with growing pauses when it ends."""

import enum
import errno
import signal
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from floorlog.errors import DiskFull, FloorlogError, ServiceError
from floorlog.local.child import Child
from floorlog.local.service import Cause, Death, Service

PAUSE_SECONDS_MIN = 0.1
PAUSE_SECONDS_MAX = 5.0
HEALTHY_SECONDS = 10.0  # what lived longer is started again at once: it is in no loop of crashes
FIRST_START_SECONDS_MAX = 20.0
PORT_ATTEMPTS_MAX = 5


@dataclass(frozen=True)
class Event:
    """Something a person may want to know of a service.

    Attributes:
        service: its name, or "disk".
        text: what happened, in one line.
    """

    service: str
    text: str

    def __str__(self) -> str:
        """One line."""
        return f"{self.service}: {self.text}"


class State(enum.Enum):
    """Where a watched service stands."""

    STARTING = "starting"  # runs, does not answer yet
    READY = "ready"
    PAUSING = "pausing"  # ended; is started again after a pause
    HELD = "held"  # is left alone: ended by `hold`, or given up at its first start


class Watched:
    """A service and its present process. Used from one thread only, `settled` apart.

    Args:
        service: what to run.
        run: the directory of pid files.
        logs: the directory of logs.
        report: told what happens.
    """

    def __init__(
        self, service: Service, run: Path, logs: Path, report: Callable[[Event], None]
    ) -> None:
        self.service = service
        self.child: Child | None = None
        self.state = State.PAUSING
        self.settled: Future[float] = Future()
        self._run, self._logs, self._report = run, logs, report
        self._begun_at = time.monotonic()
        self._ready_at = 0.0
        self._next_at = 0.0
        self._pause_seconds = PAUSE_SECONDS_MIN
        self._port_attempts = 0

    @property
    def name(self) -> str:
        """The service's name."""
        return self.service.name

    def step(self) -> None:
        """Look at the process and do what is due; never waits longer than one try to connect."""
        if self.state is State.HELD:
            return
        if self.state is State.PAUSING:
            if time.monotonic() >= self._next_at:
                self._start()
            return
        assert self.child is not None
        if self.child.exit_status() is not None:
            self._died(self.service.death(self.child))
        elif self.state is State.STARTING:
            self._look_for_readiness(self.child)

    def resume(self) -> Future[float]:
        """Start a held service again; the future holds the seconds until it was ready."""
        self.settled = Future()
        self._begun_at = time.monotonic()
        self._pause_seconds, self._next_at = PAUSE_SECONDS_MIN, 0.0
        self.state = State.PAUSING
        return self.settled

    def hold(self, signal_number: int) -> None:
        """Signal the process and leave it alone from now on, also when it ends."""
        self.state = State.HELD
        if self.child is not None:
            self.child.send(signal_number)

    def _start(self) -> None:
        try:
            program = self.service.prepare()
            self.child = Child(program, self._run, self._logs)
        except FloorlogError as error:
            self._failed(Death(Cause.LASTING, error))
        except OSError as error:
            self._failed(Death(Cause.LASTING, start_error(self.name, error)))
        else:
            self.state = State.STARTING

    def _look_for_readiness(self, child: Child) -> None:
        try:
            ready = self.service.is_ready(child)
        except FloorlogError as error:
            child.send(signal.SIGKILL)
            self._failed(Death(Cause.LASTING, error))
            return
        now = time.monotonic()
        if ready:
            self.state, self._ready_at = State.READY, now
            self._report(Event(self.name, f"ready after {now - child.started_at:.2f} s"))
            if not self.settled.done():
                self.settled.set_result(now - self._begun_at)
        elif now - child.started_at > self.service.ready_seconds_max:
            child.send(signal.SIGKILL)
            late = ServiceError(
                f"{self.name} was not ready after {self.service.ready_seconds_max:.0f} s",
                where=str(child.log_path),
                fix="see its log",
            )
            self._failed(Death(Cause.LASTING, late))

    def _died(self, death: Death) -> None:
        if self.state is State.READY and time.monotonic() - self._ready_at > HEALTHY_SECONDS:
            self._pause_seconds = PAUSE_SECONDS_MIN
        self._failed(death)

    def _failed(self, death: Death) -> None:
        """Plan the next start, or give up where there was none that worked."""
        if not self.settled.done() and not self._may_retry(death.cause):
            self.state = State.HELD
            self.settled.set_exception(death.error)
            return
        self.state = State.PAUSING
        self._next_at = time.monotonic() + self._pause_seconds
        self._report(Event(self.name, f"{death.error} - next start in {self._pause_seconds:.1f} s"))
        self._pause_seconds = min(2 * self._pause_seconds, PAUSE_SECONDS_MAX)

    def _may_retry(self, cause: Cause) -> bool:
        if cause is Cause.PORT:
            self._port_attempts += 1
            return self._port_attempts < PORT_ATTEMPTS_MAX
        tried_seconds = time.monotonic() - self._begun_at
        return cause is Cause.PASSING and tried_seconds < FIRST_START_SECONDS_MAX


def start_error(name: str, error: OSError) -> FloorlogError:
    """What the system refused at a start, as a message for a person."""
    where = str(error.filename or "")
    if error.errno == errno.ENOSPC:
        return DiskFull(f"no room on the disk for {name}", where=where, fix="free some room")
    return ServiceError(
        f"{name} cannot be started: {error.strerror}", where=where, fix="mend that and start again"
    )
