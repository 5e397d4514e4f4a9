"""Objects in S3: each thing an object of its own, written once, locked until a date."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from floorlog.errors import SettingError

SCHEME = "s3://"
PAGE_NAMES = 1_000  # as many as S3 gives at once
READERS = 16  # requests at once where many notes are read
_ABSENT = {"NoSuchKey", "404", "NotFound"}
_TAKEN = {"PreconditionFailed", "412", "ConditionalRequestConflict", "409"}


class BucketError(OSError):
    """A bucket did not answer, or refused."""


class Objects:
    """Objects of a bucket with Object Lock; raises OSError as files do.

    Each is put on condition that there is none of its name, with a date until which nobody, not
    even the account's root, can remove or replace it (compliance mode).

    Args:
        where: `s3://bucket` or `s3://bucket/prefix`.
        region: of the bucket.
        days: for how long each object is locked; 0 leaves that to the bucket's default.

    Raises:
        SettingError: that is no name of a bucket.
    """

    def __init__(self, where: str, region: str, days: int) -> None:
        from botocore.config import Config  # noqa: PLC0415 - what runs locally starts sooner without it
        from botocore.session import Session  # noqa: PLC0415 - what runs locally starts sooner without it

        self._bucket, _, prefix = where.removeprefix(SCHEME).partition("/")
        if not self._bucket:
            raise SettingError(
                f"FLOORLOG_ANCHOR is {where!r}, which names no bucket",
                where="environment",
                fix="set it to s3://bucket/prefix, or to a directory",
            )
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._days = days
        config = Config(
            connect_timeout=5,
            read_timeout=20,
            retries={"total_max_attempts": 3, "mode": "standard"},
            max_pool_connections=READERS,
        )
        self._client = Session().create_client("s3", region_name=region, config=config)

    def names(self, begins: str) -> list[str]:
        """The names that begin so, down to the next slash, ascending."""
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            answer = self._ask(
                "list_objects_v2",
                begins,
                Prefix=self._prefix + begins,
                Delimiter="/",
                MaxKeys=PAGE_NAMES,
                **more,
            )
            found += [one["Key"] for one in answer.get("Contents", ())]
            if not answer.get("IsTruncated"):
                return sorted(name.removeprefix(self._prefix) for name in found)
            more = {"ContinuationToken": answer["NextContinuationToken"]}

    def get(self, name: str) -> bytes:
        """The content of an object. Raises FileNotFoundError where there is none."""
        answer = self._ask("get_object", name, Key=self._prefix + name)
        body: bytes = answer["Body"].read()
        return body

    def get_many(self, names: Sequence[str]) -> list[bytes]:
        """The contents of many, in their order."""
        with ThreadPoolExecutor(READERS) as readers:
            return list(readers.map(self.get, names))

    def keep(self, name: str, data: bytes) -> bool:
        """Put an object; False where there is one."""
        lock = {}
        if self._days:
            until = datetime.now(UTC) + timedelta(days=self._days)
            lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
        try:
            self._ask(
                "put_object",
                name,
                Key=self._prefix + name,
                Body=data,
                IfNoneMatch="*",
                ChecksumAlgorithm="SHA256",
                **lock,
            )
        except FileExistsError:
            return False
        return True

    def _ask(self, operation: str, name: str, **values: object) -> Any:  # noqa: ANN401 - botocore's answer
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - what runs locally starts sooner without it

        try:
            return getattr(self._client, operation)(Bucket=self._bucket, **values)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            if code in _ABSENT:
                raise FileNotFoundError(2, "no such object", name) from error
            if code in _TAKEN:
                raise FileExistsError(17, "there is one", name) from error
            raise BucketError(5, str(error), f"{SCHEME}{self._bucket}/{name}") from error
        except BotoCoreError as error:
            raise BucketError(5, str(error), f"{SCHEME}{self._bucket}/{name}") from error
