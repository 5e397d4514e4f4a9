"""Commands by which a person acts on the record: corrections, and the names of people."""

import sys
from pathlib import Path

import click

from floorlog.cli.place import DATA, settings_of
from floorlog.errors import InputError

JSON = click.option("--json", "as_json", is_flag=True, help="As JSON.")
REASON = click.option("--reason", metavar="TEXT", required=True, help="Why; it stays.")
BY = click.option(
    "--by", metavar="NAME", help="Who acts, by name or pseudonym; else who is logged in."
)


def operator_dsn(data: Path | None) -> str:
    """The connection string under which a person acts."""
    from floorlog.source.secret import database_dsn

    return database_dsn(settings_of(data, "floorlog_operator", "db_secret"))


def person_of(by: str | None) -> str:
    """Who acts: the name given, or that of the log-in."""
    if by is not None:
        return by
    import os
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise InputError(
            "this log-in has no name", where="--by", fix="say who acts with --by NAME"
        ) from error


def show(found: object) -> None:
    """Print as JSON."""
    import msgspec

    print(msgspec.json.encode(found).decode())


@click.command()
@click.argument("device")
@click.argument("metric")
@click.argument("time")
@click.argument("value", required=False)
@DATA
@REASON
@BY
@click.option("--quality", metavar="CODE", help="OPC UA status code, as 0 or 0x40000000.")
@JSON
def correct(  # noqa: PLR0913 - click passes each option as an argument
    device: str,
    metric: str,
    time: str,
    value: str | None,
    data: Path | None,
    reason: str,
    by: str | None,
    quality: str | None,
    *,
    as_json: bool,
) -> None:
    """Say what the reading of TIME should have been; the reading itself stays as it is.

    TIME is the reading's own, as exact as it was sent. Without VALUE only the quality is corrected.
    Put -- before a VALUE below zero.
    """
    from dataclasses import asdict

    from floorlog.record.act.correct import correct as run
    from floorlog.record.export.prove import moment_us

    made = run(
        operator_dsn(data), device, metric, moment_us(time, "TIME"), value, quality_of(quality),
        by=person_of(by), reason=reason,
    )  # fmt: skip
    if as_json:
        show(asdict(made))
    else:
        print(
            f"correction {made.correction_id}: {device} {metric} of {time} is {made.value}"
            f" (quality {made.quality:#010x}) instead of {made.was} ({made.was_quality:#010x});"
            " the reading itself stays"
        )


def quality_of(text: str | None) -> int | None:
    """An OPC UA status code as written. Raises InputError."""
    if text is None:
        return None
    try:
        found = int(text, 0)
    except ValueError:
        found = -1
    if not 0 <= found < 2**32:
        raise InputError(
            f"{text!r} is no status code", where="--quality", fix="write 0 or 0x40000000"
        )
    return found


@click.group()
def person() -> None:
    """People, who appear in the record as pseudonyms alone."""


@person.command("list")
@DATA
@JSON
def list_people(data: Path | None, *, as_json: bool) -> None:
    """Who is behind each pseudonym."""
    from dataclasses import asdict

    from floorlog.record.act.act import people

    found = people(operator_dsn(data))
    if as_json:
        show([asdict(one) for one in found])
        return
    for one in found:
        print(f"{one.pseudonym}  {'(erased)' if one.name is None else one.name}")


@person.command()
@click.argument("who")
@DATA
@REASON
@BY
@click.option("--yes", is_flag=True, help="Without asking.")
def erase(who: str, data: Path | None, reason: str, by: str | None, *, yes: bool) -> None:
    """Forget the name of WHO (a name or a pseudonym), for good; the record stays as it is.

    What was done stays under the pseudonym, and everything still verifies. Copies of the database
    made before hold the name until they are gone.
    """
    from floorlog.record.act.act import erase_name

    dsn = operator_dsn(data)
    if not yes:
        click.confirm(f"forget the name of {who} for good?", abort=True, err=True)
    print(f"{erase_name(dsn, who, person_of(by), reason)} has no name any more", file=sys.stdout)
