"""Anchor: where signed notes of the log go, and nobody can change or remove one in its time."""

from dataclasses import dataclass

from cdktn_provider_aws.kms_alias import KmsAlias
from cdktn_provider_aws.kms_key import KmsKey
from cdktn_provider_aws.s3_bucket import S3Bucket
from cdktn_provider_aws.s3_bucket_lifecycle_configuration import S3BucketLifecycleConfiguration
from cdktn_provider_aws.s3_bucket_notification import S3BucketNotification
from cdktn_provider_aws.s3_bucket_object_lock_configuration import (
    S3BucketObjectLockConfigurationA,
)
from cdktn_provider_aws.s3_bucket_policy import S3BucketPolicy
from cdktn_provider_aws.s3_bucket_public_access_block import S3BucketPublicAccessBlock
from cdktn_provider_aws.s3_bucket_server_side_encryption_configuration import (
    S3BucketServerSideEncryptionConfigurationA,
)
from cdktn_provider_aws.s3_bucket_versioning import S3BucketVersioningA

from floorlog.infra.part import Room, allow, block, policy
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
    versions = _settings(room, bucket.id, key_arn)
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
    refuse = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket.arn, f"{bucket.arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    room.add(
        S3BucketPolicy, "anchors-policy", "by TLS only", bucket=bucket.id, policy=policy(refuse)
    )
    return Anchor(bucket.bucket, bucket.arn, key_arn)


def _settings(room: Room, bucket: str, key_arn: str) -> S3BucketVersioningA:
    versions = room.add(
        S3BucketVersioningA,
        "anchors-versions",
        "Object Lock needs versions",
        bucket=bucket,
        versioning_configuration={"status": "Enabled"},
    )
    default = block(sse_algorithm="aws:kms", kms_master_key_id=key_arn)
    room.add(
        S3BucketServerSideEncryptionConfigurationA,
        "anchors-encryption",
        "encrypted with the signing key's own key",
        bucket=bucket,
        rule=[block(apply_server_side_encryption_by_default=default, bucket_key_enabled=True)],
    )
    room.add(
        S3BucketPublicAccessBlock,
        "anchors-private",
        "never public",
        bucket=bucket,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    room.add(
        S3BucketLifecycleConfiguration,
        "anchors-lifecycle",
        "uploads that were never finished go after a day",
        bucket=bucket,
        rule=[
            block(
                id="unfinished",
                status="Enabled",
                filter=[block(prefix="")],
                abort_incomplete_multipart_upload=[block(days_after_initiation=1)],
            )
        ],
    )
    room.add(
        S3BucketNotification,
        "anchors-events",
        "an auditor's own watch can follow each note as it comes",
        bucket=bucket,
        eventbridge=True,
    )
    return versions


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
