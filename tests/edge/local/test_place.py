"""The data directory: its default, who reaches it, who holds it."""

import os
import stat
from pathlib import Path

import pytest

from floorlog.errors import DataDirectoryError, DataDirectoryLocked
from floorlog.local import place as places
from floorlog.local.place import (
    ROOT_DATA_DIRECTORY,
    Account,
    DirectoryLock,
    barrier,
    claim,
    default_directory,
    is_locked,
    private_directory,
    server_account,
)

NOBODY = Account("nobody", 65_534, 65_534)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_default_follows_the_user_s_data_home(monkeypatch, tmp_path: Path) -> None:
    """XDG_DATA_HOME, else ~/.local/share."""
    monkeypatch.setattr(places, "server_account", lambda _: None)
    home = {"HOME": str(tmp_path)}
    assert default_directory(home) == tmp_path / ".local/share/floorlog"
    assert default_directory({**home, "XDG_DATA_HOME": "/x"}) == Path("/x/floorlog")


def test_root_s_default_is_one_that_the_servers_reach(only_root, place: Path) -> None:
    """A home of mode 700 is passed over for /var/lib; an open one is taken."""
    home = place / "home"
    home.mkdir(mode=0o700)
    assert default_directory({"HOME": str(home)}) == ROOT_DATA_DIRECTORY
    home.chmod(0o711)
    assert default_directory({"HOME": str(home)}) == home / ".local/share/floorlog"


def test_the_first_barrier_on_the_way_is_found(only_root, place: Path) -> None:
    """The directory that must be opened is named, not the one that was wanted."""
    inner = place / "closed" / "inner"
    inner.mkdir(parents=True)
    (place / "closed").chmod(0o700)
    assert barrier(inner / "not" / "yet", NOBODY) == place / "closed"
    (place / "closed").chmod(0o711)
    assert barrier(inner / "not" / "yet", NOBODY) is None
    assert barrier(inner, None) is None


def test_an_unreachable_directory_is_one_line_and_leaves_nothing(only_root, place: Path) -> None:
    """As root, a directory below one of mode 700 is refused before anything is created."""
    closed = place / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(DataDirectoryError) as caught:
        claim(closed / "a" / "data", NOBODY)
    text = str(caught.value)
    assert text.startswith(f"{closed}/a/data: ")
    assert f"{closed} lets no other user through - choose one that every user can" in text
    assert "\n" not in text
    assert list(closed.iterdir()) == []


def test_root_s_new_directories_can_be_passed_but_not_listed(only_root, place: Path) -> None:
    """Whatever the mask, the servers' user reaches its part and sees nothing else."""
    before = os.umask(0o077)
    try:
        found = claim(place / "a" / "b", NOBODY)
    finally:
        os.umask(before)
    assert (mode(place / "a"), mode(found)) == (0o711, 0o711)
    assert barrier(found, NOBODY) is None


def test_root_s_own_empty_directory_is_opened_another_is_not(only_root, place: Path) -> None:
    """A directory made for us by mktemp works; one that holds something else keeps its mode."""
    fresh, full = place / "fresh", place / "full"
    fresh.mkdir(mode=0o700)
    full.mkdir(mode=0o700)
    (full / "letter").touch()
    assert claim(fresh, NOBODY) == fresh
    with pytest.raises(DataDirectoryError):
        claim(full, NOBODY)
    assert (mode(fresh), mode(full)) == (0o711, 0o700)


def test_a_user_s_directory_is_private(tmp_path: Path) -> None:
    """Without a change of user nobody else gets in, and a link is followed to its end."""
    found = claim(tmp_path / "a" / "data", None)
    assert mode(found) == 0o700
    (tmp_path / "link").symlink_to(found)
    assert claim(tmp_path / "link", None) == found


def test_a_file_in_the_way_is_said(tmp_path: Path) -> None:
    """--data naming a file, or a path below one, is one line with the mend."""
    (tmp_path / "file").touch()
    for wrong in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(DataDirectoryError, match=r"file.*--data DIR"):
            claim(wrong, None)


def test_the_servers_run_as_the_owner_of_the_data(only_root, place: Path) -> None:
    """Existing data decide, then the directory's owner, then nobody."""
    assert server_account(place / "new").uid == 65_534
    os.chown(place, 4_321, 4_321)
    assert server_account(place).uid == 4_321
    (place / "postgres").mkdir()
    os.chown(place / "postgres", 1_234, 1_234)
    assert server_account(place) == Account("uid 1234", 1_234, 1_234)
    assert private_directory(place / "valkey", NOBODY).stat().st_uid == NOBODY.uid


def test_another_user_s_data_are_refused(only_root, place: Path, monkeypatch) -> None:
    """Data of another user are not opened; the line says whose they are."""
    (place / "postgres").mkdir()
    os.chown(place / "postgres", 65_534, 65_534)
    with pytest.raises(DataDirectoryError, match="belongs to user nobody"):
        private_directory(place / "postgres", None)


def test_the_lock_has_one_holder(tmp_path: Path) -> None:
    """A second one is refused with the first's number, until the first lets go."""
    first, second = DirectoryLock(tmp_path), DirectoryLock(tmp_path)
    assert not is_locked(tmp_path)
    first.take()
    assert is_locked(tmp_path)
    with pytest.raises(DataDirectoryLocked, match=rf"\(process {os.getpid()}\) - end that one"):
        second.take()
    first.release()
    first.release()
    assert not is_locked(tmp_path)
    second.take()
    second.release()


def test_a_lock_file_left_behind_bars_nobody(tmp_path: Path) -> None:
    """The file alone is no lock."""
    (tmp_path / "lock").write_text("1\n")
    assert not is_locked(tmp_path)
    lock = DirectoryLock(tmp_path)
    lock.take()
    assert (tmp_path / "lock").read_text() == f"{os.getpid()}\n"
    lock.release()


def test_a_lock_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    """Not a traceback but a line: here a folder stands where the file should be."""
    (tmp_path / "lock").mkdir()
    with pytest.raises(DataDirectoryError, match=r"cannot be used.*--data DIR"):
        DirectoryLock(tmp_path).take()
