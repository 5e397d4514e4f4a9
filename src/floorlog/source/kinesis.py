"""The stream as a source: signed calls to Kinesis, answers decoded without a detour.

Only credentials, signing and HTTP come from botocore: its parser takes fifty times as long over a
GetRecords body as a typed decoder does (docs/why/0010-stream-calls.md).
"""

from datetime import UTC, datetime

import msgspec
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.configprovider import ConfiguredEndpointProvider
from botocore.httpsession import URLLib3Session
from botocore.session import Session

from floorlog.core.protocol import (
    Expired,
    Failed,
    Fetch,
    Fetched,
    Gone,
    Seek,
    Shard,
    Sought,
    Throttled,
)
from floorlog.core.reading import MICROSECONDS, Record
from floorlog.errors import ServiceError

_TARGET = "Kinesis_20131202."
_THROTTLES = {
    "ProvisionedThroughputExceededException",
    "LimitExceededException",
    "KMSThrottlingException",
    "ThrottlingException",
}


class _Record(msgspec.Struct):
    SequenceNumber: str
    PartitionKey: str
    Data: bytes
    ApproximateArrivalTimestamp: float


class _Records(msgspec.Struct):
    Records: list[_Record]
    NextShardIterator: str | None = None
    MillisBehindLatest: int = 0


class _Iterator(msgspec.Struct):
    ShardIterator: str


class _HashRange(msgspec.Struct):
    StartingHashKey: str
    EndingHashKey: str


class _Shard(msgspec.Struct):
    ShardId: str
    HashKeyRange: _HashRange
    ParentShardId: str | None = None
    AdjacentParentShardId: str | None = None


class _Shards(msgspec.Struct):
    Shards: list[_Shard]
    NextToken: str | None = None


class _Summary(msgspec.Struct):
    StreamARN: str
    StreamStatus: str
    StreamCreationTimestamp: float
    RetentionPeriodHours: int


class _SummaryAnswer(msgspec.Struct):
    StreamDescriptionSummary: _Summary


class _Fault(msgspec.Struct):
    type: str = msgspec.field(name="__type", default="")
    message: str = ""


class Refusal(Exception):
    """The stream answered with an error."""

    def __init__(self, name: str, message: str) -> None:
        """`name` is the error's name as Kinesis gives it."""
        self.name = name
        super().__init__(f"{name}: {message}")


