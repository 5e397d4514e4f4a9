"""Patch: Object Lock as S3 has it since 2023: its default may change when there are objects.

Documented behaviour (S3 user guide, Object Lock considerations): it can be turned on for a bucket
that exists, and a new default applies to objects that come later. A bucket with Object Lock keeps
its versions: suspending them fails with InvalidBucketState.
"""

from typing import Any

from moto.s3.exceptions import InvalidBucketState
from moto.s3.models import S3Backend

_set_versioning = S3Backend.put_bucket_versioning
KEEPS = (
    "An Object Lock configuration is present on this bucket, so the versioning state cannot be"
    " changed."
)


def apply() -> None:
    """Let the default be changed at any time, and the versions stay."""
    S3Backend.put_object_lock_configuration = _configure
    S3Backend.put_bucket_versioning = _version


def _configure(
    self: S3Backend,
    bucket_name: str,
    lock_enabled: bool,
    mode: str | None = None,
    days: int | None = None,
    years: int | None = None,
) -> None:
    bucket = self.get_bucket(bucket_name)
    if lock_enabled:
        bucket.object_lock_enabled = True
        bucket.versioning_status = "Enabled"
    bucket.default_lock_mode = mode
    bucket.default_lock_days = days
    bucket.default_lock_years = years


def _version(self: S3Backend, bucket_name: str, status: str) -> Any:
    if self.get_bucket(bucket_name).object_lock_enabled and status != "Enabled":
        raise InvalidBucketState(KEEPS)
    return _set_versioning(self, bucket_name, status)
