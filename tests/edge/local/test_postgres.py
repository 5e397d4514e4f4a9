"""PostgreSQL: how it is set up, what it keeps, and what bars it."""

import os
import signal
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from floorlog.errors import DataDirectoryError, FloorlogError, PortInUse
from floorlog.local import ports
from floorlog.local.ports import LOOPBACK, Ports, is_free
from floorlog.local.programs import postgres_programs
from floorlog.local.services import Services, write_ports
from floorlog.local.supervisor import Supervisor

pytestmark = pytest.mark.slow  # starts a server

POSTGRES = {"postgres"}


def ask(services: Services, query: str, role: str = "postgres") -> list[tuple]:
    with psycopg.connect(services.postgres_dsn(role), autocommit=True) as connection:
        cursor = connection.execute(query)
        return cursor.fetchall() if cursor.description else []


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> Iterator[Supervisor]:
    """One server for the tests that only ask."""
    with tempfile.TemporaryDirectory(prefix="floorlog-") as name:
        supervisor = Supervisor(Path(name), only=POSTGRES)
        with supervisor:
            yield supervisor


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("lc_collate", "C"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("password_encryption", "scram-sha-256"),
        ("TimeZone", "UTC"),
        ("max_connections", "50"),
        ("shared_buffers", "96MB"),
    ],
)
def test_the_record_s_settings_hold(shared: Supervisor, setting: str, value: str) -> None:
    """The server runs with the settings that durability and the machine's size ask for."""
    found = ask(shared.services, "select datcollate from pg_database where datname = 'floorlog'")
    assert found == [("C",)]
    if setting != "lc_collate":
        assert ask(shared.services, f"show {setting}") == [(value,)]


