"""Commands of the record: what proves it, and what shows that it is proven."""

import sys
from pathlib import Path

import click

from floorlog.cli.place import DATA, KEY, key_text, needed, settings_of


@click.command()
@DATA
@KEY
@click.option("--since", metavar="TIME", default="-infinity", help="Only what was stored since.")
@click.option("--device", metavar="NAME", help="Only batches with readings of this device.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def verify(data: Path | None, key: str, since: str, device: str | None, *, as_json: bool) -> None:
    """Compute the record anew, against the anchors; exit code 0 only if it is intact."""
    from floorlog.record.anchor import open_anchor
    from floorlog.record.verify import verify as run
    from floorlog.source.secret import database_dsn

    settings = settings_of(data, "floorlog_reader", "db_secret")
    with click.progressbar(length=1, label="verify", file=sys.stderr) as bar:

        def tell(done: int, total: int) -> None:
            bar.length = max(1, total)
            bar.update(min(done, total) - bar.pos)

        report = run(
            database_dsn(settings), open_anchor(needed(settings, "anchor")), key_text(key),
            since=since, device=device, tell=tell,
        )  # fmt: skip
    if as_json:
        import msgspec

        print(msgspec.json.encode(report.as_object()).decode())
    else:
        print(report.as_text())
    if not report.ok:
        sys.exit(1)
