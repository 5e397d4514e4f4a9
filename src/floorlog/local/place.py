"""Where the data lives, who runs the servers, and whether the one can be reached by the other."""

import contextlib
import errno
import fcntl
import os
import pwd
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from floorlog.errors import DataDirectoryError, DataDirectoryLocked

REACH_SCRIPT = Path(__file__).with_name("reach.py")
ROOT_DATA_DIRECTORY = Path("/var/lib/floorlog")
LOCK_NAME = "lock"
# What the system puts into the root of a disk.
NOT_OTHERS = {"lost+found"}
# Others may pass but not list: the servers' user must reach its part of a directory of root's.
PASSAGE_MODE = 0o711
PRIVATE_MODE = 0o700


@dataclass(frozen=True)
class Account:
    """A user to run a server as.

    Attributes:
        name: for messages.
        uid, gid: what the process changes to.
    """

    name: str
    uid: int
    gid: int


def account_of(uid: int) -> Account:
    """The account with this uid, also where the user database does not know it."""
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return Account(f"uid {uid}", uid, uid)
    return Account(entry.pw_name, uid, entry.pw_gid)


def server_account(directory: Path) -> Account | None:
    """Who runs PostgreSQL and Valkey: None is the present user, which root never is.

    PostgreSQL refuses to run as root. The owner of existing data comes first (it alone may open
    it), then the owner of the directory, then `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for owned in (directory / "postgres", directory):
        if owned.exists() and owned.stat().st_uid != 0:
            return account_of(owned.stat().st_uid)
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        return Account("nobody", 65534, 65534)
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def barrier(path: Path, account: Account | None) -> Path | None:
    """The directory that bars the account's way to `path`; None if it can be reached.

    Asked of the kernel in a process that has become that user: mode bits alone would miss ACLs.
    """
    if account is None:
        return None
    command = [
        sys.executable,
        "-I",
        "-S",
        str(REACH_SCRIPT),
        str(account.uid),
        str(account.gid),
        str(path),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataDirectoryError(
            f"as root the servers run as user {account.name}, but changing to it failed: {reason}",
            fix="run as an ordinary user, or in a container whose user namespace holds that user",
        )
    return Path(answer.stdout) if answer.stdout else None


def default_directory(environment: Mapping[str, str]) -> Path:
    """The data directory when none is given.

    `$XDG_DATA_HOME/floorlog`, else `~/.local/share/floorlog`; for root, where the servers' user
    cannot pass through its home (mode 700), `/var/lib/floorlog`.
    """
    home = Path(environment.get("HOME") or Path.home())
    wanted = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share") / "floorlog"
    if barrier(wanted, server_account(wanted)) is not None:
        return ROOT_DATA_DIRECTORY
    return wanted


def claim(directory: Path, account: Account | None) -> Path:
    """Create the data directory if needed and make sure that it can be used; returns it absolute.

    Raises:
        DataDirectoryError: not a directory, not writable, out of the account's reach, or with files
            in it that are not ours (a home directory, a checkout).
    """
    directory = directory.resolve()
    try:
        _refuse_others(directory)
        _open_passage(directory, account)
        if not directory.is_dir():
            _create(directory, account)
        if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise DataDirectoryError(
            f"the data directory cannot be used: {error.strerror}",
            where=str(error.filename or directory),
            fix="choose one that you may write with --data DIR",
        ) from error
    return directory


def _refuse_others(directory: Path) -> None:
    if not directory.is_dir() or (directory / LOCK_NAME).exists():
        return
    others = sorted({path.name for path in directory.iterdir()} - NOT_OTHERS)
    if others:
        raise DataDirectoryError(
            f"the directory holds other things than Floorlog's data, such as {others[0]!r:.80}",
            where=str(directory),
            fix="choose a new or empty directory with --data DIR",
        )


def _open_passage(directory: Path, account: Account | None) -> None:
    barred = barrier(directory, account)
    if barred == directory and directory.is_dir() and _is_ours(directory):
        directory.chmod(directory.stat().st_mode | 0o111)
        barred = barrier(directory, account)
    if barred is not None and account is not None:
        raise DataDirectoryError(
            f"the data directory is out of reach for user {account.name}, as whom PostgreSQL must "
            f"run here (it refuses to run as root): {barred} lets no other user through",
            where=str(directory),
            fix=f"choose one that every user can pass to, such as --data {ROOT_DATA_DIRECTORY}",
        )


def _is_ours(directory: Path) -> bool:
    """Root's own directory, empty or made by us: opening it to passers-by harms nobody."""
    ours = (directory / LOCK_NAME).exists() or not any(directory.iterdir())
    return ours and directory.stat().st_uid == os.geteuid()


def _create(directory: Path, account: Account | None) -> None:
    missing = [directory]
    while not missing[-1].parent.exists():
        missing.append(missing[-1].parent)
    for part in reversed(missing):
        part.mkdir()
        if account is not None:
            part.chmod(PASSAGE_MODE)
    if account is None:
        directory.chmod(PRIVATE_MODE)


def private_directory(path: Path, account: Account | None) -> Path:
    """A directory that only `account` (or the present user) can enter."""
    path.mkdir(mode=PRIVATE_MODE, exist_ok=True)
    owner = path.stat().st_uid
    if account is not None and owner == 0:
        os.chown(path, account.uid, account.gid)
    elif account is None and owner != os.geteuid():
        raise DataDirectoryError(
            f"the data belongs to user {account_of(owner).name}",
            where=str(path),
            fix="run as that user, or choose another directory with --data DIR",
        )
    return path


class DirectoryLock:
    """Held as long as its process lives: the kernel lets go of it, so it is never stale."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / LOCK_NAME
        self._descriptor: int | None = None

    def take(self) -> None:
        """Take the lock.

        Raises:
            DataDirectoryLocked: another process has it.
            DataDirectoryError: the lock file cannot be written.
        """
        try:
            descriptor = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as error:
            raise DataDirectoryError(
                f"the data directory cannot be used: {error.strerror}",
                where=str(self.path),
                fix="run as the user it belongs to, or choose another with --data DIR",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise DataDirectoryLocked(
                f"the data directory is in use by another Floorlog (process {holder})",
                where=str(self.path.parent),
                fix="end that one with Ctrl-C, or choose another directory with --data DIR",
            ) from error
        self._descriptor = descriptor
        # The number is for the message alone: a full disk shall be told by who looks after it.
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))

    def release(self) -> None:
        """Let go of the lock; does nothing if it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_locked(directory: Path) -> bool:
    """Whether a live process runs the services of this data directory."""
    try:
        descriptor = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
