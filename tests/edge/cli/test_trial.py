"""A trial: any records through the real stream, worker and record, counted to the last reading."""

import json
from contextlib import closing
from pathlib import Path

import pytest

from floorlog.errors import ServiceError
from floorlog.local import trial
from floorlog.local.services import REGION, STREAM_NAME
from floorlog.local.supervisor import Supervisor
from floorlog.local.trial import Progress, Trial, place, shards_for
from floorlog.source.sender import Entry, Sender

T0_MS = 1_767_225_600_000


def frame(n: int, **values: object) -> tuple[Entry, int]:
    content = {"device_id": "d", "ts": T0_MS + n * 1_000, "values": values}
    return Entry("d", json.dumps(content).encode()), len(values)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with place(None) as directory, pytest.MonkeyPatch.context() as kept:
        for name in ("KINESIS_STREAM_NAME", "REDIS_ENDPOINT", "DB_SECRET_ARN"):
            kept.delenv(name, raising=False)
        supervisor = Supervisor(directory)
        with supervisor as services:
            made = Trial(supervisor, services, 1)
            yield made
            made.close()
    assert not directory.exists()


@pytest.mark.slow
def test_everything_is_accounted_for(running, monkeypatch):
    """Good, bad, repeated and contradicting readings: each is in exactly the count it belongs to.

    Then what somebody else left in the stream is stored, but not counted; and without a worker it
    is given up.
    """
    seen: list[Progress] = []
    records = [frame(n, a=float(n), b="on") for n in range(1_000)]
    records += [frame(5, a=5.0), frame(6, a=7.0), (Entry("d", b"{broken"), 1)]
    found = running.replay(records, seen.append)
    assert (found.received, found.stored, found.rejected) == (2_003, 2_001, 1)
    assert (found.duplicate, found.conflict, found.gaps, found.series) == (1, 1, 0, 2)
    assert seen[-1] == Progress(2_003, 2_003)
    assert [p.sent for p in seen] == sorted(p.sent for p in seen)

    with closing(Sender(STREAM_NAME, REGION)) as other:
        other.put(frame(n, a=0.0)[0] for n in range(2_000, 2_500))
    found = running.replay([frame(3_000, a=1.0)], seen.append)
    assert (found.received, found.stored, found.duplicate) == (1, 1, 0)
    assert running._reader.status().total.stored == 2_502

    running._supervisor.kill("worker-1", hold=True)
    monkeypatch.setattr(trial, "STANDSTILL_SECONDS_MAX", 0.5)
    with pytest.raises(ServiceError, match="nothing moves"):
        running.replay([frame(4_000, a=1.0)], seen.append)


def test_a_given_place_stays(tmp_path):
    """Somebody's own directory is not removed."""
    with place(tmp_path) as directory:
        assert directory == tmp_path
    assert tmp_path.is_dir()


def test_a_temporary_place_goes():
    """The other is gone with what was in it."""
    with place(None) as directory:
        (directory / "file").write_text("")
    assert not Path(directory).exists()


@pytest.mark.parametrize(("mib", "shards"), [(0, 1), (16, 1), (17, 2), (100, 7), (9_999, 8)])
def test_larger_files_get_more_shards(tmp_path, mib, shards):
    """One for each 16 MiB, and never more than eight; a compressed file counts six times."""
    for name, size in (("a.csv", mib << 20), ("a.csv.gz", (mib << 20) // 6)):
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)
        assert shards_for(tmp_path / name) == shards


def test_the_sizes_of_several_files_add_up(tmp_path):
    """Four files of 8 MiB need what one of 32 MiB needs."""
    paths = [tmp_path / f"{n}.csv" for n in range(4)]
    for path in paths:
        with path.open("wb") as file:
            file.truncate(8 << 20)
    assert shards_for(*paths) == 2
