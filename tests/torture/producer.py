"""A producer that sends until it is told that it was taken, and remembers what that was."""

import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec
from botocore.exceptions import BotoCoreError, ClientError
from ground import Site

METRICS = ("a", "b", "c", "d", "e")
DEVICES = 50
TICK_SECONDS = 0.1
READINGS_PER_SECOND = DEVICES * len(METRICS) / TICK_SECONDS


@dataclass
class Ledger:
    """What the record must hold: every value once, for the values are all different."""

    owed: dict[int, tuple[str, str, int]] = field(default_factory=dict)  # value → series, ts in µs

    def compare(self, site: Site, which: str = "true") -> tuple[list[object], list[object]]:
        """What is lost and what is doubled, or never was sent, among those rows of the record."""
        left = dict(self.owed)
        too_much: list[object] = []
        query = (
            "SELECT device_id, metric, (extract(epoch FROM ts) * 1000000)::int8, value"
            f" FROM floorlog.reading WHERE {which}"
        )
        for device, metric, ts, value in site.rows(query):
            if left.pop(int(value), None) != (device, metric, ts):
                too_much.append((device, metric, ts, value))
        return list(left.items()), too_much

    def assert_kept(self, site: Site) -> None:
        """Nothing lost, nothing doubled, and the counts of every shard add up."""
        lost, doubled = self.compare(site)
        assert (len(lost), len(doubled)) == (0, 0), f"lost {lost[:3]}, doubled {doubled[:3]}"
        assert site.balance() == []
        assert site.count("stored") == len(self.owed)


class Producer:
    """Sends some thousand readings a second from a thread of its own.

    Args:
        site: whose stream.
        devices: count of devices, a record each every tenth of a second.
    """

    def __init__(self, site: Site, devices: int = DEVICES) -> None:
        self.ledger = Ledger()
        self.again = 0  # records that were sent more than once
        self.seconds = 0.0
        self._site = site
        self._devices = devices
        self._value = 0
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, however it went."""
        self._stopping.set()
        self._thread.join(30)

    def finish(self) -> Ledger:
        """Send what is begun to its end and return what the record owes."""
        self.__exit__()
        assert not self._thread.is_alive()
        assert self._failure is None, self._failure
        return self.ledger

    @property
    def rate(self) -> float:
        """Readings taken a second, over the whole time."""
        return len(self.ledger.owed) / self.seconds

    def _run(self) -> None:
        client = self._site.client()
        began = time.monotonic()
        try:
            tick = 0
            while not self._stopping.is_set():
                self._send(client, self._records())
                tick += 1
                self.seconds = time.monotonic() - began
                self._stopping.wait(max(0.0, began + tick * TICK_SECONDS - time.monotonic()))
        except BaseException as error:  # noqa: BLE001 - told by finish()
            self._failure = error
        finally:
            client.close()

    def _records(self) -> list[tuple[str, bytes, dict[int, tuple[str, str, int]]]]:
        """One frame a device: partition key, bytes, and what it owes."""
        made = []
        ms = time.time_ns() // 1_000_000
        for n in range(self._devices):
            device = f"d{n:03}"
            values = {}
            for metric in METRICS:
                self._value += 1
                values[metric] = self._value
            frame = {"device_id": device, "ts": ms, "values": values}
            owed = {value: (device, metric, ms * 1000) for metric, value in values.items()}
            made.append((device, msgspec.json.encode(frame), owed))
        return made

    def _send(
        self, client: object, waiting: Sequence[tuple[str, bytes, dict[int, tuple[str, str, int]]]]
    ) -> None:
        while waiting:
            refused = put(client, self._site.name, [(key, data) for key, data, _ in waiting])
            for n, (_, _, owed) in enumerate(waiting):
                if n not in refused:
                    self.ledger.owed.update(owed)
            waiting = [waiting[n] for n in sorted(refused)]
            self.again += len(waiting)
            if waiting:
                time.sleep(0.1)


def put(client: object, stream: str, records: Sequence[tuple[str, bytes]]) -> set[int]:
    """One PutRecords; the places of those that were not taken, for all that is known."""
    entries = [{"PartitionKey": key, "Data": data} for key, data in records]
    try:
        answer = client.put_records(StreamName=stream, Records=entries)  # type: ignore[attr-defined]  # botocore makes it
    except (ClientError, BotoCoreError):
        return set(range(len(records)))
    return {n for n, result in enumerate(answer["Records"]) if "ErrorCode" in result}


def put_all(site: Site, records: Iterable[tuple[str, bytes]]) -> None:
    """Send records in order, at most 400 at once, again and again until all were taken."""
    client = site.client()
    waiting = list(records)
    while waiting:
        request, waiting = waiting[:400], waiting[400:]
        refused = put(client, site.name, request)
        waiting = [request[n] for n in sorted(refused)] + waiting
        if refused:
            time.sleep(0.2)
    client.close()
