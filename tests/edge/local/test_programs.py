"""Where the servers' programs are, and the copy that another user reaches."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from floorlog.errors import ServiceError, ServiceMissing
from floorlog.local import programs
from floorlog.local.place import Account
from floorlog.local.programs import postgres_programs, valkey_program, within_reach

NOBODY = Account("nobody", 65_534, 65_534)


@pytest.fixture
def closed(place: Path) -> Path:
    """A package below a directory of mode 700: a program, a link, and what a copy leaves out."""
    package = place / "home" / "package"
    (package / "bin").mkdir(parents=True)
    (package / "bin" / "say").write_text("#!/bin/sh\necho here\n")
    (package / "bin" / "say").chmod(0o700)
    (package / "bin" / "link").symlink_to("say")
    (package / "include").mkdir()
    (package / "lib.a").touch()
    (place / "home").chmod(0o700)
    return package


def test_the_installed_programs_are_found() -> None:
    """Both servers come from the packages of the [local] extra, and can be run."""
    assert os.access(postgres_programs(None) / "initdb", os.X_OK)
    assert os.access(valkey_program(None), os.X_OK)


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, each service names it as the mend."""
    monkeypatch.setattr(programs, "POSTGRES_PACKAGE", "no_such_package")
    monkeypatch.setattr(programs, "VALKEY_PACKAGE", "no_such_package")
    for find in (postgres_programs, valkey_program):
        with pytest.raises(ServiceMissing, match=r"no_such_package is missing - install the \[loc"):
            find(None)


def test_another_machine_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the package has no program for this machine, the machine is named."""
    monkeypatch.setattr(programs.platform, "machine", lambda: "riscv64")
    with pytest.raises(ServiceMissing, match="no valkey-server for Linux on riscv64"):
        valkey_program(None)


def test_a_given_installation_must_hold_the_server(tmp_path: Path) -> None:
    """A wrong directory is said with what was looked for."""
    with pytest.raises(ServiceMissing, match="choose a directory that holds postgres"):
        postgres_programs(None, tmp_path)


def test_what_is_within_reach_is_not_copied(place: Path) -> None:
    """The present user, and an account that gets there, use the package itself."""
    assert within_reach(place, [place], None, "v1", ()) == place
    if os.geteuid() == 0:
        assert within_reach(place, [place], NOBODY, "v1", ()) == place


def test_what_is_out_of_reach_is_copied_once(only_root, place: Path, closed: Path) -> None:
    """The account runs the copy, which root alone can change; a second start copies nothing."""
    root = within_reach(closed.parent, [closed], NOBODY, "v1", (place / "copies",))
    assert root == place / "copies" / "v1"
    say = root / "package" / "bin" / "link"
    done = subprocess.run([say], user=65_534, group=65_534, capture_output=True, check=True)
    assert done.stdout == b"here\n"
    assert sorted(p.name for p in root.rglob("*")) == ["bin", "link", "package", "say"]
    assert all(p.lstat().st_uid == 0 for p in root.rglob("*"))
    assert not any(p.stat().st_mode & 0o022 for p in [root.parent, root, *root.rglob("*")])
    shutil.rmtree(closed / "bin")
    assert within_reach(closed.parent, [closed], NOBODY, "v1", (place / "copies",)) == root
    assert say.exists()


def test_a_place_that_others_can_write_is_not_trusted(only_root, place: Path, closed: Path) -> None:
    """Somebody's directory, an open one, a link: passed over, and named when none is left."""
    theirs, open_, link, good = (place / name for name in ("theirs", "open", "link", "good"))
    theirs.mkdir()
    os.chown(theirs, 65_534, 65_534)
    open_.mkdir()
    open_.chmod(0o777)
    link.symlink_to(theirs)
    root = within_reach(closed.parent, [closed], NOBODY, "v1", (theirs, open_, link, good))
    assert root == good / "v1"
    with pytest.raises(ServiceError, match=f"{theirs}: belongs.*{link}: belongs") as caught:
        within_reach(closed.parent, [closed], NOBODY, "v2", (theirs, open_, link))
    assert "\n" not in str(caught.value)
    assert list(theirs.iterdir()) == []


def test_half_a_copy_is_never_used(only_root, place: Path, closed: Path, monkeypatch) -> None:
    """A copy that broke off does not carry the final name, and the next start makes a whole one."""
    real = shutil.copytree

    def breaks_off(*args, **kwargs):
        real(*args, **kwargs)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(programs.shutil, "copytree", breaks_off)
    with pytest.raises(ServiceError, match="No space left on device"):
        within_reach(closed.parent, [closed], NOBODY, "v1", (place / "copies",))
    assert not (place / "copies" / "v1").exists()
    monkeypatch.undo()
    assert within_reach(closed.parent, [closed], NOBODY, "v1", (place / "copies",)).is_dir()
