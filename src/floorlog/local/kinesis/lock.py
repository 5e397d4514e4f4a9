"""The lock: one server a directory, released by the kernel however the server ends."""

import fcntl
import os
from pathlib import Path

from floorlog.errors import DataDirectoryError, DataDirectoryLocked

FILE_NAME = "kinesis.lock"


class DirectoryLock:
    """Holds a data directory for this process."""

    def __init__(self, directory: Path) -> None:
        """Take the lock, or raise DataDirectoryLocked with the process that holds it."""
        path = directory / FILE_NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(
                f"the stream server cannot keep its data here ({error.strerror})",
                where=str(directory),
                fix="give a directory that this user can write with --data",
            ) from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._descriptor, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._descriptor)
            raise DataDirectoryLocked(
                f"another stream server (process {holder}) uses this directory",
                where=str(directory),
                fix="end it, or give this one another directory with --data",
            ) from None
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)
