"""The process that carries out one errand: `python -m floorlog.web.work.runner`.

The order comes as a line on stdin; steps, then the result or why there is none, go as lines to
stdout. When stdin ends, whoever gave the order is gone, and so is this process.
"""

import os
import re
import resource
import sys
import threading
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from shutil import disk_usage, rmtree
from typing import BinaryIO

import msgspec

from floorlog.config import Settings
from floorlog.core.backtest import Found, Judge, Report, Summary
from floorlog.core.catalogue import Catalogue
from floorlog.errors import FloorlogError, InputError
from floorlog.record.check.verify import verify
from floorlog.record.export.export import Asked, export
from floorlog.record.export.export import Exported as Written
from floorlog.record.log.anchor import Anchor, open_anchor
from floorlog.record.log.signing_key import signer_at_hand
from floorlog.record.trial.backtest import backtest, present_catalogue
from floorlog.record.trial.intake import take_in
from floorlog.record.trial.rehearse import rehearse
from floorlog.source.csv_layout import first_cells, layout_of, mapping_of
from floorlog.source.csv_shape import Wishes, device_of, guess
from floorlog.source.pack import pack
from floorlog.source.replay import Replay
from floorlog.source.sender import Sender
from floorlog.store.reader import Reader
from floorlog.web.work import errand as room

NICENESS = 10
SAY_SECONDS = 0.2
WRONG_SHOWN_MAX = 200
DIFFERING_SHOWN_MAX = 100
EXPORT_READINGS_MAX = 20_000_000
FREE_BYTES_MIN = 1 << 30  # that an export leaves on its disk
MEMORY_BYTES_MAX = 3 << 30
BACKTEST_READINGS_MAX = 20_000_000
ARCHIVE = "floorlog-export"
PACKED_ALREADY = {".parquet"}

Tell = Callable[[float], None]


def carry_out(ground: room.Ground, errand: room.Errand, tell: Tell) -> room.Result:
    """Do what is asked. Raises FloorlogError where it cannot be done."""
    match errand:
        case room.Verify():
            return _verify(ground, errand, tell)
        case room.Export():
            return _export(ground, errand, tell)
        case room.BackTest():
            return _backtest(ground, errand, tell)
        case room.Look():
            return _look(errand)
        case room.Rehearse():
            return _rehearse(ground, errand, tell)
        case room.TakeIn():
            return _take_in(ground, errand, tell)


def _anchor(ground: room.Ground) -> Anchor:
    return open_anchor(ground.anchor, _settings(ground))


def _settings(ground: room.Ground) -> Settings:
    """Of these, only what anchors ask for."""
    return Settings(
        stream=ground.stream, redis="", db_secret="", region=ground.region,
        anchor=ground.anchor, anchor_days=ground.anchor_days, signing_key=ground.signing_key,
    )  # fmt: skip


def _verify(ground: room.Ground, asked: room.Verify, tell: Tell) -> room.Verified:
    found = verify(
        ground.dsn, _anchor(ground), ground.key, since=asked.since, device=asked.device,
        tell=lambda done, total: tell(done / max(1, total)),
    )  # fmt: skip
    wrong = [
        room.WrongEntry(
            one.kind, one.where, one.says, one.shard, one.batch, one.series, one.recorded_us
        )
        for one in found.wrong[:WRONG_SHOWN_MAX]
    ]
    lines = found.as_text().splitlines()[len(found.wrong) :]
    return room.Verified(
        found.ok, found.readings, found.entries, wrong, found.wrong_count, found.anchored,
        found.unanchored_seconds, found.key, found.partial, "\n".join(lines),
    )  # fmt: skip


