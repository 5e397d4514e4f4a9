"""Anchors in S3 and keys in KMS, against a server that speaks both: once, locked, and bound."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import botocore.session
import msgspec
import pytest
from botocore.exceptions import ClientError
from moto.server import ThreadedMotoServer

from floorlog.config import load
from floorlog.core.ledger.tree import Growing
from floorlog.errors import InputError, RecordError, ServiceError, SettingError
from floorlog.record.log.anchor import Anchor, Bucket, open_anchor
from floorlog.record.log.anchored import Anchored
from floorlog.record.log.publish import Publisher, read_leaves
from floorlog.record.log.signing_key import WRAPPED, signer_at_hand, signer_of

pytestmark = pytest.mark.slow  # the server's first answer takes seconds
REGION = "eu-west-2"
BUCKET = "plant-anchors"


@pytest.fixture(scope="module")
def cloud() -> Iterator[str]:
    """The address of a server of S3 and KMS."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def client(cloud, monkeypatch):
    """Makes clients of the server, and points everything else there."""
    for name, value in {
        "AWS_ENDPOINT_URL": cloud,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    return lambda service: botocore.session.Session().create_client(service, region_name=REGION)


@pytest.fixture
def bucket(client, request) -> str:
    """A bucket with Object Lock, of this test alone."""
    name = f"{BUCKET}-{abs(hash(request.node.name)) % 10**9}"
    client("s3").create_bucket(
        Bucket=name,
        CreateBucketConfiguration={"LocationConstraint": REGION},
        ObjectLockEnabledForBucket=True,
    )
    return name


def anchor_of(bucket: str, prefix: str = "plant-7/log", days: int = 30) -> Anchor:
    given = {"KINESIS_STREAM_NAME": "s", "REDIS_ENDPOINT": "r:1", "DB_SECRET_ARN": "file:x"}
    settings = load(given, anchor_days=days, region=REGION)
    return open_anchor(f"s3://{bucket}/{prefix}", settings)


def settings_of():
    given = {"KINESIS_STREAM_NAME": "s", "REDIS_ENDPOINT": "r:1", "DB_SECRET_ARN": "file:x"}
    return load(given, region=REGION)


def test_each_thing_is_put_once(client, bucket) -> None:
    """Again is no harm; another under its name is refused, and the first one stays."""
    anchor = anchor_of(bucket)
    assert isinstance(anchor, Bucket)
    anchor.put("000000000007.note", b"seven")
    anchor.put("000000000007.note", b"seven")
    with pytest.raises(RecordError, match=r"ANOTHER 000000000007\.note"):
        anchor.put("000000000007.note", b"other")
    assert anchor.get("000000000007.note") == b"seven"
    assert not anchor.keep("000000000007.note", b"other")
    versions = client("s3").list_object_versions(Bucket=bucket)["Versions"]
    assert [one["Key"] for one in versions] == ["plant-7/log/000000000007.note"]
    with pytest.raises(FileNotFoundError):
        anchor.get("000000000008.note")


def test_each_thing_is_locked_until_its_date(client, bucket) -> None:
    """In compliance mode, for the days that were asked for: nobody can delete it before."""
    anchor_of(bucket, days=30).put("000000000007.note", b"seven")
    key, s3 = "plant-7/log/000000000007.note", client("s3")
    head = s3.head_object(Bucket=bucket, Key=key)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    until = datetime.now(UTC) + timedelta(days=30)
    assert abs(head["ObjectLockRetainUntilDate"] - until) < timedelta(minutes=5)
    with pytest.raises(ClientError, match="AccessDenied"):
        s3.delete_object(Bucket=bucket, Key=key, VersionId=head["VersionId"])
    anchor_of(bucket, days=0).put("000000000008.note", b"eight")
    assert "ObjectLockMode" not in s3.head_object(Bucket=bucket, Key=key.replace("7.n", "8.n"))


def test_names_are_listed_to_the_end(client, bucket, monkeypatch) -> None:
    """More than one page of them, down to the next slash, and none of another prefix."""
    monkeypatch.setattr("floorlog.record.log.bucket.PAGE_NAMES", 3)
    s3 = client("s3")
    for number in range(1, 12):
        s3.put_object(Bucket=bucket, Key=f"many/{number:012}.note", Body=str(number).encode())
    s3.put_object(Bucket=bucket, Key="many/tile/0/000", Body=b"")
    s3.put_object(Bucket=bucket, Key="more/000000000001.note", Body=b"")
    anchor = anchor_of(bucket, "many")
    assert anchor.sizes() == list(range(1, 12))
    assert anchor.get_many(anchor.names(""))[-1] == b"11"
    assert anchor.names("tile/0/") == ["tile/0/000"]
    assert anchor_of(bucket, "").names("more/") == ["more/000000000001.note"]


def test_a_log_lives_there(client, bucket) -> None:
    """Notes, tiles, key and statements: the same through a bucket as through a directory."""
    anchor = anchor_of(bucket)
    kms = client("kms").create_key()["KeyMetadata"]["KeyId"]
    signer = signer_of(f"kms:{kms}", anchor, settings_of(), may_create=True)
    anchor.put_key(str(signer.key))
    leaves = [bytes((n % 256,)) * 32 for n in range(600)]
    publisher, tree = Publisher(anchor, signer), Growing()
    publisher.open()
    for begin in range(0, 600, 200):
        tree.extend(leaves[begin : begin + 200])
        publisher.frontier.extend(leaves[begin : begin + 200])
        publisher.publish(tree)
    again = anchor_of(bucket)
    assert again.sizes() == [200, 400, 600]
    assert read_leaves(again, again.spans(), 0, 600) == leaves
    known = Anchored(again)
    assert (known.findings, known.notes[600].root) == ([], tree.root())


def test_the_key_is_wrapped_and_bound(client, bucket) -> None:
    """Made once, unwrapped at each start as the same; of no use under another log's name."""
    anchor, settings = anchor_of(bucket), settings_of()
    kms = client("kms").create_key()["KeyMetadata"]["Arn"]
    with pytest.raises(InputError, match="the wrapped signing key is gone"):
        signer_of(f"kms:{kms}", anchor, settings, may_create=False)
    first = signer_of(f"kms:{kms}", anchor, settings, may_create=True)
    for may_create in (True, False):
        assert signer_of(f"kms:{kms}", anchor, settings, may_create=may_create).key == first.key
    wrapped = anchor.get(WRAPPED)
    assert first._secret not in wrapped
    other = anchor_of(bucket, "other")
    other.keep(WRAPPED, wrapped.replace(first.key.name.encode(), b"floorlog-00000000"))
    with pytest.raises(ServiceError, match="KMS does not decrypt"):
        signer_of(f"kms:{kms}", other, settings, may_create=False)
    gone = anchor_of(bucket, "gone")
    gone.keep(WRAPPED, wrapped.replace(kms.rpartition("/")[2].encode(), b"0" * 8))
    with pytest.raises(ServiceError, match="KMS does not decrypt"):
        signer_of(f"kms:{kms}", gone, settings, may_create=False)
    torn = anchor_of(bucket, "torn")
    torn.keep(WRAPPED, wrapped[:-5])
    with pytest.raises(InputError, match="no wrapped signing key"):
        signer_of(f"kms:{kms}", torn, settings, may_create=False)


def test_who_exports_signs_with_the_wrapped_key(client, bucket) -> None:
    """Where KMS unwraps it, as the keeper does; nobody makes one, and none is needed."""
    anchor = anchor_of(bucket)
    kms = client("kms").create_key()["KeyMetadata"]["Arn"]
    settings = settings_of()
    assert signer_at_hand(settings, anchor) is None
    named = msgspec.structs.replace(settings, signing_key=f"kms:{kms}")
    with pytest.raises(InputError, match="the wrapped signing key is gone"):
        signer_at_hand(named, anchor)
    first = signer_of(f"kms:{kms}", anchor, settings, may_create=True)
    found = signer_at_hand(named, anchor)
    assert found is not None
    assert found.key == first.key
    nowhere = msgspec.structs.replace(settings, signing_key="/nonexistent/key")
    assert signer_at_hand(nowhere, anchor) is None


def test_what_cannot_be_reached_is_told(client, bucket, monkeypatch) -> None:
    """A bucket that is not there, an address that nobody answers: OSError, as files raise it."""
    with pytest.raises(OSError, match="NoSuchBucket"):
        anchor_of("no-such-bucket").put("a", b"")
    with pytest.raises(OSError, match="NoSuchBucket"):
        anchor_of("no-such-bucket").sizes()
    with pytest.raises(SettingError, match="names no bucket"):
        anchor_of("")
    with pytest.raises(SettingError, match="neither a directory nor"):
        open_anchor("gs://bucket", settings_of())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(OSError, match="Could not connect"):
        anchor_of(bucket).get("a")
