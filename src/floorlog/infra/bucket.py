"""Bucket: what every bucket of the deployment is, whatever it holds."""

from typing import Any

from cdktn_provider_aws.s3_bucket_lifecycle_configuration import S3BucketLifecycleConfiguration
from cdktn_provider_aws.s3_bucket_notification import S3BucketNotification
from cdktn_provider_aws.s3_bucket_policy import S3BucketPolicy
from cdktn_provider_aws.s3_bucket_public_access_block import S3BucketPublicAccessBlock
from cdktn_provider_aws.s3_bucket_server_side_encryption_configuration import (
    S3BucketServerSideEncryptionConfigurationA,
)
from cdktn_provider_aws.s3_bucket_versioning import S3BucketVersioningA

from floorlog.infra.part import Room, block, policy


def settle(room: Room, key: str, bucket: Any, key_arn: str, *, days: int = 0) -> Any:  # noqa: ANN401 - constructs
    """Versions, encryption, no public access, and what goes by itself.

    Args:
        room: where resources go.
        key: the bucket's name within the configuration.
        bucket: its construct.
        key_arn: what it is encrypted with.
        days: after which its objects go; 0 for never.

    Returns:
        Its versioning, which Object Lock waits for.
    """
    versions = room.add(
        S3BucketVersioningA,
        f"{key}-versions",
        "what is written over is still there",
        bucket=bucket.id,
        versioning_configuration={"status": "Enabled"},
    )
    default = block(sse_algorithm="aws:kms", kms_master_key_id=key_arn)
    room.add(
        S3BucketServerSideEncryptionConfigurationA,
        f"{key}-encryption",
        "encrypted with a key of the deployment's own",
        bucket=bucket.id,
        rule=[block(apply_server_side_encryption_by_default=default, bucket_key_enabled=True)],
    )
    room.add(
        S3BucketPublicAccessBlock,
        f"{key}-private",
        "never public",
        bucket=bucket.id,
        block_public_acls=True,
        block_public_policy=True,
        ignore_public_acls=True,
        restrict_public_buckets=True,
    )
    room.add(
        S3BucketNotification,
        f"{key}-events",
        "an auditor's own watch can follow each object as it comes",
        bucket=bucket.id,
        eventbridge=True,
    )
    _lifecycle(room, key, bucket, days)
    return versions


def _lifecycle(room: Room, key: str, bucket: Any, days: int) -> None:  # noqa: ANN401 - a construct
    rules = [
        block(
            id="unfinished",
            status="Enabled",
            filter=[block(prefix="")],
            abort_incomplete_multipart_upload=[block(days_after_initiation=1)],
        )
    ]
    if days:
        rules.append(
            block(
                id="old",
                status="Enabled",
                filter=[block(prefix="")],
                expiration=[block(days=days)],
                noncurrent_version_expiration=[block(noncurrent_days=1)],
            )
        )
    room.add(
        S3BucketLifecycleConfiguration,
        f"{key}-lifecycle",
        f"objects go after {days} days" if days else "unfinished uploads go after a day",
        bucket=bucket.id,
        rule=rules,
    )


def admit(room: Room, key: str, bucket: Any, *statements: dict[str, object]) -> Any:  # noqa: ANN401 - constructs
    """The bucket's policy: TLS only, and what else is said."""
    refuse = {
        "Sid": "TlsOnly",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:*",
        "Resource": [bucket.arn, f"{bucket.arn}/*"],
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    document = policy(refuse, *statements)
    return room.add(
        S3BucketPolicy, f"{key}-policy", "by TLS only", bucket=bucket.id, policy=document
    )
