"""The command line: a command imports what it needs when it runs, and fails with one line."""

import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from floorlog.cli import (
    act,
    connect,
    deploy,
    detection,
    readings,
    reconcile,
    record,
    recovery,
    reject,
    retention,
    upkeep,
    user,
)
from floorlog.cli.place import (
    DATA,
    FILE,
    PORT,
    directory_of,
    load,
    local_services,
    open_log,
    page_port,
    settings_of,
)
from floorlog.cli.table import layout, mappings_of, say
from floorlog.errors import FloorlogError, InputError, SettingError

if TYPE_CHECKING:
    from floorlog.local.trial import Progress, Result


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="floorlog")
def floorlog() -> None:
    """Turn a factory's sensor stream into a record: every reading once, judged as it arrives."""


@floorlog.command()
@DATA
@PORT
@click.option("--no-plant", is_flag=True, help="Without the demo plant.")
def up(data: Path | None, port: int | None, *, no_plant: bool) -> None:
    """Run everything on this machine: services, demo plant, two workers, the page."""
    from floorlog.local.up import up as run

    run(
        directory_of(data),
        with_plant=not no_plant,
        page_port=page_port(port),
        say=lambda line: print(line, flush=True),
    )


@floorlog.command()
@DATA
def worker(data: Path | None) -> None:
    """Read the stream into the record until SIGTERM or Ctrl-C."""
    from floorlog.cache import Last, LastValues, endpoint_of
    from floorlog.source.secret import Login
    from floorlog.store.reader import Reader
    from floorlog.worker import run

    settings = settings_of(data, "floorlog_writer")
    open_log(settings)
    endpoint = endpoint_of(settings)
    reader = Reader(Login(settings))

    def last_values() -> list[Last]:
        """What the record holds, for a cache that lost it."""
        found = []
        for row in reader.last_values():
            value = row.text if row.value is None else row.value
            if value is not None:
                seen_s = row.recorded_at // 1_000_000
                found.append(Last(row.ts, seen_s, row.quality, value, row.device, row.metric))
        return found

    run(settings, LastValues(endpoint, last_values))


@floorlog.command()
@DATA
def keeper(data: Path | None) -> None:
    """Give entries their place in the log, sign and anchor it, until SIGTERM or Ctrl-C."""
    from floorlog.keeper import run

    settings = settings_of(data, "floorlog_keeper", "db_secret")
    open_log(settings)
    run(settings)


@floorlog.command()
@DATA
@click.option("--no-post", is_flag=True, help="Only what the last release's workers bear.")
def migrate(data: Path | None, *, no_post: bool) -> None:
    """Bring the database to this release."""
    from floorlog.source.secret import admin_dsn, database_dsn, password, role_secrets
    from floorlog.store.migrate import LOGIN_ROLES
    from floorlog.store.migrate import migrate as run

    local = local_services(data)
    if local is not None and local.postgres is not None:
        dsn = local.postgres_dsn()
        passwords = {role: local.postgres.password(role) for role in LOGIN_ROLES}
    else:
        settings = load("db_secret")
        open_log(settings)
        dsn = admin_dsn(settings) if settings.admin_secret else database_dsn(settings)
        passwords = {role: password(settings, at) for role, at in role_secrets(settings).items()}
    applied = run(dsn, passwords=passwords, with_post=not no_post)
    for name in applied:
        print(f"applied {name}")
    if not applied:
        print("nothing to do: the database is at this release")


@floorlog.command()
@DATA
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def status(data: Path | None, *, as_json: bool) -> None:
    """Say what was received, stored and rejected, and how far each shard is behind."""
    from floorlog.source.secret import database_dsn
    from floorlog.status import as_object, as_text
    from floorlog.store.reader import Reader

    reader = Reader(database_dsn(settings_of(data, "floorlog_reader", "db_secret")))
    try:
        found = reader.status()
    finally:
        reader.close()
    if as_json:
        import msgspec

        print(msgspec.json.encode(as_object(found)).decode())
    else:
        print(as_text(found))


@floorlog.command()
@click.argument("file", type=FILE, required=False)
@DATA
@click.option("--plant", is_flag=True, help="Send what the demo plant says, second by second.")
@click.option("--seconds", type=click.IntRange(min=1), help="How long the plant; else without end.")
@layout
def send(
    file: Path | None, data: Path | None, *, plant: bool, seconds: int | None, **wishes: object
) -> None:
    """Send a CSV file, or the demo plant's readings, into any stream."""
    import signal
    import threading

    from floorlog.source.replay import Replay
    from floorlog.source.sender import Sender

    if plant == (file is not None):
        raise InputError(
            "what to send is not clear", where="send", fix="name one CSV file, or say --plant"
        )
    replay = None if file is None else Replay(mappings_of([file], wishes)[0])
    settings = settings_of(data, "floorlog_writer", "stream")
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    sender = Sender(settings.stream, settings.region)
    try:
        if replay is None:
            from floorlog.local.plant import Plant, run

            begun = Plant(begin_s=int(time.time()))
            sent = run(sender, begun, stopping.wait, seconds)
        else:
            from floorlog.source.pack import pack

            sent = 0
            for entry, readings in pack(replay):
                if stopping.is_set():
                    break
                sender.put([entry])
                sent += readings
            say(replay.warnings())
    finally:
        sender.close()
    print(f"sent {sent} readings into {settings.stream}")


