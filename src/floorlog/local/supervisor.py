"""Starts the local services together, keeps them running, and ends them together.

All children are started by one thread that lives until the last of them has ended: the kernel's
signal at the parent's end (see leash.py) comes when the *thread* that started a child is gone.
"""

import queue
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import FrameType, TracebackType
from typing import TypeVar

from floorlog.errors import DiskFull, FloorlogError, ServiceError
from floorlog.local.birth import end_leftovers
from floorlog.local.child import end_children
from floorlog.local.command import Command
from floorlog.local.disk import DiskWatch, free_bytes
from floorlog.local.place import DirectoryLock, claim, server_account
from floorlog.local.ports import Ports
from floorlog.local.postgres import Postgres
from floorlog.local.service import Service
from floorlog.local.services import Services, describe, read_ports, read_secret, write_ports
from floorlog.local.stream import Stream
from floorlog.local.valkey import Valkey
from floorlog.local.watch import Event, State, Watched, start_error

T = TypeVar("T")
ALL = frozenset({"postgres", "valkey", "kinesis"})
EVENTS_MAX = 1_000
STARTING_SECONDS = 0.03
WATCHING_SECONDS = 0.1
DISK_SECONDS = 1.0
LOG_SECONDS = 30.0


class Supervisor:
    """The services of one data directory, for as long as a `with` block lasts.

    Args:
        directory: the data directory; created if need be.
        only: which services; all three by default.
        postgres_programs: another PostgreSQL's bin directory.
        ports: ports asked for by number, by service name; others are found, and kept from start to
            start.
        report: told each event, from the supervisor's thread; must return at once.
        catch_signals: make Ctrl-C, SIGTERM and SIGHUP end all in order, and a second one at once.
            From the main thread only.
        interrupt: the first of these signals also raises KeyboardInterrupt where the main thread
            is, for work that does not wait in `run`.
        bytes_free: tells the free bytes of a directory's disk.

    Raises:
        FloorlogError: on entering, when something bars the start; nothing is left running then.
    """

    def __init__(
        self,
        directory: Path,
        *,
        only: frozenset[str] | set[str] = ALL,
        postgres_programs: Path | None = None,
        ports: Mapping[str, int] | None = None,
        report: Callable[[Event], None] | None = None,
        catch_signals: bool = False,
        interrupt: bool = False,
        bytes_free: Callable[[Path], int] = free_bytes,
    ) -> None:
        self.directory = directory
        self.events: deque[Event] = deque(maxlen=EVENTS_MAX)
        self._only = frozenset(only)
        self._postgres_programs = postgres_programs
        self._asked_ports = dict(ports or {})
        self._tell = report
        self._catch_signals = catch_signals
        self._interrupt = interrupt
        self._is_asked_to_end = False  # by a signal, or by the end of the block
        self._bytes_free = bytes_free
        self._watched: list[Watched] = []
        self._requests: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._ended = threading.Event()  # somebody asked for the end, or there is no going on
        self._hurry = threading.Event()
        self._failure: FloorlogError | None = None
        self._thread: threading.Thread | None = None
        self._lock = DirectoryLock(directory)
        self._disk = DiskWatch(directory, bytes_free)
        self._ports = Ports({}, {})
        self._handlers: dict[int, object] = {}
        self._disk_at = self._logs_at = 0.0

    def __enter__(self) -> Services:
        """Start everything; returns when all services do their work."""
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End everything; what else went wrong because of that end is not the story to tell."""
        was_asked = self._is_asked_to_end
        self.stop()
        if isinstance(error, Exception):
            if self._failure not in (None, error):
                raise self._failure from error
            if was_asked:
                raise KeyboardInterrupt from error

    @property
    def days_left(self) -> float | None:
        """Days until the disk is full at the rate of the last minutes; None if it does not fill."""
        return self._disk.forecast.days_left()

    @property
    def services(self) -> Services:
        """The services as they are now."""
        names = {"postgres", "valkey", "kinesis"} & self._only
        found = self._ports.as_dict()
        return describe(self.directory, {name: found[name] for name in names})

    def start(self) -> Services:
        """Start everything and wait until it works.

        Raises:
            FloorlogError: see the class.
            KeyboardInterrupt: Ctrl-C or SIGTERM came while starting.
        """
        account = server_account(self.directory)
        self.directory = claim(self.directory, account)
        self._lock = DirectoryLock(self.directory)
        self._lock.take()
        try:
            self._take_handlers()
            (self.directory / "run").mkdir(mode=0o711, exist_ok=True)
            (self.directory / "log").mkdir(mode=0o700, exist_ok=True)
            end_leftovers(self.directory / "run")
            self._disk = DiskWatch(self.directory, self._bytes_free)
            if self._disk.make_room():
                self._report(
                    Event("disk", "the disk is full: running on the ballast, free some room")
                )
            self._ports = Ports(self._asked_ports, read_ports(self.directory))
            # Valkey first: it has the longest wait. It is idle meanwhile.
            services: list[Service] = []
            if "valkey" in self._only:
                services.append(Valkey(self.directory, account, self._ports))
            if "kinesis" in self._only:
                services.append(Stream(self.directory, self._ports))
            if "postgres" in self._only:
                secret = read_secret(self.directory)
                services.append(
                    Postgres(self.directory, account, self._ports, secret, self._postgres_programs)
                )
            self._watched = [self._watch(service) for service in services]
            self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
            self._thread.start()
            for watched in self._watched:
                self.wait(watched.settled)
            write_ports(self.directory, self._ports.as_dict())
            found = self.services
        except OSError as error:
            self.stop()
            raise start_error("the set of services", error) from error
        except BaseException:
            self.stop()
            raise
        return found

    def stop(self) -> None:
        """End everything in reverse order and let go of the directory; may be called again."""
        self._is_asked_to_end = True
        self._ended.set()
        while self._thread is not None:
            try:
                self._thread.join()
                self._thread = None
            except KeyboardInterrupt:
                self._hurry.set()
        self._lock.release()
        self._give_back_handlers()

    def run(self, seconds: float | None = None) -> None:
        """Wait for Ctrl-C, SIGTERM, `ask_to_end`, or the time to pass.

        Raises:
            FloorlogError: the services cannot go on, such as for a full disk.
        """
        self._ended.wait(seconds)
        if self._failure is not None:
            raise self._failure

    def ask_to_end(self) -> None:
        """Make `run` return."""
        self._ended.set()

    def add(self, command: Command) -> Future[float]:
        """Start a program after the services and watch it likewise; ended before them.

        Returns:
            A future of the seconds until it was ready.
        """

        def join() -> Future[float]:
            if any(watched.name == command.name for watched in self._watched):
                raise ServiceError(
                    f"there is a service {command.name} already", fix="give it another name"
                )
            watched = self._watch(command)
            self._watched.append(watched)
            return watched.settled

        return self._ask(join)

    def wait(self, future: Future[T]) -> T:
        """What `add` promised, once it is there; an end that somebody asks for ends the wait.

        Raises:
            FloorlogError: the program could not be started, or the services cannot go on.
            KeyboardInterrupt: Ctrl-C or SIGTERM came while waiting.
        """
        while True:
            try:
                return future.result(timeout=0.2)
            except TimeoutError:
                if future.done():
                    raise
            if self._failure is not None:
                raise self._failure
            if self._ended.is_set():
                raise KeyboardInterrupt

    def pid(self, name: str) -> int:
        """The present process of a service; 0 while there is none."""
        return self._ask(lambda: self._pid(self._find(name)))

    def kill(self, name: str, signal_number: int = signal.SIGKILL, *, hold: bool = False) -> int:
        """Signal a service's process, as an accident would; it is started again by itself.

        Args:
            name: the service.
            signal_number: what to send.
            hold: leave it alone from now on, until `restart`.

        Returns:
            The process that was signalled.
        """

        def strike() -> int:
            watched = self._find(name)
            pid = self._pid(watched)
            if hold:
                watched.hold(signal_number)
            elif watched.child is not None:
                watched.child.send(signal_number)
            return pid

        return self._ask(strike)

    def restart(self, name: str) -> float:
        """Start a service that was held, or end and start one that runs; returns the seconds."""

        def begin() -> Future[float]:
            watched = self._find(name)
            if watched.child is not None:
                end_children([watched.child], self._hurry)
            return watched.resume()

        return self.wait(self._ask(begin))

    def wait_ready(self, name: str, other_than_pid: int, seconds: float = 30.0) -> int:
        """Wait until a service is ready in another process than the one given; returns its pid.

        Raises:
            TimeoutError: it was not.
        """

        def look() -> int:
            watched = self._find(name)
            return self._pid(watched) if watched.state is State.READY else 0

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if (pid := self._ask(look)) not in (0, other_than_pid):
                return pid
            time.sleep(0.05)
        raise TimeoutError(f"{name} was not ready in a new process after {seconds:.0f} s")

    def _watch(self, service: Service) -> Watched:
        return Watched(service, self.directory / "run", self.directory / "log", self._report)

    def _report(self, event: Event) -> None:
        self.events.append(event)
        if self._tell is not None:
            self._tell(event)

    def _find(self, name: str) -> Watched:
        for watched in self._watched:
            if watched.name == name:
                return watched
        raise ServiceError(
            f"there is no service {name}",
            where=str(self.directory),
            fix=f"it is one of {', '.join(watched.name for watched in self._watched)}",
        )

    @staticmethod
    def _pid(watched: Watched) -> int:
        child = watched.child
        return child.pid if child is not None and child.exit_status() is None else 0

    def _ask(self, question: Callable[[], T]) -> T:
        """Have the supervisor's thread do something; its result or error."""
        answer: Future[T] = Future()

        def reply() -> None:
            try:
                answer.set_result(question())
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                answer.set_exception(error)

        if self._thread is None:
            raise ServiceError("the services are not running", where=str(self.directory))
        self._requests.put(reply)
        return self.wait(answer)

    def _work(self) -> None:
        """The supervisor's thread: carries out requests, looks after the services, ends them."""
        try:
            while not self._ended.is_set():
                self._look_after()
                starting = any(watched.state is State.STARTING for watched in self._watched)
                self._serve(STARTING_SECONDS if starting else WATCHING_SECONDS)
        except Exception as error:  # noqa: BLE001 - else the services would go on unwatched, unseen
            self._fail(ServiceError(f"the supervisor failed: {error!r}", fix="report this"))
        finally:
            self._end_in_order()

    def _serve(self, seconds: float) -> None:
        try:
            self._requests.get(timeout=seconds)()
        except queue.Empty:
            return

    def _look_after(self) -> None:
        for watched in self._watched:
            watched.step()
        now = time.monotonic()
        if now - self._disk_at >= DISK_SECONDS:
            self._disk_at = now
            if self._failure is None and (full := self._disk.look(now)) is not None:
                self._fail(full)
        if now - self._logs_at >= LOG_SECONDS:
            self._logs_at = now
            for watched in self._watched:
                if watched.child is not None:
                    watched.child.bound_log()

    def _fail(self, error: FloorlogError) -> None:
        self._failure = error
        self._report(Event("supervisor", str(error)))
        self._ended.set()

    def _end_in_order(self) -> None:
        added = [w for w in self._watched if isinstance(w.service, Command)]
        services = [w for w in self._watched if not isinstance(w.service, Command)]
        # Workers together, for each may take seconds to finish its work; then the cache and the
        # stream; the record last.
        postgres = [w for w in services if w.name == "postgres"]
        others = [w for w in services if w.name != "postgres"]
        for group in (added, others, postgres):
            children = [w.child for w in reversed(group) if w.child is not None]
            if group is postgres and isinstance(self._failure, DiskFull):
                # It needs room to end in order. Told so first, or its sessions would fill that too.
                for child in children:
                    child.send(child.program.stops[0].signal_number)
                self._disk.ballast.drop()
            end_children(children, self._hurry)

    def _take_handlers(self) -> None:
        if not self._catch_signals:
            return
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._handlers[number] = signal.signal(number, self._on_signal)

    def _give_back_handlers(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type] # as signal.signal gave it
        self._handlers = {}

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        if self._is_asked_to_end:
            self._hurry.set()
            return
        self._is_asked_to_end = True
        # Not set here: this may have come while the main thread holds the event's lock.
        self._requests.put(self._ended.set)
        if self._interrupt:
            raise KeyboardInterrupt
