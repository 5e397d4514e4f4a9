"""Files that somebody sends in pieces, kept on disk until they are taken in or forgotten."""

import asyncio
import hashlib
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path
from shutil import rmtree
from typing import Any

from floorlog.errors import Illegal, InputError, NotThere
from floorlog.web.access.role import Identity
from floorlog.web.work.jobs import Job, Jobs

FILES_MAX = 4
FILE_BYTES_MAX = 256 << 20
PIECE_BYTES_MAX = 2 << 20
IDLE_SECONDS_MAX = 3_600.0


@dataclass(slots=True, eq=False)
class Upload:
    """One file on its way or here.

    Attributes:
        upload_id: its name here.
        name: as its owner calls it.
        size_bytes: what it shall have.
        actor: whose it is.
        path: where it lies.
        received_bytes: what is here.
        readers: jobs that were begun on it.
        lock: one piece at a time.
    """

    upload_id: str
    name: str
    size_bytes: int
    actor: str
    path: Path
    received_bytes: int = 0
    touched_s: float = field(default_factory=time.monotonic)
    readers: list[Job] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _hash: Any = field(default_factory=hashlib.sha256)

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self.received_bytes == self.size_bytes

    @property
    def is_read(self) -> bool:
        """Whether a job is reading it."""
        return any(not job.is_over for job in self.readers)

    @property
    def sha256(self) -> str:
        """Of what is here, in hex."""
        return str(self._hash.hexdigest())

    def append(self, at: int, data: bytes) -> None:
        """Write the next piece. Raises InputError, Illegal."""
        if at != self.received_bytes:
            raise Illegal(
                f"{self.received_bytes} bytes are here, not {at}",
                where=self.name,
                fix="go on from where it stands",
            )
        if at + len(data) > self.size_bytes:
            raise InputError(
                f"it has more than the {self.size_bytes} bytes that were announced",
                where=self.name,
                fix="begin anew",
            )
        with self.path.open("ab") as file:
            file.truncate(at)  # what a piece that failed left behind
            file.write(data)
        self._hash.update(data)
        self.received_bytes += len(data)
        self.touched_s = time.monotonic()


class Uploads:
    """All of this process's: at most four, of at most 256 MiB each.

    Args:
        jobs: whose directory for files is used.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._held: dict[str, Upload] = {}

    def begin(self, name: str, size_bytes: int, who: Identity) -> Upload:
        """Announce a file.

        Where there is no place, this person's longest untouched file gives way, if no job reads it.

        Raises:
            Illegal: all places are other people's, or read.
            ServiceError: there is no room.
        """
        self._forget()
        if len(self._held) >= FILES_MAX:
            self._give_way(who)
        if len(self._held) >= FILES_MAX:
            raise Illegal(
                f"{FILES_MAX} files are here already", where="the page",
                fix="wait: what nobody uses is forgotten after an hour",
            )  # fmt: skip
        upload_id = secrets.token_hex(8)
        place = self._jobs.spool(upload_id)
        # The ending tells a compressed table from a plain one; nothing else of the name is used.
        path = place / ("table.csv.gz" if name.lower().endswith(".gz") else "table.csv")
        path.touch(mode=0o600)
        made = self._held[upload_id] = Upload(upload_id, name, size_bytes, who.actor, path)
        return made

    def find(self, upload_id: str, who: Identity) -> Upload:
        """A file of this person. Raises NotThere."""
        self._forget()
        found = self._held.get(upload_id)
        if found is None or found.actor != who.actor:
            raise NotThere(
                "there is no such file", where=upload_id, fix="send it anew: POST /api/v1/uploads"
            )
        found.touched_s = time.monotonic()
        return found

    def whole(self, upload_id: str, who: Identity) -> Upload:
        """A file of which all is here. Raises NotThere, Illegal."""
        found = self.find(upload_id, who)
        if not found.is_whole:
            raise Illegal(
                f"{found.received_bytes} of {found.size_bytes} bytes are here",
                where=found.name,
                fix="send the rest first",
            )
        return found

    def drop(self, upload: Upload) -> None:
        """Forget a file. Raises Illegal while a job reads it."""
        if upload.is_read:
            raise Illegal("a job reads it", where=upload.name, fix="wait for it, or end it first")
        self._held.pop(upload.upload_id, None)
        rmtree(upload.path.parent, ignore_errors=True)

    def _give_way(self, who: Identity) -> None:
        """A page that was reloaded knows its file no more: its places are its owner's again."""
        idle = (
            one
            for one in self._held.values()
            if one.actor == who.actor and not one.is_read and not one.lock.locked()
        )
        if oldest := min(idle, key=lambda one: one.touched_s, default=None):
            self.drop(oldest)

    def _forget(self) -> None:
        for upload in list(self._held.values()):
            idle_s = time.monotonic() - upload.touched_s
            if idle_s > IDLE_SECONDS_MAX and not upload.is_read:
                self.drop(upload)
