"""The command that says how other programs reach the record."""

from pathlib import Path

import click

from floorlog.cli.place import DATA, settings_of


@click.command()
@DATA
def dsn(data: Path | None) -> None:
    """Print how psql or Grafana reach the record, as the role that may only read.

    It holds a password: `psql "$(floorlog dsn)"`.
    """
    from floorlog.source.secret import database_dsn

    print(database_dsn(settings_of(data, "floorlog_reader", "db_secret")))
