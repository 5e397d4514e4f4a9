"""The one loop that carries out the core's commands: threads, sockets and clocks are here."""

import logging
import signal
import threading
import time
import uuid
from collections.abc import Callable, Generator
from datetime import datetime
from typing import Protocol

import msgspec

from floorlog.config import Settings
from floorlog.core import protocol
from floorlog.core.consumer import Consumer
from floorlog.core.coordinator import Coordinator
from floorlog.core.cursor import Limits
from floorlog.core.detect.aside import PREFIX
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Command, Timed
from floorlog.errors import ServiceError
from floorlog.pulse import Pulse
from floorlog.source.kinesis import Refusal, Stream
from floorlog.source.secret import Login
from floorlog.store.postgres import Store

log = logging.getLogger("floorlog.worker")

DRAIN_SECONDS = 8.0


class View(Protocol):
    """What the worker needs of the cache: it never blocks and never raises."""

    def publish(self, command: protocol.Publish) -> None:
        """Take note of a committed batch."""

    def close(self) -> None:
        """End the cache's own thread."""


class Hands:
    """Carries out the commands of one generator, with connections of its own."""

    def __init__(self, worker: "Worker", name: str) -> None:
        """Open nothing yet: stream and store connect when first asked. `name` is for the pulse."""
        self._name = name
        settings = worker.settings
        self._worker = worker
        self._stream = Stream(settings.stream, settings.region)
        self._stream.bind(worker.created_at)
        self._store = worker.open_store()
        self._acts: dict[type, Callable[..., object]] = {
            protocol.ListShards: lambda _: self._stream.shards(),
            protocol.Seek: self._stream.seek,
            protocol.Fetch: self._stream.fetch,
            protocol.Survey: self._store.survey,
            protocol.Take: self._store.take,
            protocol.Want: self._store.want,
            protocol.Load: self._store.load,
            protocol.Register: self._store.register,
            protocol.Lookup: self._store.lookup,
            protocol.Commit: self._store.commit,
            protocol.Check: self._store.check,
            protocol.Foreign: self._store.foreign,
            protocol.Renew: self._store.renew,
            protocol.Release: self._store.release,
            protocol.Publish: worker.publish,
            protocol.Start: worker.start_consumer,
            protocol.Sleep: lambda command: worker.stopping.wait(command.seconds),
        }

    def carry_out(self, steps: Generator[Command, Timed, str]) -> str:
        """Run a generator of commands to its end and return what it says."""
        pulse = self._worker.pulse
        pulse.begin(self._name)
        try:
            command = next(steps)
            while True:
                began_s = time.monotonic()
                reply = self._acts[type(command)](command)
                pulse.note(self._name, command, reply, time.monotonic() - began_s)
                if isinstance(reply, protocol.Failed):
                    log.warning("%s failed: %s", type(command).__name__, reply.reason)
                command = steps.send(Timed(reply, time.monotonic()))
        except StopIteration as end:
            return str(end.value)
        finally:
            pulse.end(self._name)
            self._store.close()
            self._stream.close()


class Worker:
    """One process that reads its fair share of a stream's shards into the record."""

    def __init__(self, settings: Settings, view: View | None = None) -> None:
        """Ask the stream who it is. Raises ServiceError when it cannot be reached."""
        self.settings = settings
        self.worker_id = f"{settings.worker_id}-{uuid.uuid4().hex[:6]}"
        self.stopping = threading.Event()
        self._view = view
        self._dsn = Login(settings)
        self._dsn()  # what is wrong with it is said now
        self.pulse = Pulse(settings)
        self._threads: list[threading.Thread] = []
        self.stream_arn, self.created_at = self._identify()

    def run(self) -> None:
        """Read until asked to stop; then hand every lease over."""
        self.pulse.start()
        try:
            while not self.stopping.is_set():
                self._coordinate()
        finally:
            self.stopping.set()
            self._leave()
            deadline = time.monotonic() + DRAIN_SECONDS
            for thread in self._threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            if self._view is not None:
                self._view.close()
            self.pulse.close()

    def stop(self) -> None:
        """Ask the worker to hand over and end; returns at once."""
        self.stopping.set()

    def open_store(self) -> Store:
        """A store with its own connection."""
        return Store(
            self._dsn,
            stream_arn=self.stream_arn,
            created_at=self.created_at,
            worker=self.worker_id,
            lease_s=self.settings.lease_seconds,
            series_max=self.settings.series_max,
        )

    def publish(self, command: protocol.Publish) -> None:
        """Tell the cache of a committed batch, and the log of detectors that failed with it."""
        for found in command.batch.anomalies:
            if found.detector.startswith(PREFIX):
                level = logging.ERROR if found.phase == "start" else logging.WARNING
                log.log(level, "lease %d: %s", command.batch.lease_id, found.reason)
        if self._view is not None:
            self._view.publish(command)

    def start_consumer(self, command: protocol.Start) -> None:
        """Run a consumer for a lease in a thread of its own."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        thread = threading.Thread(
            target=self._consume, args=(command.lease,), name=command.lease.shard_id, daemon=True
        )
        self._threads.append(thread)
        thread.start()

    def _coordinate(self) -> None:
        survey_s = min(1.0, self.settings.lease_seconds / 5)
        coordinator = Coordinator(self.worker_id, survey_s=survey_s)
        try:
            Hands(self, "coordinator").carry_out(coordinator.run())
        except Exception:
            log.exception("the coordinator failed and begins anew")
            self.stopping.wait(1.0)

    def _consume(self, lease: protocol.Lease) -> None:
        log.info("%s: taken, epoch %d", lease.shard_id, lease.epoch)
        settings = self.settings
        limits = Limits(
            lease_s=settings.lease_seconds,
            poll_s=settings.poll_ms / 1000,
            batch_records=settings.batch_records,
            batch_readings=settings.batch_readings,
            snapshot_s=settings.snapshot_seconds,
        )
        pipeline = Pipeline(lease.lease_id, settings.future_seconds)
        try:
            end = Hands(self, lease.shard_id).carry_out(Consumer(lease, limits, pipeline).run())
        except Exception:
            log.exception("%s: the consumer failed; its lease goes back", lease.shard_id)
            self._give_back(lease)
        else:
            log.info("%s: %s", lease.shard_id, end)

    def _leave(self) -> None:
        store = self.open_store()
        store.leave()
        store.close()

    def _give_back(self, lease: protocol.Lease) -> None:
        self.stopping.wait(1.0)  # a fault that comes again at once must not spin
        store = self.open_store()
        store.release(protocol.Release(lease))
        store.close()

    def _identify(self) -> tuple[str, datetime]:
        stream = Stream(self.settings.stream, self.settings.region)
        try:
            return stream.identity()
        except (Refusal, OSError, msgspec.MsgspecError) as error:
            raise ServiceError(
                f"the stream {self.settings.stream} cannot be read: {error}",
                where="stream",
                fix="check KINESIS_STREAM_NAME, AWS_REGION and the task's role",
            ) from error
        finally:
            stream.close()


def run(settings: Settings, view: View | None = None) -> None:
    """Run one worker until SIGTERM or Ctrl-C."""
    worker = Worker(settings, view)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop())
    worker.run()
