"""The deployment as Terraform sees it: synthesised once, planned once against a local cloud."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from floorlog.errors import FloorlogError
from floorlog.infra.terraform import Terraform, find_mirror, find_terraform

NotRun = Callable[[str], NoReturn]
Configuration = dict[str, Any]

ADMIN_ARN = "arn:aws:secretsmanager:eu-west-2:123456789012:secret:x"
VARIANTS: dict[str, dict[str, Any]] = {
    "usual": {"default_tags": {"CostCentre": "plant-7"}},
    "everything": {
        "environment_suffix": "prod-2",
        "aws_region": "eu-central-1",
        "isolated": True,
        "page": True,
        "alarm_email": "operator@example.test",
        "shards": 6,
        "retention_hours": 168,
        "stream_key": "arn:aws:kms:eu-central-1:123456789012:key/mrk-6d1f2f3e",
        "producers": ["arn:aws:iam::123456789012:role/gateway"],
    },
    "door": {
        "page": True,
        "page_url": "https://record.plant.example.test",
        "page_certificate_arn": "arn:aws:acm:eu-west-2:123456789012:certificate/4f6e",
        "page_from": ["10.20.0.0/16", "192.168.7.0/24"],
        "page_issuer": "https://login.example.test/plant",
        "page_client_secret_arn": ADMIN_ARN.replace(":x", ":client"),
    },
    "existing": {
        "throw_away": True,
        "anchor": False,
        "rotation_days": 1,
        "state_bucket": "states-of-the-plant",
        "vpc_id": "vpc-0123456789abcdef0",
        "public_subnet_ids": ["subnet-1", "subnet-2"],
        "private_subnet_ids": ["subnet-3", "subnet-4"],
        "stream_arn": "arn:aws:kinesis:eu-west-2:123456789012:stream/line-4",
        "database_host": "db.example.test",
        "database_admin_secret_arn": ADMIN_ARN,
        "database_security_group_id": "sg-0123456789abcdef0",
    },
}
SYNTHESISE = """
import json, sys
from pathlib import Path
from floorlog.infra.parameters import parameters
from floorlog.infra.stack import synthesise
for name, given in json.load(sys.stdin).items():
    print(synthesise(parameters(given), Path(sys.argv[1]) / name, "0.1.0"))
"""
LOCAL = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",  # pragma: allowlist secret - moto asks for none
    "AWS_EC2_METADATA_DISABLED": "true",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "18,20,22",
}


def interpreter(kind: str, not_run: NotRun) -> Path:
    """The interpreter of one of the environments that script/test makes."""
    named = os.environ.get(f"FLOORLOG_{kind.upper()}_PYTHON")
    beside = Path(__file__).parents[2] / f".venv-{kind}" / "bin" / "python"
    found = Path(named) if named else beside
    if not found.exists():
        not_run(f"the environment `{kind}` is not there: script/test makes it where terraform is")
    return found


@pytest.fixture(scope="session")
def infra_python(not_run: NotRun) -> Path:
    """The interpreter that has CDK Terrain and moto."""
    return interpreter("infra", not_run)


@pytest.fixture(scope="session")
def plugin(not_run: NotRun) -> Path:
    """The folder of plug-ins; NOT RUN where Terraform or AWS's plug-in is missing."""
    try:
        find_terraform()
    except FloorlogError as error:
        not_run(str(error))
    found = find_mirror()
    if found is None:
        not_run("Terraform's plug-in for AWS is in no folder of this machine")
    return found


def synthesise(python: Path, folder: Path, variants: dict[str, Any]) -> dict[str, Configuration]:
    """Configurations by variant, of one process."""
    subprocess.run(
        [python, "-c", SYNTHESISE, folder],
        input=json.dumps(variants),
        text=True,
        check=True,
        stdout=subprocess.PIPE,
        env={**os.environ, **LOCAL},
        timeout=100,
    )
    return {
        name: json.loads((folder / name / "stacks/floorlog/cdk.tf.json").read_text())
        for name in variants
    }