def _export(ground: room.Ground, asked: room.Export, tell: Tell) -> room.Exported:
    place = Path(asked.place)
    folder = place.with_suffix("")
    anchor = _anchor(ground)
    signer = signer_at_hand(_settings(ground), anchor)
    parts: list[str | None] = list(asked.devices) or [None]
    folders = [_folder(*each) for each in enumerate(asked.devices, 1)] if len(parts) > 1 else []
    done: list[Written] = []
    try:
        for number, device in enumerate(parts):
            target = folder / folders[number] if folders else folder
            before = sum(one.readings for one in done)

            def step(read: int, total: int, number: int = number, before: int = before) -> None:
                _see_bounds(place.parent, before + total)
                tell(0.9 * (number + read / max(1, total)) / len(parts))

            span = Asked(asked.begin, asked.end, device)
            done.append(
                export(ground.dsn, anchor, ground.key, span, target, signer=signer,
                       tell=step)
            )  # fmt: skip
        files = _archive(folder, place)
    finally:
        rmtree(folder, ignore_errors=True)
    return room.Exported(
        size_bytes=place.stat().st_size,
        files=files,
        readings=sum(one.readings for one in done),
        events=sum(one.events for one in done),
        batches=sum(one.batches for one in done),
        unanchored=max(one.unanchored for one in done),
        is_signed=all(one.is_signed for one in done),
        key=done[0].key,
        folders=folders,
    )


def _see_bounds(directory: Path, readings: int, bytes_more: int = 0) -> None:
    """See that an export is not too large, and leaves room on its disk.

    Args:
        directory: where it is written.
        readings: what all of its devices had so far, and all that the batches of this one hold.
        bytes_more: what is about to be written.

    Raises:
        InputError: it is, or does not.
    """
    if readings > EXPORT_READINGS_MAX:
        raise InputError(
            f"that is {readings} readings; at most {EXPORT_READINGS_MAX} at a time",
            where="export",
            fix="ask for a shorter span or fewer devices, or use `floorlog export`",
        )
    if disk_usage(directory).free - bytes_more < FREE_BYTES_MIN:
        raise InputError(
            "less than 1 GiB would be left on the page's disk",
            where="export",
            fix="make room, or ask for less",
        )


def _folder(number: int, device: str) -> str:
    """The folder of one device, in letters that every system takes."""
    return f"{number:03}-{re.sub('[^A-Za-z0-9.-]+', '_', device)[:60]}"


