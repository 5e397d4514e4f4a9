"""Commands for the day after: going on from a restored database, and practising that."""

import sys
from pathlib import Path

import click

from floorlog.cli.place import DATA, FILE, directory_of, needed, settings_of


@click.command()
@DATA
@click.option("--reason", metavar="TEXT", required=True, help="Why, in one line; it is signed.")
@click.option("--actor", metavar="NAME", default="operator", help="Who says so: a pseudonym.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def recover(data: Path | None, reason: str, actor: str, *, yes: bool) -> None:
    """After a restore: sign that the log goes on from here, which verify then shows.

    End the keeper first. Only an older state of the anchored log is accepted.
    """
    from datetime import UTC, datetime

    from floorlog.record.log.anchor import open_anchor
    from floorlog.record.log.recover import recover as run
    from floorlog.record.log.signing_key import signer_of
    from floorlog.source.secret import database_dsn

    settings = settings_of(data, "floorlog_keeper", "db_secret")
    anchor = open_anchor(needed(settings, "anchor"), settings)
    signer = signer_of(needed(settings, "signing_key"), anchor, settings, may_create=False)
    if not yes:
        click.confirm(
            "This declares, for good, that what was anchored after the restored state is given up."
            " Go on?",
            abort=True,
            err=True,
        )
    fork = run(
        database_dsn(settings), anchor, signer,
        reason=reason, actor=actor, now=datetime.now(UTC),
    )  # fmt: skip
    if fork is None:
        print("nothing to recover: the log goes on from what is anchored")
    else:
        print(
            f"fork {fork.number} is signed: the log goes on from {fork.size} leaves; what was"
            f" anchored above, up to {fork.lost_size}, is given up. Start keeper and workers."
        )


@click.command()
@DATA
@click.option("--backup", type=FILE, metavar="DIR", help="A base backup; else one is taken.")
@click.option("--wal", "wal_seconds", type=click.FloatRange(0, 3_600), default=5.0,
              metavar="SECONDS", help="How long the log is kept after the backup.")  # fmt: skip
@click.option("--limit", "limit_seconds", type=click.FloatRange(10, 86_400), default=900.0,
              metavar="SECONDS", help="The longest that all may take.")  # fmt: skip
@click.option("--report", type=FILE, metavar="DIR", help="Where the report goes.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def drill(
    data: Path | None,
    backup: Path | None,
    wal_seconds: float,
    limit_seconds: float,
    report: Path | None,
    *,
    as_json: bool,
) -> None:
    """Practise a restore beside running local services; exit code 0 only if all came true.

    A backup is restored into a server of its own, verified against the anchors, continued from the
    stream, and verified again. Nothing of the running record is touched.
    """
    from floorlog.local.drill import Asked, Drill
    from floorlog.local.services import running
    from floorlog.store.migrate import READER

    directory = directory_of(data)
    live = running(directory)
    settings = settings_of(directory, READER, "db_secret")
    needed(settings, "anchor")
    asked = Asked(wal_seconds, limit_seconds, backup)
    found = Drill(live, settings, asked, lambda step: print(step, file=sys.stderr)).run()
    written = found.write(report or live.directory / "drills")
    print(found.as_json() if as_json else f"{found.as_text()}\nThe report is in {written}.")
    if not found.ok:
        sys.exit(1)


COMMANDS = (recover, drill)