@pytest.fixture(scope="session")
def configurations(
    infra_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Configuration]:
    """The synthesised configuration of each variant."""
    return synthesise(infra_python, tmp_path_factory.mktemp("synth"), VARIANTS)


@pytest.fixture(scope="session")
def variants() -> dict[str, dict[str, Any]]:
    """The parameters of each variant."""
    return VARIANTS


@pytest.fixture
def synthesised(infra_python: Path, tmp_path: Path) -> Callable[[str], Configuration]:
    """Synthesise a variant anew, in a process of its own."""
    return lambda name: synthesise(infra_python, tmp_path, {name: VARIANTS[name]})[name]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="session")
def synthesiser(
    infra_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[dict[str, Any]], Configuration]:
    """Synthesise any parameters."""
    return lambda given: synthesise(infra_python, tmp_path_factory.mktemp("any"), {"x": given})["x"]


@pytest.fixture(scope="session")
def serve_cloud(
    infra_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., AbstractContextManager[str]]:
    """Start the local cloud beside a stream's server, and real others; gives its address."""

    @contextmanager
    def serve(kinesis: str, real: Path | None = None) -> Iterator[str]:
        port = free_port()
        log = (tmp_path_factory.mktemp("cloud") / "log").open("w")
        script = Path(__file__).parent / "cloud" / "serve.py"
        command = [infra_python, script, str(port), kinesis, *([real] if real else [])]
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **LOCAL})
        try:
            wait_for(port, server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.kill()
            server.wait()
            log.close()

    return serve


def wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    """Until somebody listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@pytest.fixture(scope="session")
def endpoint(infra_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of moto, which answers what Terraform asks while it plans."""
    port = free_port()
    log = (tmp_path_factory.mktemp("moto") / "log").open("w")
    command = [infra_python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **LOCAL})
    try:
        wait_for(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.kill()
        server.wait()
        log.close()


Planner = Callable[[str], tuple[Terraform, dict[str, Any]]]


@pytest.fixture(scope="session")
def planned(
    plugin: Path,
    endpoint: str,
    configurations: dict[str, Configuration],
    tmp_path_factory: pytest.TempPathFactory,
) -> Planner:
    """Plan a variant, once: Terraform in its folder, and the plan as data."""
    done: dict[str, tuple[Terraform, dict[str, Any]]] = {}

    def plan(variant: str) -> tuple[Terraform, dict[str, Any]]:
        if variant not in done:
            folder = tmp_path_factory.mktemp(f"plan-{variant}")
            (folder / "cdk.tf.json").write_text(json.dumps(configurations[variant]))
            terraform = Terraform(folder, {**LOCAL, "AWS_ENDPOINT_URL": endpoint})
            terraform.initialise()
            terraform.run("validate")
            terraform.run("plan", "-out=plan")
            done[variant] = terraform, terraform.show("plan")
        return done[variant]

    return plan


@pytest.fixture(scope="session")
def image(not_run: NotRun, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The image of this checkout, built and unpacked: what bench/image.py says of it.

    FLOORLOG_IMAGE names a folder that keeps the base from one run to the next.
    """
    for program in ("buildah", "mmdebstrap"):
        if shutil.which(program) is None or os.geteuid() != 0:
            not_run(f"needs root and the program {program}, to build the image without a daemon")
    named = os.environ.get("FLOORLOG_IMAGE")
    folder = Path(named) if named else tmp_path_factory.mktemp("image")
    script = Path(__file__).parents[2] / "bench/image.py"
    subprocess.run(
        [sys.executable, script, folder], check=True, timeout=1_500, stdout=subprocess.PIPE
    )
    found: dict[str, Any] = json.loads((folder / "image.json").read_text())
    return found


@pytest.fixture(scope="session")
def floorlog() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command of floorlog."""

    def run(*words: str, python: Path = Path(sys.executable), **variables: str) -> Any:
        return subprocess.run(
            [python, "-m", "floorlog", *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=110,
            env={**os.environ, **LOCAL, **variables},
        )

    return run
