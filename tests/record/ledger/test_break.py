"""`floorlog break`: what it says it did, verification names; and only local data is harmed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sealing import seal
from written import TEMPLATE, Ground, Written

from floorlog.config import Settings, variable
from floorlog.errors import InputError
from floorlog.local.harm import HOW, harm
from floorlog.local.postgres import DATABASE
from floorlog.record.check.verify import verify
from floorlog.store.migrate import LOGIN_ROLES, READER

pytestmark = pytest.mark.slow  # a copy of a database each, and processes


@pytest.mark.parametrize("sealed", [False, True], ids=["open", "sealed"])
@pytest.mark.parametrize("how", HOW)
def test_what_is_harmed_is_named(written, how, sealed) -> None:
    """Changed, deleted, swapped, inserted, cut off: the batches that it names are found wrong."""
    if sealed:
        seal(written)
    done = harm(written.dsn(), how, max(written.anchor.sizes()), seed=3)
    report = verify(written.dsn(READER), written.anchor)
    assert not report.ok
    said = {(one.shard, one.batch) for one in report.wrong if one.kind == "evidence"}
    assert set(done.batches) <= said, report.wrong
    if how == "change":
        assert said == set(done.batches)
    if how in {"change", "insert"}:
        (named,) = (one for one in report.wrong if one.where == "readings")
        assert named.series == done.series
        ((device, metric),) = written.run(
            "SELECT device, metric FROM floorlog.series WHERE series_id = %s", done.series
        )
        assert f"{device} {metric} " in named.says


def test_a_record_without_anchors_is_not_harmed(written) -> None:
    """There is nothing that verification could hold against it."""
    with pytest.raises(InputError, match="has not 1 batches with readings that are anchored"):
        harm(written.dsn(), "change", 0)


@pytest.fixture
def local(ground: Ground) -> Iterator[Callable[[], Written]]:
    """Puts the written record where the commands find it: in the data directory's own database."""
    data = ground.services.directory

    def put() -> Written:
        ground.run(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        ground.run(f"CREATE DATABASE {DATABASE} TEMPLATE {TEMPLATE}")
        for role in LOGIN_ROLES:
            ground.run(f"ALTER ROLE {role} IN DATABASE {DATABASE} SET search_path = floorlog")
        for part in ("anchors", "keeper"):
            shutil.rmtree(data / part, ignore_errors=True)
            shutil.copytree(ground.place(TEMPLATE) / part, data / part)
        return Written(ground, DATABASE, data)

    yield put
    ground.run(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")


def command(data: Path | None, *words: str, **others: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would."""
    names = {variable(field) for field in Settings.__struct_fields__}
    kept = {k: v for k, v in os.environ.items() if k not in names and not k.startswith("AWS_")}
    home = {"HOME": "/nonexistent", "XDG_DATA_HOME": "/nonexistent"}
    where = [] if data is None else ["--data", str(data)]
    return subprocess.run(
        [sys.executable, "-m", "floorlog", *words, *where],
        env={**kept, **home, **others},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_ten_harms_through_the_commands(local) -> None:
    """`break --yes`, then `verify`: exit code 1, and the line names the batch that was named."""
    data = local().directory
    assert command(data, "verify").returncode == 0
    for number in range(10):
        local()
        how = list(HOW)[number % len(HOW)]
        broken = command(data, "break", "--yes", "--how", how, "--seed", str(number))
        assert broken.returncode == 0, broken.stderr
        did, will = broken.stdout.splitlines()
        assert did
        found = command(data, "verify")
        assert found.returncode == 1
        for place in will.partition("and name ")[2].split(" and "):
            _, batch, _, _, shard = place.split()
            assert f"shard {shard}, batch {batch}" in found.stdout, (did, found.stdout)


def test_what_is_derived_is_made_again(local) -> None:
    """`verify --rebuild` mends it and says what it was; evidence that is wrong stops it."""
    written = local()
    seal(written)
    written.run(
        "UPDATE floorlog.lease SET stored = 1; DELETE FROM floorlog.conflict;"
        " UPDATE floorlog.chunk SET average = 0 WHERE average IS NOT NULL"
    )
    assert command(written.directory, "verify").returncode == 1
    mended = command(written.directory, "verify", "--rebuild")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    for where in ("lease", "conflict", "chunk"):
        assert f"made again: {where}: " in mended.stderr
    assert command(written.directory, "verify").returncode == 0
    written.run("UPDATE floorlog.batch SET received = 7 WHERE number = 2")
    refused = command(written.directory, "verify", "--rebuild")
    assert refused.returncode == 1
    assert "evidence is wrong, so nothing is made again" in refused.stderr


def test_it_asks_first_and_harms_nothing_else(local) -> None:
    """Without a yes nothing happens; a record that the environment names is refused."""
    data = local().directory
    refused = command(data, "break")
    assert refused.returncode == 130
    assert "harmed for good" in refused.stdout + refused.stderr
    other = command(None, "break", "--yes", DB_SECRET_ARN="file:/nonexistent")
    assert other.returncode == 1
    assert "only the record of local services can be broken" in other.stderr
    assert command(data, "verify").returncode == 0


def test_prove_and_export_through_the_commands(local, tmp_path) -> None:
    """Both say how to verify what they wrote, and that is so."""
    written = local()
    ((device, metric, time),) = written.run(
        "SELECT device_id, metric, ts::text FROM floorlog.reading"
        " WHERE device_id = 'oven' AND flags = 0 ORDER BY ts DESC LIMIT 1"
    )
    proof = tmp_path / "proof.json"
    words = ("prove", device, metric, time, "--out", str(proof), "--verifier")
    said = command(written.directory, *words)
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"oven {metric} = ")
    assert command(written.directory, *words).stderr.count("\n") == 1
    folder = tmp_path / "export"
    exported = command(written.directory, "export", "--from", "2026-01-01", str(folder))
    assert exported.returncode == 0, exported.stderr
    for what, beside in ((proof, tmp_path), (folder, folder)):
        done = subprocess.run(
            [sys.executable, "-I", "-S", beside / "verifier.py", what, "--key",
             written.anchor.key()],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.startswith("proven: "), done.stdout
    assert "which is signed" in done.stdout
