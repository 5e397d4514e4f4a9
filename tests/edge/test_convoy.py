"""Several tables on their way together: each reading once, in the order that detectors need."""

import gzip
from collections import Counter
from pathlib import Path

import msgspec
import pytest
import zstandard

from floorlog.source import convoy as room
from floorlog.source.convoy import Convoy, device_names, guess_all
from floorlog.source.csv_shape import Wishes


def wide(path: Path, begin: int, rows: int) -> Path:
    """A table of two metrics whose device is the file's name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"{1_767_225_600 + n},{n}.5,{n}" for n in range(begin, begin + rows)]
    path.write_text("\n".join(["epoch,a,b", *lines]))
    return path


def long(path: Path, begin: int, rows: int) -> Path:
    """A table whose rows name their device, one of two."""
    lines = [f"{1_767_225_600 + n},press-{n % 2},{n}" for n in range(begin, begin + rows)]
    path.write_text("\n".join(["epoch,device,a", *lines]))
    return path


def sent(convoy: Convoy) -> list[tuple[str, int]]:
    """Device and time of each frame, as they arrive; each record holds what it says."""
    found = []
    for packed in convoy.records():
        text = zstandard.ZstdDecompressor().decompress(packed.entry.data)
        frames = [msgspec.json.decode(line) for line in text.splitlines()]
        assert packed.readings == sum(len(frame["values"]) for frame in frames)
        found += [(frame["device_id"], frame["ts"]) for frame in frames]
    return found


def of(paths: list[Path], **wishes: str) -> Convoy:
    return Convoy(guess_all(paths, Wishes(**wishes)))


def test_files_of_different_devices_go_side_by_side(tmp_path, monkeypatch):
    """Not one is through before the last has begun; each once, in its order; progress adds up."""
    monkeypatch.setattr(room, "RECORD_READINGS_MAX", 400)
    paths = [wide(tmp_path / f"line-{n}.csv", 0, 300) for n in range(4)]
    convoy = of(paths)
    found = sent(convoy)
    assert Counter(device for device, _ in found) == {f"line-{n}": 300 for n in range(4)}
    for n in range(4):
        times = [ts for device, ts in found if device == f"line-{n}"]
        assert times == sorted(set(times))
    begun = [[device for device, _ in found].index(f"line-{n}") for n in range(4)]
    ended = [len(found) - [d for d, _ in reversed(found)].index(f"line-{n}") for n in range(4)]
    assert max(begun) < min(ended)
    assert convoy.read_bytes == convoy.size_bytes == sum(p.stat().st_size for p in paths)


@pytest.mark.parametrize("wishes", [{}, {"device_name": "press"}])
def test_files_that_may_share_a_device_keep_their_order(tmp_path, wishes):
    """Months of one machine, told by a column or by --device-name: no time goes back."""
    make = wide if wishes else long
    paths = [make(tmp_path / name, n * 500, 500) for n, name in enumerate(["b.csv", "a.csv"])]
    found = sent(of(paths, **wishes))
    assert len(found) == 1_000
    for device in {device for device, _ in found}:
        times = [ts for each, ts in found if each == device]
        assert times == sorted(times)


def test_more_files_than_may_be_open(tmp_path, monkeypatch):
    """One begins when another ends: none is left out."""
    monkeypatch.setattr(room, "LANES_MAX", 3)
    paths = [wide(tmp_path / f"line-{n}.csv", 0, 10 * n + 10) for n in range(10)]
    found = Counter(device for device, _ in sent(of(paths)))
    assert found == {f"line-{n}": 10 * n + 10 for n in range(10)}


def test_devices_of_one_name_are_told_apart(tmp_path):
    """By as many folders as it takes; a name that is alone stays plain; one file twice is one."""
    names = ["a/1/10.csv", "b/1/10.csv.gz", "b/2/10.csv", "b/11.csv", "c/x.csv", "c/x.csv.gz"]
    paths = [tmp_path / name for name in names]
    assert device_names([*paths, paths[3]]) == [
        "a/1/10", "b/1/10", "2/10", "11", "x.csv", "x.csv.gz", "11",
    ]  # fmt: skip


def test_warnings_name_their_file(tmp_path):
    """Of several files, a line says which it means; of one, that is clear."""
    good, bad = wide(tmp_path / "good.csv", 0, 50), wide(tmp_path / "bad.csv.gz", 0, 50)
    bad.write_bytes(gzip.compress(bad.read_bytes() + b"\nnever,1,2\n"))
    both, alone = of([good, bad]), of([bad])
    for convoy in (both, alone):
        assert len(sent(convoy)) == 50 * len(convoy.replays)
        assert convoy.skipped == 1
    (line,) = both.warnings()
    assert line == f"bad.csv.gz: {alone.warnings()[0]}"
