"""What a deployment is asked to be: one frozen object, checked before anything else is done."""

import re
from collections.abc import Mapping
from functools import cache
from ipaddress import IPv4Network

import msgspec

from floorlog.errors import SettingError

# Fargate's sizes: CPU units to the memory, MB, that may go with them.
FARGATE_MEMORY = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4097, 1024)),
    1024: tuple(range(2048, 8193, 1024)),
    2048: tuple(range(4096, 16385, 1024)),
    4096: tuple(range(8192, 30721, 1024)),
}
# Retentions that CloudWatch Logs knows, days.
LOG_DAYS = (
    1,
    3,
    5,
    7,
    14,
    30,
    60,
    90,
    120,
    150,
    180,
    365,
    400,
    545,
    731,
    1096,
    1827,
    2192,
    2557,
    2922,
    3288,
    3653,
)
# The names with the least room, and how many characters the service takes.
NAMES_MAX = {
    "iot-redis-{}": (40, "ElastiCache"),
    "iot-anchors-999999999999-{region}-{}": (63, "S3"),
    "iot-migration-task-role-{}": (64, "IAM"),
}
DOOR_NAMES_MAX = {  # where the page is behind a balancer
    "iot-page-{}": (32, "the load balancer"),
    "iot-page-log-999999999999-{region}-{}": (63, "S3"),
}
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
SUFFIX = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
VERSIONS = re.compile(r"[<>=~!]+ ?\d+(\.\d+){0,2}(, [<>=~!]+ ?\d+(\.\d+){0,2})*")
ARN = "arn:aws:{}:[a-z0-9-]*:[0-9]*:.+"
PARTS = {  # what may exist already, and what its identifiers look like
    "vpc_id": r"vpc-[0-9a-f]{8,17}",
    "stream_arn": ARN.format("kinesis"),
    "database_admin_secret_arn": ARN.format("secretsmanager"),
    "database_security_group_id": r"sg-[0-9a-f]{8,17}",
    "alarm_email": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "page_url": r"https://[a-z0-9-]+(\.[a-z0-9-]+)+",
    "page_certificate_arn": ARN.format("acm"),
    "page_issuer": r"https://[^\s]+",
    "page_client_secret_arn": ARN.format("secretsmanager"),
}


class Parameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be chosen of a deployment; the first block is what most will set.

    Raises SettingError, one line, for anything that AWS would refuse later or that would lose data.
    """

    environment_suffix: str = "dev"
    aws_region: str = "eu-west-2"  # London: the United Kingdom, not the EU
    state_bucket: str = ""  # none: the state is a local file
    state_bucket_region: str = ""  # as aws_region
    default_tags: dict[str, str] = {}
    provider_version: str = ">= 5.100.0, < 7.0.0"

    image: str = ""  # the deployment's own repository, at this release
    page: bool = False  # a one-task service that shows the page, without public ingress
    anchor: bool = True  # notes of the log in a bucket that nobody can rewrite
    anchor_days: int = 3_650
    throw_away: bool = False  # no deletion protection, no final snapshot, secrets gone at once
    isolated: bool = False  # tasks in private subnets, AWS reached by VPC endpoints
    alarm_email: str = ""

    # With an address the page is behind an internal balancer: TLS, log-ins by OpenID Connect.
    page_url: str = ""
    page_certificate_arn: str = ""  # of that address, in ACM
    page_from: tuple[str, ...] = ()  # the networks of those who look, as 10.20.0.0/16
    page_issuer: str = ""  # the OpenID provider
    page_client: str = "floorlog"  # the page's client id there
    page_client_secret_arn: str = ""  # none: a public client, with PKCE
    page_role_claim: str = "roles"

    producers: tuple[str, ...] = ()  # ARNs of roles and users that may put readings
    shards: int = 2
    retention_hours: int = 24
    stream_key: str = "alias/aws/kinesis"
    task_cpu: int = 256
    task_memory: int = 512
    tasks: int = 2
    cache_node_type: str = "cache.t3.micro"
    cache_replicas: int = 1
    database_class: str = "db.t3.micro"
    database_gb: int = 20
    database_gb_max: int = 200
    backup_days: int = 7
    log_days: int = 7
    rotation_days: int = 30

    vpc_id: str = ""  # an existing VPC, with the subnets in it
    public_subnet_ids: tuple[str, ...] = ()
    private_subnet_ids: tuple[str, ...] = ()
    stream_arn: str = ""  # an existing stream
    database_host: str = ""  # an existing PostgreSQL 15 or later
    database_port: int = 5432
    database_name: str = "iotdb"
    database_admin_secret_arn: str = ""  # username and password of a role with CREATEROLE
    database_security_group_id: str = ""

    def __post_init__(self) -> None:
        for check in CHECKS:
            check(self)

    def name(self, plain: str) -> str:
        """The name of a thing in this environment."""
        return f"{plain}-{self.environment_suffix}"

    @property
    def tasks_max(self) -> int:
        """A shard is read by one task: more tasks than shards would be idle."""
        return max(self.tasks, self.shards)

    @property
    def state_region(self) -> str:
        """Where the state is kept."""
        return self.state_bucket_region or self.aws_region

    @property
    def tags(self) -> dict[str, str]:
        """What every resource is tagged with."""
        own = {"Environment": self.environment_suffix, "Project": "floorlog"}
        return {**own, **self.default_tags}


def parameters(given: Mapping[str, object]) -> Parameters:
    """The parameters of a file or a command line. Raises SettingError naming what is wrong."""
    unknown = set(given) - set(Parameters.__struct_fields__)
    for name in sorted(unknown):
        raise _wrong(name, "is no parameter", f"one of {', '.join(Parameters.__struct_fields__)}")
    for name, value in given.items():
        kind = Parameters.__annotations__[name]
        try:
            msgspec.convert(value, kind, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            what = str(error).partition(" - at")[0]
            raise _wrong(
                name, f"is {value!r}: {what.lower()}", "see docs/howto/deploy.md"
            ) from None
    try:
        return msgspec.convert(given, Parameters, strict=False)
    except msgspec.ValidationError as error:
        # What __post_init__ raised arrives wrapped.
        if isinstance(error.__cause__, SettingError):
            raise error.__cause__ from None
        raise


@cache
def regions() -> tuple[str, ...]:
    """The regions that this release knows: Kinesis is there, and ARNs begin with arn:aws."""
    from botocore.session import Session  # noqa: PLC0415 - reads its tables only when asked

    return tuple(sorted(Session().get_available_regions("kinesis")))


def _wrong(name: str, what: str, fix: str) -> SettingError:
    return SettingError(f"{name} {what}", where="deployment", fix=fix)


def _between(self: Parameters, name: str, low: int, high: int, unit: str) -> None:
    value = getattr(self, name)
    if not low <= value <= high:
        raise _wrong(name, f"is {value}", f"set it to {low} to {high} {unit}")


def _check_place(self: Parameters) -> None:
    if not SUFFIX.fullmatch(self.environment_suffix):
        raise _wrong(
            "environment_suffix",
            f"is {self.environment_suffix!r}",
            "a lower-case letter first, then letters, digits and single hyphens, as in prod-2",
        )
    for name, region in (
        ("aws_region", self.aws_region),
        ("state_bucket_region", self.state_region),
    ):
        if not REGION.fullmatch(region) or region not in regions():
            raise _wrong(
                name,
                f"is {region!r}, which is no region with Kinesis",
                "set it to one such as eu-west-2 (London), eu-central-1 or eu-west-1",
            )
    if self.state_bucket and (not BUCKET.fullmatch(self.state_bucket) or ".." in self.state_bucket):
        raise _wrong("state_bucket", f"is {self.state_bucket!r}", "set it to the name of a bucket")
    if self.state_bucket_region and not self.state_bucket:
        raise _wrong("state_bucket_region", "is set without a bucket", "set state_bucket as well")
    if not VERSIONS.fullmatch(self.provider_version):
        raise _wrong(
            "provider_version",
            f"is {self.provider_version!r}",
            "write it as Terraform does: >= 5.100.0, < 7.0.0",
        )


def _check_names(self: Parameters) -> None:
    names = {**NAMES_MAX, **(DOOR_NAMES_MAX if self.page_url else {})}
    for pattern, (limit, who) in names.items():
        name = pattern.format(self.environment_suffix, region=self.aws_region)
        if len(name) > limit:
            raise _wrong(
                "environment_suffix",
                f"is too long: {who} takes {limit} characters for {name}",
                f"shorten it by {len(name) - limit}",
            )
    for key, value in self.default_tags.items():
        if not key or len(key) > 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise _wrong(
                "default_tags",
                f"has the tag {key[:130]!r}",
                "1 to 128 characters, not beginning with aws:, and at most 256 of value",
            )
    if len(self.tags) > 45:
        raise _wrong("default_tags", f"has {len(self.default_tags)} tags", "AWS takes 50 in all")


def _check_sizes(self: Parameters) -> None:
    _between(self, "shards", 1, 500, "shards")
    _between(self, "retention_hours", 24, 8_760, "hours")
    _between(self, "backup_days", 1, 35, "days: a record without backups is none")
    _between(self, "database_gb", 20, 65_536, "GB")
    _between(self, "cache_replicas", 1, 5, "replicas: fail-over needs one")
    _between(self, "rotation_days", 1, 365, "days")
    _between(self, "anchor_days", 1, 36_500, "days")
    _between(self, "database_port", 1, 65_535, "")
    if self.database_gb_max < self.database_gb * 1.1:
        raise _wrong(
            "database_gb_max",
            f"is {self.database_gb_max}",
            f"RDS grows to at least a tenth more: {-(-self.database_gb * 11 // 10)} or above",
        )
    if self.log_days not in LOG_DAYS:
        raise _wrong("log_days", f"is {self.log_days}", f"one of {', '.join(map(str, LOG_DAYS))}")
    for name, prefix in (("database_class", "db"), ("cache_node_type", "cache")):
        if not re.fullmatch(prefix + r"\.[a-z0-9]+\.(\d+x)?[a-z]+", getattr(self, name)):
            raise _wrong(name, f"is {getattr(self, name)!r}", f"write it as in {prefix}.t3.micro")


def _check_tasks(self: Parameters) -> None:
    _between(self, "tasks", 2, 500, "tasks: one in each zone")
    if self.task_cpu not in FARGATE_MEMORY:
        raise _wrong(
            "task_cpu", f"is {self.task_cpu}", f"Fargate has {', '.join(map(str, FARGATE_MEMORY))}"
        )
    fitting = FARGATE_MEMORY[self.task_cpu]
    if self.task_memory not in fitting:
        raise _wrong(
            "task_memory",
            f"is {self.task_memory}",
            f"with task_cpu {self.task_cpu} Fargate has {', '.join(map(str, fitting))}",
        )
    tag = self.image.rpartition("/")[2]
    if self.image and (":" not in tag and "@sha256:" not in self.image):
        raise _wrong(
            "image",
            f"is {self.image!r}, which names no version",
            "add :TAG or @sha256:DIGEST, so that a roll-back can find it",
        )
    if tag.endswith(":latest"):
        raise _wrong(
            "image", "is tagged latest, which moves", "name a version, so that roll-back works"
        )


def _check_producers(self: Parameters) -> None:
    for producer in self.producers:
        if not re.fullmatch(r"arn:aws:iam::\d{12}:(role|user)/.+", producer):
            raise _wrong("producers", f"has {producer!r}", "name ARNs of roles or users")


def _check_existing(self: Parameters) -> None:
    for name, pattern in PARTS.items():
        value = getattr(self, name)
        if value and not re.fullmatch(pattern, value):
            raise _wrong(name, f"is {value!r}", f"it must look like {pattern}")
    if self.stream_arn and f":kinesis:{self.aws_region}:" not in self.stream_arn:
        raise _wrong(
            "stream_arn", f"is not in {self.aws_region}", "sensor data stays in one region"
        )
    needs = ("database_admin_secret_arn", "database_security_group_id")
    for name in needs:
        if bool(self.database_host) != bool(getattr(self, name)):
            raise _wrong(name, "and database_host go together", f"set them and {needs[0]} all")


def _check_page(self: Parameters) -> None:
    needs = ("page_certificate_arn", "page_from", "page_issuer")
    for name in needs:
        if bool(self.page_url) != bool(getattr(self, name)):
            raise _wrong(name, "and page_url go together", f"set page_url, {', '.join(needs)} all")
    if self.page_client_secret_arn and not self.page_url:
        raise _wrong("page_client_secret_arn", "is set without page_url", "set page_url as well")
    if not self.page_url:
        return
    if not self.page:
        raise _wrong("page_url", "is set without a page", "set page = true as well")
    if self.isolated:
        raise _wrong(
            "page_url",
            "is set with isolated, where no task reaches an OpenID provider",
            "leave one of them out: port forwarding reaches an isolated page",
        )
    for name in ("page_certificate_arn", "page_client_secret_arn"):
        arn = getattr(self, name)
        if arn and arn.split(":")[3] != self.aws_region:
            raise _wrong(name, f"is not in {self.aws_region}", "name one of the same region")
    for network in self.page_from:
        _check_network(network)


def _check_network(network: str) -> None:
    try:
        found = IPv4Network(network)
    except ValueError as error:
        raise _wrong("page_from", f"has {network!r}: {error}", "as in 10.20.0.0/16") from None
    if not found.is_private:
        raise _wrong("page_from", f"has {network!r}, which is public", "name private networks")


def _check_subnets(self: Parameters) -> None:
    for name in ("public_subnet_ids", "private_subnet_ids"):
        subnets = getattr(self, name)
        if bool(self.vpc_id) != bool(subnets) and not (name.startswith("public") and self.isolated):
            raise _wrong(
                name, "and vpc_id go together", "name the VPC and two subnets of each kind"
            )
        if subnets and len(set(subnets)) < 2:
            raise _wrong(name, "names fewer than two subnets", "name one in each of two zones")


CHECKS = (
    _check_place,
    _check_names,
    _check_sizes,
    _check_tasks,
    _check_producers,
    _check_existing,
    _check_page,
    _check_subnets,
)
