"""Jobs: errands that take longer than a request, each in a process of its own, with progress.

The page's own process only hears how far they are: live values and alarms never wait for them. At
most one of a kind and two in all run at a time; each has a time after which it is ended.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import tempfile
import time
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Literal

import msgspec

from floorlog.errors import FloorlogError, Illegal, NotThere, ServiceError
from floorlog.web.access.role import Identity, Roles
from floorlog.web.work.errand import Errand, Failed, Ground, Order, Result, Said, Step

log = logging.getLogger("floorlog.web")

RUNNING_MAX = 2
KEPT_MAX = 50
KEPT_SECONDS = 3_600.0
SPOOL = "floorlog-page-"
LINE_BYTES_MAX = 16 << 20
COMMAND = (sys.executable, "-P", "-m", "floorlog.web.work.runner")
SECONDS_MAX = {
    "verify": 6 * 3_600.0,
    "export": 3_600.0,
    "backtest": 1_800.0,
    "look": 120.0,
    "rehearse": 1_800.0,
    "import": 3 * 3_600.0,
}

State = Literal["running", "done", "failed", "ended"]


@dataclass(slots=True, eq=False)
class Job:
    """One errand on its way; times in µs UTC.

    Attributes:
        job_id: its name.
        kind: of errand.
        roles: who may look at it and end it.
        actor: who asked for it.
        state: running, done, failed, or ended by somebody.
        share: how much is done, 0 to 1.
        says: why it failed.
        result: what came of it.
        file: what it writes, in a directory of its own.
        ended_by: who ended it; empty where nobody did, or the page itself.
    """

    job_id: str
    kind: str
    roles: Roles
    actor: str
    begun: int
    state: State = "running"
    ended: int | None = None
    share: float = 0.0
    says: str = ""
    result: Result | None = None
    file: Path | None = None
    ended_by: str = ""
    task: asyncio.Task[None] | None = field(default=None, repr=False)

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self.state != "running"


Act = Callable[[Job], Awaitable[None]]


class Jobs:
    """All of this process's.

    Args:
        dsn: gives the record's connection string anew for each job, for it may have changed.
        ground: what else errands are told.
        spool: a directory for files; empty: the system's place for what is temporary.
    """

    def __init__(self, dsn: Callable[[], str], ground: Ground, spool: str = "") -> None:
        self.ground = ground
        self._dsn = dsn
        self._spool_in = spool or None
        self._spool: Path | None = None
        self._held: OrderedDict[str, Job] = OrderedDict()

    def spool(self, name: str) -> Path:
        """A new directory for files, readable by this user alone. Raises ServiceError."""
        try:
            if self._spool is None:
                made = tempfile.mkdtemp(prefix=f"{SPOOL}{os.getpid()}-", dir=self._spool_in)
                self._spool = Path(made)
                clear_left(self._spool)
            place = self._spool / name
            place.mkdir(mode=0o700)
        except OSError as error:
            raise ServiceError(
                f"there is no room for files: {error.strerror}",
                where=self._spool_in or tempfile.gettempdir(),
                fix="set FLOORLOG_WEB_SPOOL to a directory that the page may write to",
            ) from error
        return place

    def start(
        self,
        errand: Errand,
        who: Identity,
        roles: Roles,
        before: Act | None = None,
        after: Act | None = None,
        file: Path | None = None,
    ) -> Job:
        """Begin an errand; from within the running loop.

        Args:
            errand: what to do.
            who: asks for it.
            roles: who may look at it.
            before: called first; where that fails, the errand is not begun.
            after: called when it is over, whichever way.
            file: what it writes, in a directory of its own, which goes when it is forgotten.

        Raises:
            Illegal: one of its kind runs, or too many.
        """
        self._forget()
        kind = str(errand.__struct_config__.tag)
        running = [job for job in self._held.values() if not job.is_over]
        if len(running) >= RUNNING_MAX or any(job.kind == kind for job in running):
            named = " and ".join(sorted(job.kind for job in running))
            raise Illegal(
                f"{named} is under way", where="the page", fix="wait for it, or end it first"
            )
        job = Job(secrets.token_hex(8), kind, roles, who.actor, _now_us())
        job.file = file
        self._held[job.job_id] = job
        steps = self._run(job, errand, before or _nothing, after or _nothing)
        job.task = asyncio.get_running_loop().create_task(steps)
        return job

    def find(self, job_id: str, who: Identity) -> Job:
        """A job by its name. Raises NotThere, also for one that is not for this role."""
        self._forget()
        job = self._held.get(job_id)
        if job is None or who.role not in job.roles:
            raise NotThere(
                f"there is no job {job_id!r}", where="the page", fix="begin it anew: see /api/v1"
            )
        return job

    def listed(self, who: Identity, kind: str | None = None) -> list[Job]:
        """Jobs for this role, the newest first."""
        self._forget()
        found = [job for job in self._held.values() if who.role in job.roles]
        return [job for job in reversed(found) if kind is None or job.kind == kind]

    async def end(self, job: Job, by: str = "") -> None:
        """End a job that runs, as this actor; one that is over stays as it is."""
        if job.task is not None and not job.is_over:
            job.ended_by = by
            job.task.cancel()
            await asyncio.gather(job.task, return_exceptions=True)
            self._over(job, "ended", "somebody ended it")  # also where it had not begun

    async def close(self) -> None:
        """End all, and remove their files; the event of each one's end is written then."""
        held = list(self._held.values())
        for job in held:
            await self.end(job)
        # Also of those that were over before: the record is closed after this.
        await asyncio.gather(*(job.task for job in held if job.task), return_exceptions=True)
        if self._spool is not None:
            await asyncio.to_thread(rmtree, self._spool, True)

    def _forget(self) -> None:
        """Let go of what is old or too much."""
        now = _now_us()
        over = [job for job in self._held.values() if job.is_over]
        for number, job in enumerate(over):
            age_s = (now - (job.ended or now)) / 1e6
            if age_s > KEPT_SECONDS or len(over) - number > KEPT_MAX:
                del self._held[job.job_id]
                _clear(job)

    async def _run(self, job: Job, errand: Errand, before: Act, after: Act) -> None:
        try:
            await before(job)
            async with asyncio.timeout(SECONDS_MAX[job.kind]):
                await self._carry_out(job, errand)
        except TimeoutError:
            self._over(job, "failed", f"it took longer than {SECONDS_MAX[job.kind]:.0f} s")
        except asyncio.CancelledError:
            self._over(job, "ended", "somebody ended it")
        except FloorlogError as error:
            self._over(job, "failed", str(error))
        except Exception as error:
            log.exception("the job %s failed", job.kind)
            self._over(job, "failed", f"it failed: {type(error).__name__}: see the page's log")
        if job.state != "done":
            _clear(job)
        try:
            await after(job)
        except Exception:
            log.exception("what comes after the job %s failed", job.kind)

    def _over(self, job: Job, state: State, says: str = "") -> None:
        if not job.is_over:
            job.state, job.says, job.ended = state, says, _now_us()

    async def _carry_out(self, job: Job, errand: Errand) -> None:
        dsn = await asyncio.to_thread(self._dsn)
        order = Order(msgspec.structs.replace(self.ground, dsn=dsn), errand)
        process = await asyncio.create_subprocess_exec(
            *COMMAND, stdin=PIPE, stdout=PIPE, limit=LINE_BYTES_MAX
        )
        try:
            assert process.stdin is not None
            process.stdin.write(msgspec.json.encode(order) + b"\n")
            with contextlib.suppress(ConnectionError):  # it has ended: how, is heard below
                await process.stdin.drain()
            await self._hear(job, process)
        finally:
            await _end(process)

    async def _hear(self, job: Job, process: Process) -> None:
        """Take in what it says, up to its result."""
        assert process.stdout is not None
        while line := await process.stdout.readline():
            said: Said = msgspec.json.decode(line, type=Said)
            match said:
                case Step(share):
                    job.share = share
                case Failed(says):
                    self._over(job, "failed", says)
                case _:
                    job.result, job.share = said, 1.0
                    self._over(job, "done")
        if not job.is_over:
            status = await process.wait()
            self._over(job, "failed", f"its process ended without an answer, with status {status}")


async def _end(process: Process) -> None:
    """End a process, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    await asyncio.shield(process.wait())


def _clear(job: Job) -> None:
    if job.file is not None:
        rmtree(job.file.parent, ignore_errors=True)


def clear_left(own: Path) -> None:
    """Remove what pages that were killed left beside this one's directory."""
    for left in own.parent.glob(f"{SPOOL}*-*"):
        digits = left.name.removeprefix(SPOOL).partition("-")[0]
        with contextlib.suppress(OSError):
            if left == own or not digits.isdecimal() or left.stat().st_uid != os.getuid():
                continue
            if not _lives(int(digits)):
                rmtree(left, ignore_errors=True)


def _lives(pid: int) -> bool:
    """Whether another process has this number; in a container each page has the same one."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def _nothing(job: Job) -> None:
    del job


def _now_us() -> int:
    return time.time_ns() // 1000