def test_only_loopback_and_a_password_get_in(shared: Supervisor) -> None:
    """It listens on loopback alone, and refuses a wrong password and none."""
    port = shared.services.postgres.port
    state = subprocess.run(
        ["ss", "-ltnH", f"sport = :{port}"], capture_output=True, text=True, check=True
    )
    assert [line.split()[3] for line in state.stdout.splitlines()] == [f"{LOOPBACK}:{port}"]
    for password in ("wrong", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:{password}@{LOOPBACK}:{port}/floorlog")


def test_secrets_are_for_their_owner_only(shared: Supervisor) -> None:
    """No file with a password can be read by others, none is on a command line or in a log."""
    services = shared.services
    path = services.secret_path("writer")
    secret = shared.directory / "secret"
    for file in (path, secret):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    password = services.postgres.password("postgres")
    assert password not in Path(f"/proc/{services.pids['postgres']}/cmdline").read_text()
    assert password not in services.logs["postgres"].read_text()
    assert password != services.postgres.password("writer")
    assert list((shared.directory / "run").iterdir()) == [shared.directory / "run/postgres.pid"]


def test_roles_get_their_log_in(shared: Supervisor) -> None:
    """A role is created or opened with the password that its connection string holds."""
    services = shared.services
    ask(services, "create role old_one nologin")
    services.postgres.open_roles(["old_one", 'odd "name', "writer"])
    services.postgres.open_roles(["writer"])
    assert ask(services, "select current_user", "writer") == [("writer",)]
    assert ask(services, "select current_user", "old_one") == [("old_one",)]


def test_the_server_runs_as_nobody_special(shared: Supervisor) -> None:
    """Never as root; its log and its files are in the data directory."""
    pid = shared.pid("postgres")
    assert Path(f"/proc/{pid}").stat().st_uid != 0
    assert (shared.directory / "postgres/data/PG_VERSION").stat().st_uid != 0
    assert shared.services.logs["postgres"].is_relative_to(shared.directory)


def test_a_restart_goes_on_where_it_was(place: Path) -> None:
    """Rows and address are the same after an orderly end; both starts take seconds."""
    for attempt in range(2):
        began = time.monotonic()
        with Supervisor(place / "data", only=POSTGRES) as services:
            print(f"start {attempt}: {time.monotonic() - began:.2f} s")
            if attempt == 0:
                ask(services, "create table t as select 7 as n")
                first = services
            assert ask(services, "select n from t") == [(7,)]
    assert services.postgres_dsn() == first.postgres_dsn()
    assert services.pids != first.pids


@pytest.mark.slow
def test_kill_9_of_the_server_brings_it_back_by_itself(place: Path) -> None:
    """Committed rows survive, on the same address, again and again."""
    supervisor = Supervisor(place / "data", only=POSTGRES)
    with supervisor as services:
        ask(services, "create table t (n int)")
        for n in range(3):
            ask(services, f"insert into t values ({n})")
            old = supervisor.kill("postgres")
            assert supervisor.wait_ready("postgres", old, 20) != old
        assert ask(services, "select count(*), sum(n) from t") == [(3, 3)]


@pytest.mark.slow
def test_a_pid_file_with_a_stranger_s_pid_bars_no_start(place: Path) -> None:
    """After a crash the server's pid may be another program's of the same user: it starts."""
    with Supervisor(place / "data", only=POSTGRES) as services:
        pid = services.pids["postgres"]
        uid = Path(f"/proc/{pid}").stat().st_uid
    data = place / "data" / "postgres" / "data"
    with subprocess.Popen(
        ["/bin/sleep", "60"], user=uid if os.geteuid() == 0 else None
    ) as stranger:
        (data / "postmaster.pid").write_text(f"{stranger.pid}\n{data}\n1\n1\n\n\n\n\n")
        os.chown(data / "postmaster.pid", uid, -1)
        with Supervisor(place / "data", only=POSTGRES) as services:
            assert ask(services, "select 1") == [(1,)]
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.slow
def test_half_a_cluster_is_made_anew(place: Path) -> None:
    """A first start that broke off leaves nothing that the next one trips over."""
    fresh = place / "data" / "postgres" / "new"
    fresh.mkdir(parents=True)
    (fresh / "PG_VERSION").write_text("18\n")
    (place / "data").chmod(0o711)
    (place / "data" / "lock").touch()
    with Supervisor(place / "data", only=POSTGRES) as services:
        assert ask(services, "select 1") == [(1,)]


@pytest.mark.slow
def test_another_installation_can_be_used(place: Path) -> None:
    """A given bin directory is run, here PostgreSQL 16, and its data stay with its version."""
    other = postgres_programs(None).parents[1] / "pginstall" / "bin"
    with Supervisor(place / "data", only=POSTGRES, postgres_programs=other) as services:
        assert ask(services, "show server_version")[0][0].startswith("16.")
        assert ask(services, "show data_checksums") == [("on",)]
    with (
        pytest.raises(
            DataDirectoryError, match=r"written by PostgreSQL 16, the server is 18 - use"
        ),
        Supervisor(place / "data", only=POSTGRES),
    ):
        pass


@pytest.mark.slow
def test_what_bars_the_start_is_one_line(place: Path) -> None:
    """A taken port, a lost secret, a foreign directory: each is one line."""
    with socket.socket() as listener:
        port = Ports({}, {}).choose("x")
        listener.bind((LOOPBACK, port))
        listener.listen()
        start = Supervisor(place / "a", only=POSTGRES, ports={"postgres": port})
        with pytest.raises(PortInUse, match=f"port {port}, asked for postgres, is in use"):
            start.start()
    with Supervisor(place / "a", only=POSTGRES):
        pass
    (place / "a" / "secret").write_text("0" * 64)
    with pytest.raises(FloorlogError, match="refuses the password kept for it - put back") as error:
        Supervisor(place / "a", only=POSTGRES).start()
    assert "\n" not in str(error.value)
    (place / "a" / "secret").unlink()
    with pytest.raises(FloorlogError, match=r"a/secret: the secret .* cannot be read"):
        Supervisor(place / "a", only=POSTGRES).start()
    (place / "a" / "postgres" / "data" / "PG_VERSION").unlink()
    (place / "a" / "secret").write_text("0" * 64)
    with pytest.raises(FloorlogError, match="this is no PostgreSQL data directory"):
        Supervisor(place / "a", only=POSTGRES).start()


@pytest.mark.slow
def test_a_remembered_port_that_is_taken_changes_nothing_else(place: Path) -> None:
    """When another program has the port of the last start, a new one is found."""
    with Supervisor(place / "data", only=POSTGRES) as services:
        ask(services, "create table t as select 7 as n")
        port = services.postgres.port
    with (
        socket.create_server((LOOPBACK, port)),
        Supervisor(place / "data", only=POSTGRES) as services,
    ):
        assert services.postgres.port != port
        assert ask(services, "select n from t") == [(7,)]


@pytest.mark.slow
def test_the_server_ends_though_sessions_are_open(place: Path) -> None:
    """An idle transaction does not delay the end."""
    supervisor = Supervisor(place / "data", only=POSTGRES)
    services = supervisor.start()
    with psycopg.connect(services.postgres_dsn()) as connection:
        connection.execute("create table t (n int)")
        began = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - began < 5
        with pytest.raises(psycopg.OperationalError):
            connection.execute("select 1")
        connection.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.slow
def test_a_program_that_is_quicker_on_the_port_costs_one_more_try(place: Path, monkeypatch) -> None:
    """A port that was free when it was chosen and taken when the server came is given up."""
    with socket.socket() as listener:
        port = Ports({}, {}).choose("x")
        listener.bind((LOOPBACK, port))
        listener.listen()
        (place / "data").mkdir()
        write_ports(place / "data", {"postgres": port})
        answers = iter([True])
        monkeypatch.setattr(ports, "is_free", lambda number: next(answers, is_free(number)))
        (place / "data" / "lock").touch()
        supervisor = Supervisor(place / "data", only=POSTGRES)
        with supervisor as services:
            assert services.postgres.port != port
            assert ask(services, "select 1") == [(1,)]
        assert [e for e in supervisor.events if "could not create any TCP" in e.text]
