"""The command that shows readings of a series, now or as they were known before."""

from pathlib import Path

import click

from floorlog.cli.act import JSON, show
from floorlog.cli.place import DATA, settings_of


@click.command()
@click.argument("device")
@click.argument("metric")
@DATA
@click.option("--from", "begin", metavar="TIME", help="From then on, else from the first.")
@click.option("--to", "end", metavar="TIME", help="Before then, else to the last.")
@click.option("--as-of", metavar="SIZE|TIME", help="What was known at a size of the log, or then.")
@click.option("--rows", type=click.IntRange(1, 1_000_000), default=1_000, help="So many at most.")
@JSON
def readings(
    device: str,
    metric: str,
    data: Path | None,
    begin: str | None,
    end: str | None,
    as_of: str | None,
    rows: int,
    *,
    as_json: bool,
) -> None:
    """Show readings of a series, each beside its correction; --as-of shows what was known before.

    A reading was known when its batch had its place in the log, a correction when it had its own.
    What expired since is not there any more.
    """
    from dataclasses import asdict

    from floorlog.record.export.known import readings as read
    from floorlog.record.export.prove import moment_us
    from floorlog.record.verifier import time_text
    from floorlog.source.secret import database_dsn

    found = read(
        database_dsn(settings_of(data, "floorlog_reader", "db_secret")), device, metric,
        -(2**61) if begin is None else moment_us(begin, "--from"),
        2**61 if end is None else moment_us(end, "--to"), as_of=as_of, rows_max=rows,
    )  # fmt: skip
    if as_json:
        show(asdict(found))
        return
    for one in found.readings:
        marks = [word for bit, word in ((1, "in conflict"), (2, "late")) if one.flags & bit]
        if one.corrected_quality is not None:
            marks.append(f"corrected: {one.corrected} ({one.corrected_quality:#010x})")
        said = f"  {', '.join(marks)}" if marks else ""
        print(f"{time_text(one.ts)}  {one.value}  {one.quality:#010x}{said}")
    if found.log_size is not None:
        print(f"as of log size {found.log_size}")
