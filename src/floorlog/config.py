"""The settings: the only place that reads the environment."""

import os
import socket
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

import msgspec

from floorlog.errors import SettingError

PREFIX = "FLOORLOG_"

_NAMES = {
    "stream": "KINESIS_STREAM_NAME",
    "redis": "REDIS_ENDPOINT",
    "db_secret": "DB_SECRET_ARN",
    "region": "AWS_REGION",
}


def _doc(text: str, ge: float | None = None, le: float | None = None) -> msgspec.Meta:
    return msgspec.Meta(description=text, ge=ge, le=le)


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that can be set, read once at start."""

    stream: Annotated[str, _doc("Name of the Kinesis stream to read.")]
    redis: Annotated[str, _doc("The cache, as `host:port`.")]
    db_secret: Annotated[
        str,
        _doc(
            "The secret with username, password, host, port and dbname as JSON: "
            "its ARN, or `file:PATH` to a file that only its owner may read."
        ),
    ]
    region: Annotated[str, _doc("AWS region of the stream and the secret.")] = "eu-west-2"
    worker_id: Annotated[str, _doc("This worker's name; host and process by default.")] = ""
    lease_seconds: Annotated[
        float, _doc("How long a shard stays with a worker that says nothing.", ge=1, le=300)
    ] = 10.0
    batch_records: Annotated[
        int, _doc("Most records that one transaction commits.", ge=1, le=10_000)
    ] = 10_000
    batch_readings: Annotated[
        int, _doc("Readings after which a batch takes no further record.", ge=1, le=1_000_000)
    ] = 20_000
    poll_ms: Annotated[
        int, _doc("Pause between reads at the tip of a shard.", ge=200, le=5_000)
    ] = 600
    snapshot_seconds: Annotated[
        float, _doc("Time between two snapshots of a shard's state.", ge=1, le=3_600)
    ] = 300.0
    future_seconds: Annotated[
        int, _doc("How far ahead of its arrival a time stamp may be.", ge=0, le=86_400)
    ] = 300
    series_max: Annotated[int, _doc("Most series in one record.", ge=1, le=1_000_000)] = 100_000
    web_port: Annotated[int, _doc("Port of the page; 0 takes a free one.", ge=0, le=65_535)] = 8_080
    web_host: Annotated[
        str, _doc("Address that the page listens on; another than loopback needs log-ins.")
    ] = "127.0.0.1"
    web_proxies: Annotated[
        str,
        _doc(
            "Proxies in front of the page, as addresses or networks with commas between: from "
            "these, X-Forwarded-For says who asks, for limits and audit. Empty: nobody's word."
        ),
    ] = ""
    web_url: Annotated[
        str, _doc("The page's address as browsers reach it, through what speaks TLS before it.")
    ] = ""
    web_spool: Annotated[
        str,
        _doc(
            "Directory for files that people send to the page or have made there; empty: the "
            "system's place for what is temporary."
        ),
    ] = ""
    users: Annotated[
        str, _doc("File of those who may log in, made by `floorlog user`; empty: local mode.")
    ] = ""
    oidc_issuer: Annotated[
        str, _doc("OpenID provider where people log in; empty for none. Needs WEB_URL.")
    ] = ""
    oidc_client: Annotated[str, _doc("The page's client id at the OpenID provider.")] = "floorlog"
    oidc_secret: Annotated[
        str, _doc("The page's secret at the OpenID provider; empty for a public client.")
    ] = ""
    oidc_role_claim: Annotated[
        str, _doc("Claim that lists roles, as `operator` or `floorlog-operator`.")
    ] = "roles"
    alarm_budget: Annotated[
        int,
        _doc(
            "Alarms that may ring in any ten minutes, critical ones aside; "
            "the keeper groups the others under the first. 0 groups none.",
            ge=0,
            le=1_000,
        ),
    ] = 10
    notify: Annotated[
        str, _doc("File of channels and routes by which the keeper tells people of alarms.")
    ] = ""
    anchor: Annotated[
        str,
        _doc(
            "Where the keeper puts signed notes: a directory that the database cannot write to, or "
            "`s3://bucket/prefix` of a bucket with Object Lock."
        ),
    ] = ""
    anchor_seconds: Annotated[
        float, _doc("Time between two signed notes of a log that grows.", ge=1, le=60)
    ] = 30.0
    anchor_days: Annotated[
        int,
        _doc(
            "For how long S3 locks each note and tile; 0 leaves it to the bucket's default.",
            ge=0,
            le=36_525,
        ),
    ] = 3_653
    signing_key: Annotated[
        str,
        _doc(
            "The key that signs notes: a file, or `kms:` and the key of KMS that wraps it beside "
            "the anchors. Made at the keeper's first start."
        ),
    ] = ""
    timestamp_url: Annotated[
        str, _doc("A time stamp authority (RFC 3161) that is asked about notes; empty for none.")
    ] = ""
    timestamp_seconds: Annotated[
        float, _doc("Time between two notes that are stamped.", ge=0, le=86_400)
    ] = 3_600.0
    db_ca: Annotated[
        str,
        _doc("File of the authorities that the database's certificate must be of; else no TLS."),
    ] = ""
    health_file: Annotated[
        str, _doc("File that the worker renews while its shards go on, for `floorlog health`.")
    ] = ""
    health_seconds: Annotated[
        float, _doc("How long a shard may stand still and count as healthy.", ge=10, le=3_600)
    ] = 300.0
    cache_password: Annotated[str, _doc("Password of the cache; empty for none.")] = ""
    cache_tls: Annotated[bool, _doc("Speak TLS to the cache.")] = False
    cache_user: Annotated[str, _doc("Name of the user at the cache; empty for its default.")] = ""
    cache_iam: Annotated[
        str,
        _doc("ElastiCache replication group: log in by tokens of the AWS role, not a password."),
    ] = ""
    admin_secret: Annotated[
        str,
        _doc(
            "For `migrate` and `rotate`: the secret with username and password of a role that may "
            "create roles; where the database is, DB_SECRET_ARN says."
        ),
    ] = ""
    role_secrets: Annotated[
        str, _doc("For `migrate` and `rotate`: `ROLE=ARN,…`, the secret of each log-in role.")
    ] = ""
    environment: Annotated[str, _doc("Name of this deployment; measures carry it.")] = "local"
    metrics: Annotated[
        Literal["off", "emf"],
        _doc("Write measures to stdout in CloudWatch's embedded metric format, or not at all."),
    ] = "off"
    log_format: Annotated[
        Literal["text", "json"], _doc("The log's form: lines for a person, or JSON objects.")
    ] = "text"
    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR"], _doc("What the log holds: this and worse.")
    ] = "INFO"


# What would lead botocore past the keys that local services go by.
_OTHER_CREDENTIALS = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")


def inherited(others: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment for a child, with other variables in it.

    Where `others` bring AWS keys, the caller's own profile and session are left out.
    """
    found = {**os.environ, **(others or {})}
    if others and "AWS_ACCESS_KEY_ID" in others:
        for name in _OTHER_CREDENTIALS:
            found.pop(name, None)
    return found


