"""The backup drill: a restore carried out for real, beside the record that goes on meanwhile.

A backup is restored into a server of its own, verified against the real anchors, continued from
the real stream, and verified again. The real anchors, key, database and cache are only read: forks
and notes of the drill are signed by a key of its own, so that nothing of it could pass for real.
"""

import secrets
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from floorlog import config
from floorlog.config import Settings
from floorlog.errors import FloorlogError, InputError, ServiceError
from floorlog.keeper import Keeper
from floorlog.local.backup import Backups
from floorlog.local.birth import end_leftovers
from floorlog.local.disk import free_bytes
from floorlog.local.drill_report import DrillReport
from floorlog.local.drill_rows import Stand, as_far, first_part, one, readings, stands
from floorlog.local.place import PASSAGE_MODE, DirectoryLock, private_directory, server_account
from floorlog.local.services import SECRET_NAME, Services
from floorlog.local.supervisor import Supervisor
from floorlog.local.up import command
from floorlog.record.check.verify import verify
from floorlog.record.log.anchor import Anchor, Directory, Signer, open_anchor
from floorlog.record.log.overlay import Overlay
from floorlog.record.log.recover import recover
from floorlog.record.verifier import time_text
from floorlog.store.migrate import KEEPER, READER, WRITER

FOLDER = "drill"
LOCK = "lock"
WORKER = "drill-worker"
NOTE_SECONDS = 2.0
POLL_SECONDS = 0.2
STOP_SECONDS_MAX = 20.0
IDLE_SECONDS = 10.0  # after so long without a leaf the running record does not grow
NEWER_SECONDS_MAX = 90.0  # for a keeper that anchors once a minute
WRONG_MAX = 20
READINGS_MAX = 1_000_000  # compared one by one: some 300 MB
ROOM_TIMES = 1.2  # free disk that a copy of the server needs, in its size
ROOM_BYTES = 300 << 20  # … and the log that it writes


@dataclass(frozen=True)
class Asked:
    """What a drill shall do.

    Attributes:
        wal_seconds: for how long the log is kept after the backup.
        limit_seconds: for the whole drill.
        backup: a base backup that is there already; None takes one.
    """

    wal_seconds: float = 5.0
    limit_seconds: float = 900.0
    backup: Path | None = None