@floorlog.command("try")
@click.argument("files", type=FILE, nargs=-1, required=True)
@DATA
@PORT
@click.option("--once", is_flag=True, help="End when all is through, without the page.")
@click.option("--json", "as_json", is_flag=True, help="Report as one JSON object.")
@layout
def try_(
    files: tuple[Path, ...],
    data: Path | None,
    port: int | None,
    *,
    once: bool,
    as_json: bool,
    **wishes: object,
) -> None:
    """Put CSV files through the real stream and record, and say what was found in all.

    Where no column names the device, each file is one of its own. Without --data everything is gone
    afterwards.
    """
    from floorlog.local.supervisor import Supervisor
    from floorlog.local.trial import Trial, place, shards_for
    from floorlog.local.up import page_port_of
    from floorlog.source.convoy import Convoy

    asked = page_port(port)
    convoy = Convoy(mappings_of(files, wishes))
    free = 0 if once else page_port_of(asked)
    with place(data) as directory:
        supervisor = Supervisor(directory, catch_signals=True, interrupt=True)
        with supervisor as services:
            trial = Trial(supervisor, services, shards_for(*files))
            try:
                with _bar() as tell:
                    result = trial.replay(
                        convoy.records(), lambda p: tell(convoy.read_bytes, convoy.size_bytes, p)
                    )
            finally:
                trial.close()
            say(convoy.warnings())
            left = {"skipped": convoy.skipped, "empty": convoy.empty}
            print(_report(result, left, as_json=as_json), flush=True)
            if not once:
                print(f"the page is there until Ctrl-C{trial.page(free)}", file=sys.stderr)
                with suppress(KeyboardInterrupt):
                    supervisor.run()


@floorlog.command()
@DATA
@PORT
def web(data: Path | None, port: int | None) -> None:
    """Show the page on loopback until SIGTERM or Ctrl-C."""
    from floorlog.web.app import serve

    settings = settings_of(data, "floorlog_operator", "redis", "db_secret")
    open_log(settings)
    serve(settings, port=port, data=data, ready=lambda address: print(address, flush=True))


@floorlog.command()
@DATA
def doctor(data: Path | None) -> None:
    """Look at each thing that is needed; say what was found, and how to mend the rest."""
    from floorlog import config
    from floorlog.local import doctor as room
    from floorlog.local.place import is_locked

    directory = directory_of(data)
    found = list(room.look_at_machine(directory))
    given = config.inherited()
    is_set = any(given.get(config.variable(name)) for name in ("stream", "db_secret"))
    if is_locked(directory) or (is_set and data is None):
        try:
            found += room.look_at_settings(settings_of(data, "floorlog_writer"))
        except SettingError as error:
            found.append(room.Found("settings", is_well=False, note=str(error)))
    for each in found:
        print(each)
    if not all(each.is_well for each in found):
        sys.exit(1)


@contextmanager
def _bar() -> "Iterator[Callable[[int, int, Progress], None]]":
    """A progress bar on stderr: how much of the file has gone through to the record."""
    with click.progressbar(length=1_000, label="replay", file=sys.stderr) as bar:

        def tell(read_bytes: int, size_bytes: int, progress: "Progress") -> None:
            recorded = min(1.0, progress.received / progress.sent) if progress.sent else 1.0
            done = int(1_000 * recorded * read_bytes / max(1, size_bytes))
            bar.update(max(0, done - bar.pos))

        yield tell


def _report(result: "Result", left: dict[str, int], *, as_json: bool) -> str:
    from dataclasses import asdict

    import msgspec

    found = {**asdict(result), **left}
    if as_json:
        return msgspec.json.encode(found).decode()
    seconds = found.pop("seconds")
    lines = [f"{name:12}{count:>12}" for name, count in found.items()]
    return "\n".join([*lines, f"in {seconds:.1f} s"])


COMMANDS = (
    connect.dsn,
    record.verify,
    record.prove,
    record.export,
    record.break_,
    act.correct,
    user.user,
    act.person,
    reconcile.reconcile,
    reject.reject,
    retention.retention,
    readings.readings,
    retention.hold,
    detection.accept,
    detection.exclude,
    detection.backtest,
    deploy.deploy,
    *recovery.COMMANDS,
    upkeep.health,
    upkeep.rotate,
)
for one in COMMANDS:
    floorlog.add_command(one)


def main() -> None:
    """Run the command line; the program `floorlog`."""
    try:
        floorlog.main(prog_name="floorlog", standalone_mode=False)
    except click.exceptions.Exit as ending:
        sys.exit(ending.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except FloorlogError as error:
        _end(" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - the outermost frame: it ends with 1, the traceback kept in a file
        _end(f"unexpected: {error!r:.200} - the whole story is in {_write_log()}")


def _end(line: str) -> NoReturn:
    print(f"floorlog: {line}", file=sys.stderr)
    sys.exit(1)


def _write_log() -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="floorlog-error-", suffix=".log", delete=False
    ) as file:
        traceback.print_exc(file=file)
    return file.name