def _archive(folder: Path, place: Path) -> int:
    """One file of all in a folder; returns how many they are. Raises InputError without room."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # Packed they are fewer bytes, but how many fewer shows only afterwards.
    _see_bounds(place.parent, 0, sum(path.stat().st_size for path in files))
    with zipfile.ZipFile(place, "x") as archive:
        for path in files:
            packed = zipfile.ZIP_STORED if path.suffix in PACKED_ALREADY else zipfile.ZIP_DEFLATED
            archive.write(path, f"{ARCHIVE}/{path.relative_to(folder)}", packed, 6)
    return len(files)


def _backtest(ground: room.Ground, asked: room.BackTest, tell: Tell) -> room.BackTested:
    other = Catalogue.of(asked.body, "the catalogue")
    version, present = present_catalogue(ground.dsn)

    def step(share: float, readings: int) -> None:
        if readings > BACKTEST_READINGS_MAX:
            raise InputError(
                f"the span holds more than {BACKTEST_READINGS_MAX} readings",
                where="back-test",
                fix="ask for a shorter span, or use `floorlog backtest`",
            )
        tell(share)

    judges = Judge(present, version), Judge(other, version + 1)
    return _compared(backtest(ground.dsn, *judges, asked.begin, asked.end, step))


def _compared(found: Report) -> room.BackTested:
    return room.BackTested(
        found.readings, found.series, found.sensor_hours, found.begin, found.end,
        _side(found.present), _side(found.asked), len(found.gained), len(found.lost),
        _differing(found.gained), _differing(found.lost),
    )  # fmt: skip


def _side(one: Summary) -> room.Side:
    return room.Side(
        one.findings, one.per_1000_sensor_hours, one.peak_10_min, one.by_detector, one.by_severity
    )


def _differing(found: list[Found]) -> list[room.FoundEntry]:
    return [
        room.FoundEntry(
            one.device, one.metric, one.detector, one.start, one.end, one.severity, one.reason
        )
        for one in found[:DIFFERING_SHOWN_MAX]
    ]


def _look(asked: room.Look) -> room.Looked:
    path = Path(asked.path)
    if asked.layout is None:
        # Named by the file as its owner knows it, not by where it lies now.
        mapping = guess(path, Wishes())
        layout = layout_of(mapping)
        layout = msgspec.structs.replace(layout, device_name=device_of(Path(asked.name))[:200])
    else:
        layout = asked.layout
    mapping = mapping_of(path, layout)
    says = [line for line in mapping.describe() if not line.startswith("file ")]
    rows = first_cells(path, mapping)
    return room.Looked(list(mapping.columns), rows, layout, str(mapping.time_format), says)


def _rehearse(ground: room.Ground, asked: room.Rehearse, tell: Tell) -> room.Rehearsed:
    replay = Replay(mapping_of(Path(asked.path), asked.layout))
    version, catalogue = present_catalogue(ground.dsn)
    reader = Reader(ground.dsn)
    try:
        known = [(one.device, one.metric) for one in reader.series()]
    finally:
        reader.close()
    found = rehearse(
        pack(replay, catalogue.asset), catalogue, version, known, time.time_ns() // 1000,
        lambda _: tell(replay.read_bytes / max(1, replay.size_bytes)),
    )  # fmt: skip
    return room.Rehearsed(
        replay.rows, replay.skipped, replay.empty, replay.warnings(), version, found
    )


def _take_in(ground: room.Ground, asked: room.TakeIn, tell: Tell) -> room.TakenIn:
    replay = Replay(mapping_of(Path(asked.path), asked.layout))
    _, catalogue = present_catalogue(ground.dsn)
    sender = Sender(ground.stream, ground.region)
    reader = Reader(ground.dsn)
    try:
        made = take_in(
            replay, catalogue.asset, sender, reader,
            lambda _: tell(0.95 * replay.read_bytes / max(1, replay.size_bytes)),
        )  # fmt: skip
    finally:
        reader.close()
        sender.close()
    taken = made.taken
    return room.TakenIn(
        made.sent, made.records, made.skipped, made.empty, made.says,
        room.Taken(taken.received, taken.stored, taken.rejected, taken.duplicate, taken.conflict),
        made.seconds,
    )  # fmt: skip


def watch(orders: BinaryIO) -> None:
    """End this process when whoever gave the order does."""
    while orders.read(4096):
        pass
    os._exit(3)


def main() -> None:
    """Read the order, carry it out, say what came of it."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=room.Order)
    os.nice(NICENESS)
    # What grows beyond it is this process's end, not the page's.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    threading.Thread(target=watch, args=(sys.stdin.buffer,), daemon=True).start()
    said_s = 0.0

    def say(one: room.Said) -> None:
        sys.stdout.buffer.write(msgspec.json.encode(one) + b"\n")
        sys.stdout.buffer.flush()

    def tell(share: float) -> None:
        nonlocal said_s
        if time.monotonic() - said_s >= SAY_SECONDS:
            said_s = time.monotonic()
            say(room.Step(min(1.0, max(0.0, share))))

    try:
        say(carry_out(order.ground, order.errand, tell))
    except FloorlogError as error:
        say(room.Failed(" ".join(str(error).split())))
    except MemoryError:
        say(room.Failed("it needs more memory than a job of the page may take: ask for less"))
    except OSError as error:
        say(room.Failed(f"{error.filename or 'a file'}: {error.strerror}"))
    sys.stdout.buffer.flush()
    os._exit(0)  # not waiting for the thread that reads


if __name__ == "__main__":
    main()