def adopt(variables: Mapping[str, str]) -> None:
    """Make variables this process's own, such as those of local services."""
    found = inherited(variables)
    for name in set(os.environ) - set(found):
        del os.environ[name]
    os.environ.update(found)


def variable(field: str) -> str:
    """The environment variable of a field of Settings."""
    return _NAMES.get(field, PREFIX + field.upper())


def load(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings. Raises SettingError naming the variable and the mend."""
    env = os.environ if environment is None else environment
    given: dict[str, object] = {}
    for field in Settings.__struct_fields__:
        text = env.get(variable(field))
        if text not in (None, ""):
            given[field] = text.upper() if field == "log_level" else text
    given.update({name: value for name, value in overrides.items() if value is not None})
    for field in ("stream", "redis", "db_secret"):
        if field not in given:
            raise SettingError(
                f"{variable(field)} is not set",
                where="environment",
                fix=f"set {variable(field)} ({_description(field)})",
            )
    given.setdefault("worker_id", f"{socket.gethostname()}-{os.getpid()}")
    return _convert(given)


def _convert(given: dict[str, object]) -> Settings:
    for field, value in given.items():
        kind = Settings.__annotations__[field]
        try:
            msgspec.convert(value, kind, strict=False)
        except msgspec.ValidationError:
            defaults = {each.name: each.default for each in msgspec.structs.fields(Settings)}
            meaning = _description(field).rstrip(".")
            raise SettingError(
                f"{variable(field)} is {value!r}, not {_wanted(field)}",
                where="environment",
                fix=f"set it to such, or leave it out for {defaults[field]} ({meaning})",
            ) from None
    return msgspec.convert(given, Settings, strict=False)


_KINDS = {int: "a whole number", float: "a number", bool: "true or false"}


def _wanted(field: str) -> str:
    """What a setting takes, in words: `a whole number from 0 to 65535`."""
    kind, *metas = get_args(Settings.__annotations__[field])
    words = _KINDS.get(kind) or f"one of {', '.join(get_args(kind))}"
    for meta in metas:
        if meta.ge is not None:
            words += f" from {meta.ge} to {meta.le}"
    return words


def _description(field: str) -> str:
    for meta in Settings.__annotations__[field].__metadata__:
        if isinstance(meta, msgspec.Meta) and meta.description:
            return meta.description
    return ""


def reference() -> list[tuple[str, str, str]]:
    """Every setting as (variable, default, description), for the documentation."""
    rows = []
    for field in msgspec.structs.fields(Settings):
        default = "required" if field.default is msgspec.NODEFAULT else repr(field.default)
        rows.append((variable(field.name), default, _description(field.name)))
    return rows
