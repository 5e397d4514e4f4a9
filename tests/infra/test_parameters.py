"""Parameters: the defaults that were asked for, and one clear line for each wrong configuration."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from floorlog.errors import SettingError
from floorlog.infra.parameters import Parameters, parameters

CLIENT_ARN = "arn:aws:secretsmanager:eu-west-2:123456789012:client"
DOOR = {
    "page": True,
    "page_url": "https://x.example.test",
    "page_certificate_arn": "arn:aws:acm:eu-west-2:123456789012:certificate/x",
    "page_from": ["10.0.0.0/8"],
    "page_issuer": "https://login.example.test",
}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"environment_suffix": "Dev"}, "environment_suffix"),
    ({"environment_suffix": ""}, "environment_suffix"),
    ({"environment_suffix": "a--b"}, "environment_suffix"),
    ({"environment_suffix": "9lives"}, "environment_suffix"),
    ({"environment_suffix": "a" * 31}, "too long"),
    ({**DOOR, "environment_suffix": "a" * 24}, "the load balancer takes 32"),
    ({"aws_region": "eu-west-9"}, "aws_region"),
    ({"aws_region": "London"}, "aws_region"),
    ({"aws_region": "cn-north-1"}, "aws_region"),
    ({"state_bucket": "Not_A_Bucket"}, "state_bucket"),
    ({"state_bucket_region": "eu-west-1"}, "state_bucket"),
    ({"state_bucket": "states", "state_bucket_region": "moon-1"}, "state_bucket_region"),
    ({"default_tags": {"aws:x": "y"}}, "aws:"),
    ({"default_tags": {f"k{n}": "v" for n in range(50)}}, "50 in all"),
    ({"default_tags": {"": "v"}}, "default_tags"),
    ({"default_tags": ["a"]}, "default_tags"),
    ({"shards": 0}, "shards"),
    ({"shards": "many"}, "shards"),
    ({"retention_hours": 23}, "retention_hours"),
    ({"tasks": 1}, "one in each zone"),
    ({"task_cpu": 300}, "256, 512"),
    ({"task_cpu": 256, "task_memory": 4096}, "512, 1024, 2048"),
    ({"database_gb": 10}, "database_gb"),
    ({"database_gb": 100, "database_gb_max": 105}, "database_gb_max"),
    ({"database_class": "t3.micro"}, "db.t3.micro"),
    ({"cache_node_type": "db.t3.micro"}, "cache.t3.micro"),
    ({"cache_replicas": 0}, "fail-over"),
    ({"backup_days": 0}, "backups"),
    ({"log_days": 8}, "log_days"),
    ({"rotation_days": 0}, "rotation_days"),
    ({"image": "repository"}, "names no version"),
    ({"image": "repository:latest"}, "latest"),
    ({"provider_version": "newest"}, "provider_version"),
    ({"vpc_id": "vpc-1"}, "vpc_id"),
    ({"vpc_id": "vpc-0123456789abcdef0"}, "subnet"),
    ({"public_subnet_ids": ["a", "b"]}, "vpc_id"),
    ({"stream_arn": "line-4"}, "stream_arn"),
    ({"stream_arn": "arn:aws:kinesis:us-east-1:123456789012:stream/x"}, "one region"),
    ({"database_host": "db.example.test"}, "database_host"),
    ({"database_admin_secret_arn": "x"}, "database_admin_secret_arn"),
    ({"producers": ["*"]}, "producers"),
    ({"alarm_email": "nobody"}, "alarm_email"),
    ({"anchor_days": 0}, "anchor_days"),
    ({"page_url": "https://x.example.test"}, "page_certificate_arn"),
    ({**DOOR, "page_url": "http://x.example.test"}, "page_url"),
    ({**DOOR, "page": False}, "page = true"),
    ({**DOOR, "isolated": True}, "port forwarding"),
    ({**DOOR, "page_from": ["0.0.0.0/0"]}, "public"),
    ({**DOOR, "page_from": ["10.1.2.3/8"]}, "page_from"),
    ({**DOOR, "aws_region": "eu-west-1"}, "page_certificate_arn is not in eu-west-1"),
    ({"page_issuer": "https://login.example.test"}, "page_issuer"),
    ({"page_client_secret_arn": CLIENT_ARN}, "page_url"),
    ({"sharts": 2}, "shards"),
    ({"throw_away": "maybe"}, "throw_away"),
]


@pytest.mark.parametrize(("given", "named"), WRONG, ids=[str(each[0])[:60] for each in WRONG])
def test_a_wrong_configuration_is_one_clear_line(given: dict[str, Any], named: str) -> None:
    """What AWS would refuse, or would lose data, is refused with one line: what, and the mend."""
    with pytest.raises(SettingError) as caught:
        parameters(given)
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("deployment: ")
    assert named in line
    assert caught.value.fix


def test_a_page_behind_a_door_is_accepted() -> None:
    """All of it named, it is a configuration: what is refused above is refused for its own sake."""
    assert parameters(DOOR).page_from == ("10.0.0.0/8",)
    assert parameters({"environment_suffix": "a" * 26}).page_url == ""


def test_the_defaults_are_those_that_were_asked_for() -> None:
    """Suffix, region, sizes and counts are the ones of the request."""
    asked = Parameters()
    assert (asked.environment_suffix, asked.aws_region) == ("dev", "eu-west-2")
    assert (asked.shards, asked.retention_hours, asked.stream_key) == (2, 24, "alias/aws/kinesis")
    assert (asked.task_cpu, asked.task_memory, asked.tasks, asked.tasks_max) == (256, 512, 2, 2)
    assert (asked.cache_node_type, asked.cache_replicas) == ("cache.t3.micro", 1)
    assert (asked.database_class, asked.database_gb, asked.backup_days) == ("db.t3.micro", 20, 7)
    assert (asked.database_name, asked.log_days) == ("iotdb", 7)
    assert (asked.throw_away, asked.isolated, asked.anchor) == (False, False, True)
    assert asked.state_region == "eu-west-2"


@pytest.mark.parametrize("region", ["eu-central-1", "eu-west-1", "us-east-1"])
def test_a_region_is_changed_by_one_parameter(region: str) -> None:
    """The state follows the region unless another is named for it."""
    assert parameters({"aws_region": region}).state_region == region


def test_the_sizes_that_are_advised_can_be_asked_for() -> None:
    """Each line of the page's table of sizes is a configuration that is accepted as it stands."""
    page = (Path(__file__).parents[2] / "docs/howto/deploy.md").read_text("utf-8")
    rows = re.findall(r"^\| [\d,]+ \| [\d,]+ \| (.+?) \| [\d,]+ \| [\d,]+ \|$", page, re.MULTILINE)
    assert len(rows) == 3
    for row in rows:
        given = tomllib.loads("\n".join(re.findall(r"`(.+?)`", row)))
        assert parameters(given).tasks_max >= given.get("shards", 2)
