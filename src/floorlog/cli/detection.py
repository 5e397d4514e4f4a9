"""Commands of detection: what operators say of series, and what other rules would have found."""

from pathlib import Path

import click

from floorlog.cli.act import BY, REASON, operator_dsn, person_of
from floorlog.cli.place import DATA


@click.command()
@click.argument("device")
@click.argument("metric")
@DATA
@REASON
@BY
def accept(device: str, metric: str, data: Path | None, reason: str, by: str | None) -> None:
    """Say of a series: what it does now is normal. Learned detectors learn it afresh."""
    from floorlog.record.normal import accept as run

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
    from floorlog.record.normal import exclude as run
    from floorlog.record.prove import moment_us

    span = moment_us(begin, "--from"), moment_us(end, "--to")
    version = run(operator_dsn(data), device, metric, *span, by=person_of(by), reason=reason)
    named = device if metric is None else f"{metric} of {device}"
    print(f"{named} does not count from {begin} to {end}: catalogue {version}")
