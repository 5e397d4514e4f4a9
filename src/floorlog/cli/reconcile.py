"""The command that holds counts against each other."""

import sys
from pathlib import Path

import click

from floorlog.cli.place import DATA, settings_of


@click.command()
@DATA
@click.option("--since", metavar="TIME", help="What was stored from then on.")
@click.option("--until", metavar="TIME", help="What was stored before.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def reconcile(data: Path | None, since: str | None, until: str | None, *, as_json: bool) -> None:
    """Show per shard and hour that received = stored + rejected + duplicate, without a hole.

    Exit code 0 only if everything adds up. Gaps, which were told of at their time, stand beside
    their cause; corrections and rejects that were sent again are counted apart.
    """
    from floorlog.record.act.reconcile import reconcile as run
    from floorlog.record.export.prove import moment_us
    from floorlog.source.secret import database_dsn

    settings = settings_of(data, "floorlog_reader", "db_secret")
    found = run(
        database_dsn(settings),
        None if since is None else moment_us(since, "--since"),
        None if until is None else moment_us(until, "--until"),
    )
    if as_json:
        import msgspec

        print(msgspec.json.encode(found.as_object()).decode())
    else:
        print(found.as_text())
    if not found.ok:
        sys.exit(1)
