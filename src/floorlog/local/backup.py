"""Backups of a local PostgreSQL: a base backup, its write-ahead log as it is written, a restore."""

import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from floorlog.errors import InputError, ServiceError
from floorlog.local.child import leashed
from floorlog.local.place import Account, private_directory
from floorlog.local.ports import LOOPBACK
from floorlog.local.postgres import SERVER_ENVIRONMENT, SUPERUSER, PostgresAddress
from floorlog.local.programs import postgres_programs
from floorlog.local.service import last_line

RECEIVER_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Backups:
    """Takes and restores backups of one server.

    Attributes:
        address: of the server that is backed up.
        account: who runs servers here; None is the present user.
    """

    address: PostgresAddress
    account: Account | None

    def start_receiver(self, directory: Path) -> "Receiver":
        """Begin to keep the write-ahead log in a directory, as a plant's archive does."""
        private_directory(directory, self.account)
        return Receiver(self._start("pg_receivewal", "--no-loop", "-D", str(directory)), directory)

    def take(self, directory: Path, seconds_max: float) -> None:
        """Take a base backup into a directory that is not there yet. Raises ServiceError."""
        # Not by a stream: for that it forks, and the child outlives a parent that is killed.
        done = self._start(
            "pg_basebackup", "-D", str(directory), "--checkpoint=fast", "--wal-method=fetch"
        )
        try:
            said, _ = done.communicate(timeout=seconds_max)
        except subprocess.TimeoutExpired as error:
            raise ServiceError(
                f"the backup was not done within {seconds_max:.0f} s",
                where="pg_basebackup",
                fix="give it more with --limit",
            ) from error
        finally:
            done.kill()
            done.wait()
        if done.returncode:
            raise ServiceError(
                f"the backup failed: {last_line(said, ('error:', 'FATAL:'))}",
                where="pg_basebackup",
                fix="mend what it names",
            )

    def adopt(self, backup: Path, directory: Path) -> None:
        """Copy a backup that somebody took before, such as last night's. Raises InputError."""
        if not (backup / "PG_VERSION").is_file() or not (backup / "backup_label").is_file():
            raise InputError(
                "that is no base backup: it has no PG_VERSION or no backup_label",
                where=str(backup),
                fix="name the directory that pg_basebackup wrote",
            )
        shutil.copytree(backup, directory, symlinks=True)
        if self.account is not None:
            for path in (directory, *directory.rglob("*")):
                shutil.chown(path, self.account.uid, self.account.gid)
        directory.chmod(0o700)

    def make_ready(self, directory: Path, wal: Path | None) -> None:
        """Have a server that starts on a base backup replay it, and the kept log, to their end."""
        if wal is None:
            return
        source = str(wal).replace("%", "%%").replace("'", "'\\''")
        command = f"cp '{source}/%f' '%p'".replace("'", "''")
        automatic = directory / "postgresql.auto.conf"
        with automatic.open("a") as file:
            file.write(f"\nrestore_command = '{command}'\nrecovery_target_timeline = 'latest'\n")
        (directory / "recovery.signal").touch(mode=0o600)
        if self.account is not None:
            shutil.chown(directory / "recovery.signal", self.account.uid, self.account.gid)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[str]:
        path = postgres_programs(self.account) / program
        reach = ["-h", LOOPBACK, "-p", str(self.address.port), "-U", SUPERUSER, "--no-password"]
        return subprocess.Popen(
            leashed([str(path), *reach, *arguments], self.account, signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**SERVER_ENVIRONMENT, "PGPASSWORD": self.address.password(SUPERUSER)},
        )


class Receiver:
    """A process that keeps the write-ahead log, until it is stopped."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self._process = process
        self._directory = directory

    def wait_begun(self) -> None:
        """Wait until it has begun. Raises ServiceError."""
        deadline = time.monotonic() + RECEIVER_SECONDS_MAX
        while not any(self._directory.iterdir()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._process.communicate()[0] if self._process.poll() is not None else ""
                raise ServiceError(
                    f"the write-ahead log cannot be kept: {last_line(said, ('error:', 'FATAL:'))}",
                    where="pg_receivewal",
                    fix="mend what it names",
                )
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order; the file that it was writing counts like the others then."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        try:
            self._process.communicate(timeout=RECEIVER_SECONDS_MAX)
        finally:
            self._process.kill()
            self._process.wait()
        for partial in self._directory.glob("*.partial"):
            partial.rename(partial.with_suffix(""))