class Drill:
    """One drill on running local services.

    Args:
        live: the services.
        settings: says where the anchors are.
        asked: what to do.
        say: told each step.
    """

    def __init__(
        self, live: Services, settings: Settings, asked: Asked, say: Callable[[str], None]
    ) -> None:
        assert live.postgres is not None, "a drill is on services with PostgreSQL"
        self._live = live
        self._asked = asked
        self._say = say
        self._real = open_anchor(settings.anchor, settings)
        self._place = live.directory / FOLDER
        self._account = server_account(live.directory)
        self._backups = Backups(live.postgres, self._account)
        self._deadline = time.monotonic() + asked.limit_seconds
        self._signer = Signer(f"floorlog-drill-{secrets.token_hex(4)}", secrets.token_bytes(32))
        self._restored: dict[str, Stand] = {}
        self._restored_us = 0
        self.report = DrillReport(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")

    def run(self) -> DrillReport:
        """Carry it out; what goes wrong on the way is in the report.

        Raises:
            InputError: another drill is under way, there is too little room, or no such backup.
            KeyboardInterrupt: Ctrl-C; nothing is left behind then.
        """
        _make_place(self._place)
        lock = DirectoryLock(self._place)
        lock.take()
        try:
            clear(self._place)
            self._check_room()
            try:
                self._carry_out()
            except InputError:
                raise
            except FloorlogError as error:
                self.report.wrong.append(str(error))
            except psycopg.Error as error:
                self.report.wrong.append(f"a database: {str(error).strip().splitlines()[0]}")
            except OSError as error:
                self.report.wrong.append(f"{error.filename or 'a file'}: {error.strerror or error}")
            self.report.ok = not self.report.wrong
        finally:
            clear(self._place)
            lock.release()
        return self.report

    def _carry_out(self) -> None:
        data = self._place / "data"
        _make_place(data)
        (data / LOCK).touch(mode=0o600)  # so that it passes for a data directory
        shutil.copy(self._live.directory / SECRET_NAME, data / SECRET_NAME)
        servers = private_directory(data / "postgres", self._account)
        lost_us = self._take_backup(servers / "data", servers / "wal")
        began = time.monotonic()
        is_main = threading.current_thread() is threading.main_thread()
        supervisor = Supervisor(
            data, only={"postgres", "valkey"}, catch_signals=is_main, interrupt=is_main
        )
        with self._step("restore"):
            scratch = supervisor.start()
        try:
            self._go_on(supervisor, scratch, lost_us, began)
        finally:
            supervisor.stop()

    def _take_backup(self, server: Path, wal: Path) -> int:
        """Bring a backup to where the server will start; the time of the loss, µs since 1970."""
        live, backup = self._live.postgres_dsn(), self._asked.backup
        self.report.backup_bytes = one(live, "size_bytes")
        with self._step("backup"):
            if backup is not None:
                self.report.backup = str(backup)
                self._backups.adopt(backup, server)
            else:
                kept = f"{self._asked.wal_seconds:.0f} s of write-ahead log after it"
                self.report.backup = f"pg_basebackup, and {kept}"
                receiver = self._backups.start_receiver(wal)
                try:
                    receiver.wait_begun()
                    self._backups.take(server, self._left())
                    time.sleep(min(self._asked.wal_seconds, self._left()))
                finally:
                    receiver.stop()
                self._backups.make_ready(server, wal)
        lost: int = one(live, "clock")
        with self._step("await a newer note"):
            self._await_note(one(live, "log_size"))
        return lost

    def _await_note(self, size: int) -> None:
        """Wait until something newer than the backup is anchored, so that a fork is needed.

        A record that does not grow has none: then it is as if nothing had been lost.
        """
        live = self._live.postgres_dsn()
        began = time.monotonic()
        while max(self._real.sizes(), default=0) <= size:
            waited_s = time.monotonic() - began
            is_idle = waited_s > IDLE_SECONDS and one(live, "log_size") == size
            if is_idle or waited_s > NEWER_SECONDS_MAX:
                return
            time.sleep(min(1.0, self._left()))

    def _go_on(self, supervisor: Supervisor, scratch: Services, lost_us: int, began: float) -> None:
        """Verify what was restored, declare it, read the stream from there, and verify again."""
        report, dsn = self.report, scratch.postgres_dsn()
        with self._step("replay"):
            self._wait("the restored server takes no writes", lambda: not one(dsn, "is_restoring"))
        self._restored, self._restored_us = stands(dsn), one(dsn, "last_stored")
        report.recovery_point = time_text(self._restored_us)
        report.recovery_point_seconds = max(0.0, (lost_us - self._restored_us) / 1e6)
        anchor = Overlay(self._real, Directory(self._place / "anchors"))
        anchor.put_key(str(self._signer.key))
        with self._step("declare"):
            fork = recover(
                scratch.postgres_dsn(KEEPER), anchor, self._signer, reason="drill", actor="drill",
                now=datetime.now(UTC), keys=self._keys,
            )  # fmt: skip
        if fork is not None:
            report.fork = {"size": fork.size, "lost_size": fork.lost_size}
        with self._step("verify"):
            report.restored = self._verify(scratch, anchor, "the restored record")
        with self._step("read again"):
            due, again = self._read_again(supervisor, scratch, anchor)
        report.recovery_seconds = time.monotonic() - began
        with self._step("verify again"):
            report.verified = self._verify(scratch, anchor, "the record after reading on")
        report.reread = report.verified["readings"] - report.restored["readings"]
        if fork is not None and not report.verified["forks"]:
            report.wrong.append("verification does not tell of the declared fork")
        with self._step("compare"):
            self._compare(scratch, due, again)

    def _read_again(
        self, supervisor: Supervisor, scratch: Services, anchor: Anchor
    ) -> tuple[dict[str, Stand], dict[str, Stand]]:
        """Read the stream to where the running record is now: its stand, and the one reached."""
        live, here = self._live.postgres_dsn(), scratch.postgres_dsn()
        environment = {
            **self._live.environment(WRITER),
            **scratch.environment(WRITER),
            config.variable("worker_id"): "drill",
        }
        due = stands(live)
        supervisor.wait(supervisor.add(command(WORKER, ["worker"], environment)))
        keeper = Keeper(
            scratch.postgres_dsn(KEEPER), anchor, self._signer, NOTE_SECONDS, keys=self._real.key()
        )
        failed: list[FloorlogError] = []
        thread = threading.Thread(target=_keep, args=(keeper, failed), name="drill-keeper")
        thread.start()

        def has_read() -> bool:
            there = stands(here)
            return bool(failed) or all(
                shard in there and there[shard].is_past(stand) for shard, stand in due.items()
            )

        try:
            self._wait("the stream was not read to where the running record is", has_read)
        finally:
            _end_worker(supervisor)
            keeper.stopping.set()
            thread.join()
        if failed:
            raise failed[0]
        return due, stands(here)

    def _compare(self, scratch: Services, due: dict[str, Stand], again: dict[str, Stand]) -> None:
        """Every reading that the running record stored since is there again, and none besides."""
        live, here, since_us = self._live.postgres_dsn(), scratch.postgres_dsn(), self._restored_us
        report = self.report

        def is_past() -> bool:
            ahead = stands(live)
            return all(ahead[shard].is_past(stand) for shard, stand in again.items())

        self._wait("the running workers do not go on", is_past)
        # Bounded: of a longer time the first part, cut at the same places of the stream.
        shard_max = READINGS_MAX // max(1, len(due))
        due = first_part(live, self._restored, due, shard_max)
        again = as_far(here, self._restored, again, due)
        beyond = as_far(live, self._restored, stands(live), again)
        wanted = readings(live, self._restored, due, since_us)
        found = readings(here, self._restored, again, since_us)
        whole = readings(live, self._restored, beyond, since_us)
        report.compared = sum(wanted.values())
        report.missing = sum((wanted - found).values())
        report.doubled = sum((found - whole).values())
        for count, what in ((report.missing, "missing"), (report.doubled, "too many")):
            if count:
                report.wrong.append(f"{count} readings are {what} after reading again")

    @property
    def _keys(self) -> str:
        """Who may have signed: the record's key, and the drill's own."""
        return f"{self._real.key()} {self._signer.key}"

    def _verify(self, scratch: Services, anchor: Anchor, what: str) -> dict[str, Any]:
        found = verify(scratch.postgres_dsn(READER), anchor, self._keys)
        for wrong in found.wrong[:WRONG_MAX]:
            self.report.wrong.append(f"{what}: {wrong.where}: {wrong.says}")
        whole = found.as_object()
        kept = ("ok", "readings", "entries", "wrong_count", "unanchored_seconds", "forks")
        return {name: whole[name] for name in kept}

    def _check_room(self) -> None:
        needed = ROOM_TIMES * one(self._live.postgres_dsn(), "size_bytes") + ROOM_BYTES
        if (free := free_bytes(self._place)) < needed:
            raise InputError(
                f"a copy of the server needs {needed / 1e9:.1f} GB, and {free / 1e9:.1f} are free",
                where=str(self._place),
                fix="free some room on this disk",
            )

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        self._say(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.report.steps[name] = round(time.monotonic() - began, 2)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise ServiceError(
                f"the drill was not through after {self._asked.limit_seconds:.0f} s",
                where="drill",
                fix="give it more with --limit",
            )
        return left

    def _wait(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait for something, no longer than the drill may take."""
        while not holds():
            try:
                time.sleep(min(POLL_SECONDS, self._left()))
            except ServiceError as error:
                raise ServiceError(f"{what}: {error.what}", where="drill", fix=error.fix) from error


def clear(place: Path) -> None:
    """End what an earlier drill left running, and remove what it left."""
    data = place / "data"
    if (data / "run").is_dir():
        end_leftovers(data / "run")
    for left in (data, place / "anchors"):
        shutil.rmtree(left, ignore_errors=True)


def _make_place(path: Path) -> None:
    path.mkdir(exist_ok=True)
    path.chmod(PASSAGE_MODE)


def _keep(keeper: Keeper, failed: list[FloorlogError]) -> None:
    try:
        keeper.run()
    except FloorlogError as error:
        failed.append(error)


def _end_worker(supervisor: Supervisor) -> None:
    """End the worker, with what it has read stored."""
    if pid := supervisor.pid(WORKER):
        supervisor.kill(WORKER, signal.SIGTERM, hold=True)
        deadline = time.monotonic() + STOP_SECONDS_MAX
        with suppress(FloorlogError):
            while supervisor.pid(WORKER) == pid and time.monotonic() < deadline:
                time.sleep(POLL_SECONDS / 2)
