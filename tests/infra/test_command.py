"""The command: costs, refusals and pages; what needs no cloud."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from floorlog.errors import FloorlogError, ServiceMissing
from floorlog.infra import terraform as room
from floorlog.infra.estimate import estimate, prices
from floorlog.infra.terraform import find_mirror, find_terraform

pytestmark = pytest.mark.slow
Run = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]


def test_a_record_is_not_destroyed_by_accident(floorlog: Run, tmp_path: Path) -> None:
    """Neither without saying so, nor while its protection is on; nothing is even prepared."""
    folder = ("--folder", str(tmp_path / "deploy"))
    refused = floorlog("deploy", "destroy", "--yes", *folder)
    assert refused.returncode == 1
    assert "--and-the-record" in refused.stderr
    assert refused.stderr.count("\n") == 1
    kept = floorlog("deploy", "destroy", "--yes", "--and-the-record", *folder)
    assert kept.returncode == 1
    assert "throw_away" in kept.stderr
    assert not (tmp_path / "deploy").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--set", "shards"], "NAME=VALUE"),
        (["--set", "shards=0"], "shards"),
        (["--set", "nonsense=1"], "nonsense"),
        (["--parameters", "FILE"], "TOML"),
        (["--parameters", "/nowhere/x.toml"], "cannot be read"),
    ],
)
def test_what_is_wrong_is_one_line(
    floorlog: Run, tmp_path: Path, words: list[str], named: str
) -> None:
    """Wrong options, files and values end with one line and code 1, before anything is made."""
    file = tmp_path / "wrong.toml"
    file.write_text("shards = = 2\n")
    given = [str(file) if word == "FILE" else word for word in words]
    done = floorlog("deploy", "plan", "--folder", str(tmp_path / "deploy"), *given)
    assert done.returncode == 1
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "deploy").exists()


def test_without_its_packages_the_command_says_what_to_install(
    floorlog: Run, tmp_path: Path
) -> None:
    """In an environment without CDK Terrain there is one line, not a traceback."""
    done = floorlog("deploy", "synth", "--folder", str(tmp_path / "deploy"))
    assert done.returncode == 1
    assert "floorlog[infra]" in done.stderr


def test_the_cost_is_the_sum_of_what_is_used(configurations) -> None:
    """Each usage has a price, a region's own before the factor's; the prices' date is told."""
    found = estimate(configurations["usual"])
    assert not found.unknown
    table = prices()
    exact = table["exact"]["eu-west-2"]["db.t3.micro multi-az hour"]
    by_factor = table["item"]["cache.t3.micro hour"] * table["region"]["eu-west-2"]
    for what, dollars in (("multi-az hour", 730 * exact), ("cache.", 2 * 730 * by_factor)):
        [line] = [each for each in found.lines if what in each.what]
        assert line.dollars == pytest.approx(dollars)
    assert found.dollars == pytest.approx(sum(each.dollars or 0 for each in found.lines))
    assert str(table["date"]) in found.as_text()
    busy = estimate(configurations["usual"], put_bytes_s=1e6, readings_s=10_000)
    assert busy.dollars > found.dollars
    assert estimate(configurations["everything"]).factor == table["region"]["eu-central-1"]
    assert set(table["exact"]["eu-west-2"]) <= set(table["item"])


def test_a_size_without_a_price_is_told(configurations) -> None:
    """It stands in the list with a question mark, and counts for nothing."""
    changed = {**configurations["usual"]}
    words = {"//": {"why": "x", "usage": {"db.z9.huge multi-az hour": 730}}}
    changed["resource"] = {"aws_db_instance": {"x": words}}
    found = estimate(changed)
    assert found.unknown == ["db.z9.huge multi-az hour"]
    assert "?" in found.as_text()
    assert found.dollars == 0


def test_the_pages_are_what_the_stack_makes(infra_python: Path) -> None:
    """The table of resources and the picture are up to date; `script/deployment.py` mends them."""
    done = subprocess.run(
        [infra_python, ROOT / "script" / "deployment.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, f"{done.stdout}: run .venv-infra/bin/python script/deployment.py"


def test_terraform_is_missed_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not on the PATH, the line says what to install."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServiceMissing, match=r"1\.11"):
        find_terraform()


def test_the_plug_in_is_found_by_looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror below the user's folders is found; a file of that name elsewhere is not taken."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(room, "SEARCH_DEPTH_MAX", 9)
    stray = tmp_path / ".terraform.d" / "terraform-provider-aws_stray"
    stray.parent.mkdir()
    stray.touch()
    mirror = tmp_path / ".terraform.d" / "plugins"
    place = mirror / "example.test" / "hashicorp" / "aws" / "5.100.0" / "linux_amd64"
    place.mkdir(parents=True)
    (place / "terraform-provider-aws_v5.100.0_x5").touch()
    assert find_mirror() == mirror


def test_a_command_that_hangs_is_ended(plugin: Path, tmp_path: Path) -> None:
    """Terraform is given up after its time, with one line."""
    del plugin
    terraform = room.Terraform(tmp_path, seconds_max=0.01)
    with pytest.raises(FloorlogError, match="has not ended"):
        terraform.run("version")
