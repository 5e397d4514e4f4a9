"""Commands for the day after: going on from a restored database, and practising that."""

from pathlib import Path

import click

from floorlog.cli.place import DATA, needed, settings_of


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

    from floorlog.record.anchor import open_anchor
    from floorlog.record.recover import recover as run
    from floorlog.record.signing_key import signer_of
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


COMMANDS = (recover,)