class Stream:
    """One Kinesis stream; one instance serves one thread."""

    def __init__(self, name: str, region: str, *, timeout_s: float = 10.0) -> None:
        """Find endpoint and credentials as every AWS tool does. Raises ServiceError."""
        self.name = name
        session = Session()
        credentials = session.get_credentials()
        if credentials is None:
            raise ServiceError(
                "no AWS credentials found",
                where="stream",
                fix="give the task a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            )
        self._endpoint = _endpoint(session, region)
        self._signer = SigV4Auth(credentials, "kinesis", region)
        self._http = URLLib3Session(timeout=timeout_s, max_pool_connections=2)
        self._created: float | None = None
        self._records = msgspec.json.Decoder(_Records)

    def identity(self) -> tuple[str, datetime]:
        """The stream's ARN and creation time, asked anew. Raises Refusal, OSError."""
        summary = self._summary()
        return summary.StreamARN, datetime.fromtimestamp(summary.StreamCreationTimestamp, UTC)

    def bind(self, created: datetime) -> None:
        """Read only from the stream made at this time, not from a later one of the same name."""
        self._created = created.timestamp()

    def shards(self) -> tuple[Shard, ...] | Failed:
        """All shards that the stream lists, closed ones included."""
        found: list[_Shard] = []
        body: dict[str, object] = {"StreamName": self.name}
        try:
            while True:
                page = msgspec.json.decode(self._call("ListShards", body), type=_Shards)
                found += page.Shards
                if not page.NextToken:
                    break
                body = {"NextToken": page.NextToken}
        except (Refusal, OSError, msgspec.MsgspecError) as error:
            return Failed(str(error))
        return tuple(_shard(entry) for entry in found)

    def seek(self, command: Seek) -> Sought | Gone | Failed:
        """An iterator at a sequence number, or at the oldest record kept."""
        body: dict[str, object] = {"StreamName": self.name, "ShardId": command.shard_id}
        if command.sequence >= 0:
            body |= {
                "ShardIteratorType": "AT_SEQUENCE_NUMBER",
                "StartingSequenceNumber": str(command.sequence),
            }
        else:
            body["ShardIteratorType"] = "TRIM_HORIZON"
        try:
            summary = self._summary()
            if (
                self._created is not None
                and abs(summary.StreamCreationTimestamp - self._created) > 1
            ):
                return Gone()
            answer = msgspec.json.decode(self._call("GetShardIterator", body), type=_Iterator)
        except (Refusal, OSError, msgspec.MsgspecError) as error:
            reply = _reply(error)
            return reply if isinstance(reply, Gone) else Failed(str(error))
        return Sought(answer.ShardIterator, summary.RetentionPeriodHours * 3600.0)

    def fetch(self, command: Fetch) -> Fetched | Throttled | Expired | Gone | Failed:
        """The next records of a shard."""
        body: dict[str, object] = {"ShardIterator": command.iterator, "Limit": command.limit}
        try:
            answer = self._records.decode(self._call("GetRecords", body))
        except (Refusal, OSError, msgspec.MsgspecError) as error:
            return _reply(error)
        records = tuple(
            Record(
                int(entry.SequenceNumber),
                entry.PartitionKey,
                round(entry.ApproximateArrivalTimestamp * MICROSECONDS),
                entry.Data,
            )
            for entry in answer.Records
        )
        return Fetched(records, answer.NextShardIterator, answer.MillisBehindLatest)

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def _summary(self) -> _Summary:
        content = self._call("DescribeStreamSummary", {"StreamName": self.name})
        return msgspec.json.decode(content, type=_SummaryAnswer).StreamDescriptionSummary

    def _call(self, operation: str, body: dict[str, object]) -> bytes:
        request = AWSRequest(
            method="POST",
            url=self._endpoint,
            data=msgspec.json.encode(body),
            headers={
                "X-Amz-Target": _TARGET + operation,
                "Content-Type": "application/x-amz-json-1.1",
            },
        )
        try:
            self._signer.add_auth(request)  # may have to ask the task's role for new credentials
            response = self._http.send(request.prepare())
        except Exception as error:  # botocore's own tree, HTTPClientError and its kin
            raise OSError(f"{operation}: {error}") from error
        content: bytes = response.content
        if response.status_code == 200:
            return content
        try:
            fault = msgspec.json.decode(content, type=_Fault)
        except msgspec.MsgspecError:
            fault = _Fault(f"HTTP{response.status_code}", content[:200].decode("latin-1"))
        raise Refusal(fault.type.rpartition("#")[2], fault.message)


def _endpoint(session: Session, region: str) -> str:
    """AWS_ENDPOINT_URL_KINESIS and the like, as every AWS tool reads them, else the region's."""
    given = ConfiguredEndpointProvider(
        full_config=session.full_config,
        scoped_config=session.get_scoped_config(),
        client_name="kinesis",
    ).provide()
    return str(given) if given else f"https://kinesis.{region}.amazonaws.com"


def _shard(entry: _Shard) -> Shard:
    parents = tuple(name for name in (entry.ParentShardId, entry.AdjacentParentShardId) if name)
    begin, end = entry.HashKeyRange.StartingHashKey, entry.HashKeyRange.EndingHashKey
    return Shard(entry.ShardId, parents, int(begin), int(end))


def _reply(error: Exception) -> Throttled | Expired | Gone | Failed:
    name = error.name if isinstance(error, Refusal) else ""
    if name in _THROTTLES:
        return Throttled()
    if name == "ExpiredIteratorException":
        return Expired()
    if name == "ResourceNotFoundException":
        return Gone()
    return Failed(str(error))
