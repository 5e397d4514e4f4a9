"""Commands of detection: what operators say of series, and what other rules would have found."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from floorlog.cli.act import BY, REASON, operator_dsn, person_of
from floorlog.cli.place import DATA, FILE, settings_of
from floorlog.cli.table import layout, mappings_of, say

if TYPE_CHECKING:
    from floorlog.core.backtest import Judge, Report
    from floorlog.core.catalogue import Catalogue
    from floorlog.record.trial.backtest import Tell

BATCH_READINGS = 100_000
LINES_MAX = 20
"""Findings that differ which are shown of each side; --json has all."""


@click.command()
@click.argument("device")
@click.argument("metric")
@DATA
@REASON
@BY
def accept(device: str, metric: str, data: Path | None, reason: str, by: str | None) -> None:
    """Say of a series: what it does now is normal. Learned detectors learn it afresh."""
    from floorlog.record.act.normal import accept as run

    version = run(operator_dsn(data), device, metric, by=person_of(by), reason=reason)
    print(f"{metric} of {device} is normal now: catalogue {version}, from each shard's next batch")


@click.command()
@click.argument("device")
@click.argument("metric", required=False)
@click.option("--from", "begin", metavar="TIME", required=True, help="First time that is bad.")
@click.option("--to", "end", metavar="TIME", required=True, help="First that is good again.")
@DATA
@REASON
@BY
def exclude(
    device: str, metric: str | None, begin: str, end: str, data: Path | None, reason: str,
    by: str | None,
) -> None:  # fmt: skip
    """Say of a device or series: this time does not count, nothing is learned from it.

    Limits and other rules judge it still. The time may lie ahead.
    """
    from floorlog.record.act.normal import exclude as run
    from floorlog.record.export.prove import moment_us

    span = moment_us(begin, "--from"), moment_us(end, "--to")
    version = run(operator_dsn(data), device, metric, *span, by=person_of(by), reason=reason)
    named = device if metric is None else f"{metric} of {device}"
    print(f"{named} does not count from {begin} to {end}: catalogue {version}")


@click.command()
@click.argument("files", type=FILE, nargs=-1)
@click.option(
    "--rule", "rules", metavar="YAML", multiple=True,
    help="Parts of a catalogue, or a file of them, laid over the present one.",
)  # fmt: skip
@click.option("--alone", is_flag=True, help="The rules by themselves, without the present ones.")
@click.option("--from", "begin", metavar="TIME", help="First time that is judged.")
@click.option("--to", "end", metavar="TIME", help="First that is not any more; else now.")
@DATA
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@layout
def backtest(
    files: tuple[Path, ...], rules: tuple[str, ...], begin: str | None, end: str | None,
    data: Path | None, *, alone: bool, as_json: bool, **wishes: object,
) -> None:  # fmt: skip
    """Say which alarms other rules would have raised, beside the present ones.

    Judges what the record holds from a time on, or CSV files; nothing is stored. With files, the
    present rules are those of the record that --data names, else none.
    """
    import time

    from floorlog.core.backtest import Judge
    from floorlog.core.catalogue import Catalogue
    from floorlog.source.catalogue_file import laid_over

    version, present = _present(data, needed=not files)
    asked = laid_over(Catalogue() if alone else present, rules)
    judges = Judge(present, version), Judge(asked, version + 1)
    began = time.monotonic()
    with click.progressbar(length=1000, label="backtest", file=sys.stderr) as bar:

        def tell(share: float, _: int) -> None:
            bar.update(max(0, int(1000 * share) - bar.pos))

        if files:
            report = _files(files, wishes, judges, tell, (begin, end))
        else:
            report = _record(data, judges, tell, (begin, end))
    seconds = time.monotonic() - began
    print(report_of(report, seconds, as_json=as_json))


def _present(data: Path | None, *, needed: bool) -> tuple[int, "Catalogue"]:
    """The present version of the catalogue, where a record is meant."""
    from floorlog.core.catalogue import Catalogue
    from floorlog.record.trial.backtest import present_catalogue

    return present_catalogue(reader_dsn(data)) if needed or data else (0, Catalogue())


def reader_dsn(data: Path | None) -> str:
    """The connection string of the role that only reads."""
    from floorlog.source.secret import database_dsn

    return database_dsn(settings_of(data, "floorlog_reader", "db_secret"))


def _record(
    data: Path | None, judges: "tuple[Judge, Judge]", tell: "Tell", span: tuple[str | None, ...]
) -> "Report":
    import time

    from floorlog.errors import InputError
    from floorlog.record.export.prove import moment_us
    from floorlog.record.trial.backtest import backtest as run

    begin, end = span
    if begin is None:
        raise InputError("--from is missing", where="backtest", fix="say --from 2026-01-31")
    until = time.time_ns() // 1000 if end is None else moment_us(end, "--to")
    return run(reader_dsn(data), *judges, moment_us(begin, "--from"), until, tell)


def _files(
    files: tuple[Path, ...], wishes: dict[str, object], judges: "tuple[Judge, Judge]",
    tell: "Tell", span: tuple[str | None, ...],
) -> "Report":  # fmt: skip
    import time

    from floorlog.core.backtest import compare
    from floorlog.core.reading import Record
    from floorlog.errors import InputError
    from floorlog.source.convoy import Convoy

    if span != (None, None):
        raise InputError(
            "a file is judged whole", where="backtest", fix="leave --from and --to out"
        )
    convoy = Convoy(mappings_of(files, wishes))
    arrival = time.time_ns() // 1000
    waiting: list[Record] = []
    held = 0
    for number, (entry, readings) in enumerate(convoy.records()):
        waiting.append(Record(number, entry.partition_key, arrival, entry.data))
        held += readings
        if held >= BATCH_READINGS:
            for judge in judges:
                judge.records(waiting)
            tell(convoy.read_bytes / max(1, convoy.size_bytes), judges[1].readings)
            waiting, held = [], 0
    if waiting:
        for judge in judges:
            judge.records(waiting)
    say(convoy.warnings())
    return compare(*judges)


def report_of(report: "Report", seconds: float, *, as_json: bool) -> str:
    """The report for a person, or as one JSON object."""
    import msgspec

    lasted_s = 0.0 if report.begin is None or report.end is None else report.end - report.begin
    times = lasted_s / 1e6 / max(seconds, 1e-3)
    if as_json:
        whole = {**msgspec.to_builtins(report), "seconds": seconds, "times_real_time": times}
        return msgspec.json.encode(whole).decode()
    lines = [
        (
            f"{report.readings} readings of {report.series} series, {report.sensor_hours:.1f} "
            f"sensor-hours, in {seconds:.1f} s: {times:.0f} times real time"
        ),
        f"{'':28}{'present':>12}{'asked':>12}",
    ]
    both = report.present, report.asked
    rows: list[tuple[str, list[float]]] = [
        ("findings", [each.findings for each in both]),
        ("per 1,000 sensor-hours", [each.per_1000_sensor_hours for each in both]),
        ("most in 10 minutes", [each.peak_10_min for each in both]),
    ]
    names = sorted({name for each in both for name in each.by_detector})
    rows += [(f"  {name}", [each.by_detector.get(name, 0) for each in both]) for name in names]
    lines += [f"{name:28}" + "".join(f"{n:>12g}" for n in numbers) for name, numbers in rows]
    for title, found in (("only asked", report.gained), ("only present", report.lost)):
        lines.append(f"{title}: {len(found)}")
        lines += [f"  {time_text(each.start)}  {each.reason}" for each in found[:LINES_MAX]]
    return "\n".join(lines)


def time_text(us: int) -> str:
    """µs UTC as a person reads it."""
    from datetime import UTC, datetime, timedelta

    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)).isoformat(" ", "seconds")
