"""What `floorlog up` runs: services, record, stream, workers, keeper, demo plant, page."""

import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

from floorlog import config
from floorlog.errors import PortInUse
from floorlog.local.child import Program
from floorlog.local.command import Command
from floorlog.local.plant import Plant
from floorlog.local.ports import is_free
from floorlog.local.services import REGION, STREAM_NAME, Services
from floorlog.local.supervisor import Supervisor
from floorlog.local.watch import Event
from floorlog.source.sender import Sender
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import KEEPER, LOGIN_ROLES, OPERATOR, WRITER, migrate

SHARDS = 2
WORKERS = 2
PAGE_PORT = 8_080


def open_record(services: Services) -> list[str]:
    """Bring the record of local services to this release; returns the migrations applied."""
    address = services.postgres
    passwords = {role: address.password(role) for role in LOGIN_ROLES} if address else {}
    return migrate(services.postgres_dsn(), passwords=passwords)


def open_stream(services: Services, name: str = STREAM_NAME, shards: int = SHARDS) -> None:
    """Create the stream if it is not there, and wait until it takes records."""
    config.adopt(services.environment(WRITER, name))
    sender = Sender(name, REGION)
    try:
        sender.create(shards)
    finally:
        sender.close()


def command(
    name: str, arguments: Sequence[str], environment: Mapping[str, str], ready: str = ""
) -> Command:
    """One of Floorlog's own commands as a program; `ready` is what it says when it is."""
    argv = [sys.executable, "-m", "floorlog", *arguments]
    program = Program(name, argv, environment=config.inherited(environment))
    return Command(program, (lambda said: ready in said) if ready else None)


def add_workers(
    supervisor: Supervisor, services: Services, count: int = WORKERS, stream: str = STREAM_NAME
) -> list[Future[float]]:
    """Start workers on the stream."""
    environment = services.environment(WRITER, stream)
    return [
        supervisor.add(command(f"worker-{n}", ["worker"], environment)) for n in range(1, count + 1)
    ]


def up(
    directory: Path, *, with_plant: bool, page_port: int | None, say: Callable[[str], None]
) -> None:
    """Run everything until Ctrl-C.

    Args:
        directory: the data directory.
        with_plant: also the demo plant, and its catalogue in a new record.
        page_port: of the page; None takes 8080 or, where that is in use, a free one.
        say: told each line that a person shall see.

    Raises:
        FloorlogError: something bars the start, or going on.
        KeyboardInterrupt: Ctrl-C came while starting.
    """

    def report(event: Event) -> None:
        say(str(event))

    port = page_port_of(page_port)
    supervisor = Supervisor(directory, report=report, catch_signals=True)
    with supervisor as services:
        applied = open_record(services)
        if with_plant and applied:
            put_catalogue(services.postgres_dsn(OPERATOR), Plant().catalogue().encode())
        open_stream(services)
        add_workers(supervisor, services)
        supervisor.add(command("keeper", ["keeper"], services.environment(KEEPER)))
        if with_plant:
            plant = command("plant", ["send", "--plant"], services.environment(WRITER))
            supervisor.add(plant)
        page = add_page(supervisor, services, port)
        say(
            f"Floorlog runs{page}; stream {STREAM_NAME} at {services.kinesis_endpoint}, "
            f"data and logs in {services.directory}; Ctrl-C ends it"
        )
        supervisor.run()
    say(f"ended; the data stays in {directory}")


def page_port_of(asked: int | None) -> int:
    """The page's port: the one that was asked for, else the usual, else (0) any that is free.

    Raises:
        PortInUse: the port that was asked for belongs to another program.
    """
    if asked is None:
        return PAGE_PORT if is_free(PAGE_PORT) else 0
    if asked and not is_free(asked):
        raise PortInUse(
            f"port {asked} is in use by another program",
            where="page",
            fix="choose another with --port or FLOORLOG_WEB_PORT; 0 takes a free one",
        )
    return asked


def add_page(supervisor: Supervisor, services: Services, port: int) -> str:
    """Start the page where this installation has it; returns a word on where it is."""
    if importlib.util.find_spec("tornado") is None:
        return " without its page (pip install 'floorlog[web]')"
    arguments = ["web", "--data", str(services.directory), "--port", str(port)]
    log = services.directory / "log" / "web.log"
    begin = log.stat().st_size if log.exists() else 0
    page = command("web", arguments, services.environment(OPERATOR), "http://")
    supervisor.wait(supervisor.add(page))
    said = log.read_bytes()[begin:].decode("utf-8", "replace")
    address = [word for word in said.split() if word.startswith("http://")][-1]
    return f": {address}"
