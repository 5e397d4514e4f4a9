"""What is remembered of the services, and what becomes of it when it is damaged."""

import json
import stat
from pathlib import Path

import pytest

from floorlog.errors import DataDirectoryError
from floorlog.local.postgres import PostgresAddress
from floorlog.local.services import Services, read_ports, read_secret, write_ports


@pytest.fixture
def services(tmp_path: Path) -> Services:
    address = PostgresAddress(5_433, "s" * 64)
    return Services(tmp_path, address, "127.0.0.1:6379", "http://127.0.0.1:4567")


def test_ports_are_remembered_and_a_damaged_file_is_forgotten(tmp_path: Path) -> None:
    """New ports will do, so that a half-written file bars no start."""
    assert read_ports(tmp_path) == {}
    write_ports(tmp_path, {"postgres": 15_000})
    assert read_ports(tmp_path) == {"postgres": 15_000}
    for damaged in ('{"postgres":', '{"postgres":"x"}', "[]", ""):
        (tmp_path / "services.json").write_text(damaged)
        assert read_ports(tmp_path) == {}


def test_the_secret_is_made_once_and_kept(tmp_path: Path) -> None:
    """The same at every start, random from directory to directory, for its owner only."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    first = read_secret(tmp_path / "a")
    assert read_secret(tmp_path / "a") == first
    assert read_secret(tmp_path / "b") != first
    assert stat.S_IMODE((tmp_path / "a" / "secret").stat().st_mode) == 0o600
    (tmp_path / "a" / "secret").write_text("short")
    with pytest.raises(DataDirectoryError, match="damaged - put it back"):
        read_secret(tmp_path / "a")


def test_the_secret_is_not_made_anew_beside_data(tmp_path: Path) -> None:
    """Data whose secret is gone are not hidden behind a new one."""
    (tmp_path / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(DataDirectoryError, match="cannot be read: No such file"):
        read_secret(tmp_path)
    assert not (tmp_path / "secret").exists()


def test_the_environment_is_what_aws_gives(services: Services) -> None:
    """The same names as in the AWS task, and the SDK's own for the endpoint and dummy keys."""
    found = services.environment("writer", "plant-1")
    path = services.directory / "secrets" / "writer.json"
    assert found == {
        "KINESIS_STREAM_NAME": "plant-1",
        "REDIS_ENDPOINT": "127.0.0.1:6379",
        "DB_SECRET_ARN": f"file:{path}",
        "AWS_REGION": "eu-west-2",
        "AWS_DEFAULT_REGION": "eu-west-2",
        "AWS_ENDPOINT_URL_KINESIS": "http://127.0.0.1:4567",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_EC2_METADATA_DISABLED": "true",
        "FLOORLOG_ANCHOR": str(services.directory / "anchors"),
        "FLOORLOG_SIGNING_KEY": str(services.directory / "keeper" / "signing.key"),
    }
    assert json.loads(path.read_bytes()) == {
        "username": "writer",
        "password": services.postgres.password("writer"),
        "host": "127.0.0.1",
        "port": 5_433,
        "dbname": "floorlog",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_anchors_lie_where_they_were_asked_for(services: Services, monkeypatch) -> None:
    """Who keeps them on another disk says so in the environment, which local services leave."""
    monkeypatch.setenv("FLOORLOG_ANCHOR", "/mnt/elsewhere")
    assert services.environment("writer")["FLOORLOG_ANCHOR"] == "/mnt/elsewhere"


def test_only_what_runs_is_named(tmp_path: Path) -> None:
    """A set without some service leaves that service's variables alone."""
    found = Services(tmp_path, None, "", "").environment()
    assert not {"DB_SECRET_ARN", "REDIS_ENDPOINT", "AWS_ENDPOINT_URL_KINESIS"} & set(found)
    assert list(tmp_path.iterdir()) == []
