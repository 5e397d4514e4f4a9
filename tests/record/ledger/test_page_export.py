"""The page's export of several devices: its bounds hold for all of them together."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from written import Written

from floorlog.errors import InputError
from floorlog.store.migrate import READER
from floorlog.web.work import runner
from floorlog.web.work.errand import Export, Exported, Ground

pytestmark = pytest.mark.slow  # each copies a database; together some seconds

TWO = ("press-1", "oven")


def exported(written: Written, place: Path, *devices: str) -> Exported:
    ground = Ground(written.dsn(READER), str(written.directory / "anchors"))
    found = runner.carry_out(ground, Export(str(place), devices=devices), lambda _: None)
    assert isinstance(found, Exported)
    return found


def held(written: Written) -> int:
    """Readings in all batches, which every device has a part in."""
    ((stored,),) = written.run("SELECT sum(stored)::int8 FROM floorlog.batch")
    return int(stored)


def test_the_bound_is_for_all_devices_together(written, tmp_path, monkeypatch) -> None:
    """What each device alone may have, two do not; nothing is left of what was begun."""
    monkeypatch.setattr(runner, "EXPORT_READINGS_MAX", held(written))
    for device in TWO:
        assert exported(written, tmp_path / f"{device}.zip", device).readings > 0
    with pytest.raises(InputError, match="readings; at most"):
        exported(written, tmp_path / "two.zip", *TWO)
    assert {path.name for path in tmp_path.iterdir()} == {f"{device}.zip" for device in TWO}
    monkeypatch.setattr(runner, "EXPORT_READINGS_MAX", 2 * held(written))
    assert len(exported(written, tmp_path / "two.zip", *TWO).folders) == len(TWO)


def test_a_disk_that_has_room_for_the_folder_alone(written, tmp_path, monkeypatch) -> None:
    """Before the archive is written beside its files, there must be room for both."""
    free = runner.FREE_BYTES_MIN + 1  # as a disk says that has a byte more than it shall keep
    monkeypatch.setattr(runner, "disk_usage", lambda _: SimpleNamespace(free=free))
    with pytest.raises(InputError, match="1 GiB would be left"):
        exported(written, tmp_path / "x.zip", "oven")
    assert list(tmp_path.iterdir()) == []
