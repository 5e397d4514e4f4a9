"""Anchor: where signed notes of the log go, and nobody can change or remove one in its time."""

from dataclasses import dataclass

from cdktn_provider_aws.kms_alias import KmsAlias
from cdktn_provider_aws.kms_key import KmsKey
from cdktn_provider_aws.s3_bucket import S3Bucket
from cdktn_provider_aws.s3_bucket_object_lock_configuration import (
    S3BucketObjectLockConfigurationA,
)

from floorlog.infra.bucket import admit, settle
from floorlog.infra.part import Room, allow, policy
from floorlog.infra.waivers import NO_ACCESS_LOG, ONE_REGION


@dataclass(frozen=True)
class Anchor:
    """The bucket, and the key that wraps the one that signs."""

    bucket: str
    bucket_arn: str
    key_arn: str


def anchor(room: Room, account: str) -> Anchor | None:
    """A bucket with Object Lock, and a key; None where no anchor is asked for."""
    asked = room.parameters
    if not asked.anchor:
        return None
    key_arn = _key(room, account)
    bucket = room.add(
        S3Bucket,
        "anchors",
        "signed notes of the log, outside the database and beyond its owner's reach",
        waived=(ONE_REGION, NO_ACCESS_LOG),
        bucket=room.name(f"iot-anchors-{account}-{asked.aws_region}"),
        object_lock_enabled=True,
        force_destroy=asked.throw_away,
    )
    versions = settle(room, "anchors", bucket, key_arn)
    # COMPLIANCE: not even the account's root user shortens it.
    mode, days = ("GOVERNANCE", 1) if asked.throw_away else ("COMPLIANCE", asked.anchor_days)
    room.add(
        S3BucketObjectLockConfigurationA,
        "anchors-lock",
        f"a note stays as it is for {days} days",
        bucket=bucket.id,
        rule={"default_retention": {"mode": mode, "days": days}},
        depends_on=[versions],
    )
    admit(room, "anchors", bucket)
    return Anchor(bucket.bucket, bucket.arn, key_arn)


def _key(room: Room, account: str) -> str:
    root = {"AWS": f"arn:aws:iam::{account}:root"}
    key = room.add(
        KmsKey,
        "signing-key",
        "wraps the key that signs the log's notes, and encrypts the notes",
        usage={"kms key": 1},
        description=room.name("iot-signing-key"),
        enable_key_rotation=True,
        deletion_window_in_days=7 if room.parameters.throw_away else 30,
        policy=policy(allow("Account", ["kms:*"], "*", Principal=root)),
        tags={"Name": room.name("iot-signing-key")},
    )
    room.add(
        KmsAlias,
        "signing-key-alias",
        "the key's name",
        name=f"alias/{room.name('iot-signing-key')}",
        target_key_id=key.key_id,
    )
    return str(key.arn)
