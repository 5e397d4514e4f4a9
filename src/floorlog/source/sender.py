"""The other end of the stream: PutRecords within the limits, each record sent until it is taken."""

import hashlib
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import Session

from floorlog.errors import InputError, ServiceError

REQUEST_RECORDS_MAX = 500
REQUEST_BYTES_MAX = 5 << 20
RECORD_BYTES_MAX = 1 << 20
# A little under what a shard takes, so that a clock that runs fast does not meet the limit.
SHARD_BYTES_PER_SECOND = 0.97 * (1 << 20)
SHARD_RECORDS_PER_SECOND = 970.0
PAUSE_SECONDS_MIN, PAUSE_SECONDS_MAX = 0.05, 2.0
PATIENCE_SECONDS = 60.0
ACTIVE_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One record to send: its partition key and its bytes."""

    partition_key: str
    data: bytes

    @property
    def size_bytes(self) -> int:
        """What Kinesis counts."""
        return len(self.data) + len(self.partition_key.encode())


class Allowance:
    """What one shard takes now: a bucket of one second for bytes and one for records."""

    def __init__(self, now: float) -> None:
        """Start half full: others may have written just before."""
        self._bytes, self._records = SHARD_BYTES_PER_SECOND / 2, SHARD_RECORDS_PER_SECOND / 2
        self._at = now

    def refill(self, now: float) -> None:
        """Let the time since the last call count."""
        gone = max(0.0, now - self._at)
        self._at = now
        self._bytes = min(SHARD_BYTES_PER_SECOND, self._bytes + gone * SHARD_BYTES_PER_SECOND)
        self._records = min(
            SHARD_RECORDS_PER_SECOND, self._records + gone * SHARD_RECORDS_PER_SECOND
        )

    def take(self, size_bytes: int) -> bool:
        """Count one record, if there is room for it."""
        # A record of 1 MiB is more than a bucket ever holds: it waits for a full one.
        if self._records < 1 or self._bytes < min(size_bytes, SHARD_BYTES_PER_SECOND * 0.99):
            return False
        self._records -= 1
        self._bytes -= size_bytes
        return True

    def empty(self) -> None:
        """The shard said that it was too much: begin from nothing."""
        self._bytes = min(self._bytes, 0.0)
        self._records = min(self._records, 0.0)


class Sender:
    """Sends records into one stream; for one thread.

    Records of one partition key keep their order as long as the stream takes them at the first
    attempt; a record that was refused may come after its successors, as with every producer.
    What was sent may arrive twice where an answer was lost: the record counts it as duplicate.

    Args:
        name: the stream.
        region: of AWS.
        monotonic, sleep: the clock, for tests.

    Raises:
        ServiceError: by every method, when the stream cannot be reached or does not take a record
            within a minute.
    """

    def __init__(
        self,
        name: str,
        region: str,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.name = name
        self._monotonic, self._sleep = monotonic, sleep
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=10)
        try:
            self._client: Any = Session().create_client(
                "kinesis", region_name=region, config=config
            )
        except BotoCoreError as error:
            raise self._failed("cannot be spoken to", error) from error
        self.newest: dict[str, int] = {}
        """Of each shard that took a record, the highest sequence number."""
        self._starts: list[int] = []
        self._allowances: list[Allowance] = []

    def create(self, shards: int) -> bool:
        """Create the stream and wait until it takes records; False if it was there already."""
        made = False
        deadline = self._monotonic() + ACTIVE_SECONDS_MAX
        try:
            try:
                self._client.create_stream(StreamName=self.name, ShardCount=shards)
                made = True
            except self._client.exceptions.ResourceInUseException:
                made = False
            while self._status() != "ACTIVE":
                if self._monotonic() > deadline:
                    raise ServiceError(
                        f"the stream {self.name} does not become active",
                        where="stream",
                        fix="look at its status, and try again",
                    )
                self._sleep(0.1)
        except (BotoCoreError, ClientError) as error:
            raise self._failed("cannot be created", error) from error
        return made

    def put(self, entries: Iterable[Entry]) -> int:
        """Send all entries in their order, waiting where the shards' limits ask for it.

        Returns:
            How many records were refused at first and had to be sent again.

        Raises:
            InputError: a record is larger than a stream takes.
        """
        again = 0
        for request in _requests(entries):
            waiting: list[Entry] = request
            deadline = self._monotonic() + PATIENCE_SECONDS
            pause = PAUSE_SECONDS_MIN
            while waiting:
                now_sent, later = self._allowed(waiting)
                refused: list[Entry] = []
                if now_sent:
                    refused, reason = self._send(now_sent)
                    again += len(refused)
                    if len(refused) < len(now_sent):
                        deadline = self._monotonic() + PATIENCE_SECONDS
                        pause = PAUSE_SECONDS_MIN
                    elif self._monotonic() > deadline:
                        raise ServiceError(
                            f"the stream {self.name} took nothing for "
                            f"{PATIENCE_SECONDS:.0f} s: {reason}",
                            where="stream",
                            fix="see that it is reachable and has shards enough, and send again",
                        )
                waiting = refused + later
                if refused:
                    self._sleep(pause)
                    pause = min(pause * 2, PAUSE_SECONDS_MAX)
                elif waiting:
                    self._sleep(0.01)
        return again

    def put_one(self, entry: Entry) -> tuple[str, str]:
        """Send one record; returns the shard and the sequence number that it got.

        Raises:
            InputError: the record is larger than a stream takes.
        """
        list(_requests([entry]))
        deadline = self._monotonic() + PATIENCE_SECONDS
        pause = PAUSE_SECONDS_MIN
        while True:
            try:
                answer = self._client.put_record(
                    StreamName=self.name, Data=entry.data, PartitionKey=entry.partition_key
                )
            except (BotoCoreError, ClientError) as error:
                refused = isinstance(error, ClientError) and not _is_passing(error)
                if refused or self._monotonic() > deadline:
                    raise self._failed("does not take the record", error) from error
            else:
                return str(answer["ShardId"]), str(answer["SequenceNumber"])
            self._sleep(pause)
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _allowed(self, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Those that their shards take now, and the rest; nothing overtakes within a shard."""
        if not self._starts:
            self._learn_shards()
        now = self._monotonic()
        for allowance in self._allowances:
            allowance.refill(now)
        taken: list[Entry] = []
        rest: list[Entry] = []
        full: set[int] = set()
        for entry in entries:
            shard = self._shard(entry)
            if shard in full or not self._allowances[shard].take(entry.size_bytes):
                full.add(shard)
                rest.append(entry)
            else:
                taken.append(entry)
        return taken, rest

    def _send(self, entries: Sequence[Entry]) -> tuple[list[Entry], str]:
        """One request: the entries that were not taken, and why."""
        records = [{"Data": entry.data, "PartitionKey": entry.partition_key} for entry in entries]
        try:
            answer = self._client.put_records(StreamName=self.name, Records=records)
        except ClientError as error:
            if not _is_passing(error):
                raise self._failed("does not take records", error) from error
            return list(entries), str(error)
        except BotoCoreError as error:
            return list(entries), str(error)
        refused = []
        reason = ""
        for entry, result in zip(entries, answer["Records"], strict=True):
            if "ErrorCode" in result:
                refused.append(entry)
                reason = f"{result['ErrorCode']}: {result.get('ErrorMessage', '')}"
            else:
                shard, sequence = result["ShardId"], int(result["SequenceNumber"])
                self.newest[shard] = max(sequence, self.newest.get(shard, -1))
        if refused:
            # Somebody else writes too, or the shards are others now.
            for entry in refused:
                self._allowances[self._shard(entry)].empty()
            self._starts = []
        return refused, reason

    def _shard(self, entry: Entry) -> int:
        place = int.from_bytes(hashlib.md5(entry.partition_key.encode()).digest())  # noqa: S324 - how Kinesis places keys
        return max(0, bisect_right(self._starts, place) - 1)

    def _learn_shards(self) -> None:
        starts = []
        arguments: dict[str, Any] = {"StreamName": self.name}
        try:
            while True:
                page = self._client.list_shards(**arguments)
                starts += [
                    int(shard["HashKeyRange"]["StartingHashKey"])
                    for shard in page["Shards"]
                    if "EndingSequenceNumber" not in shard["SequenceNumberRange"]
                ]
                if not page.get("NextToken"):
                    break
                arguments = {"NextToken": page["NextToken"]}
        except (BotoCoreError, ClientError) as error:
            raise self._failed("cannot be read", error) from error
        self._starts = sorted(starts) or [0]
        now = self._monotonic()
        if len(self._allowances) != len(self._starts):
            self._allowances = [Allowance(now) for _ in self._starts]

    def _status(self) -> str:
        answer = self._client.describe_stream_summary(StreamName=self.name)
        return str(answer["StreamDescriptionSummary"]["StreamStatus"])

    def _failed(self, what: str, error: Exception) -> ServiceError:
        return ServiceError(
            f"the stream {self.name} {what}: {error}",
            where="stream",
            fix="check KINESIS_STREAM_NAME, AWS_REGION, the keys and that the stream is there",
        )


def _is_passing(error: ClientError) -> bool:
    """Whether it may be better the next time."""
    return error.response["Error"]["Code"] not in (
        "ResourceNotFoundException", "AccessDeniedException", "ValidationException",
        "UnrecognizedClientException", "InvalidSignatureException",
    )  # fmt: skip


def _requests(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries cut into what one PutRecords may hold."""
    request: list[Entry] = []
    size = 0
    for entry in entries:
        if entry.size_bytes > RECORD_BYTES_MAX:
            raise InputError(
                f"a record of {entry.size_bytes} bytes is more than a stream takes (1 MiB)",
                where=entry.partition_key,
                fix="send it in smaller parts, or compressed",
            )
        if request and (
            len(request) == REQUEST_RECORDS_MAX or size + entry.size_bytes > REQUEST_BYTES_MAX
        ):
            yield request
            request, size = [], 0
        request.append(entry)
        size += entry.size_bytes
    if request:
        yield request
