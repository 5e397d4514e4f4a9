"""Commands of the record: what proves it, and what shows that it is proven."""

import sys
from pathlib import Path

import click

from floorlog.cli.place import DATA, FILE, KEY, key_text, needed, settings_of


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


@click.command()
@click.argument("device")
@click.argument("metric")
@click.argument("time")
@DATA
@KEY
@click.option("--which", type=click.IntRange(1), default=1, help="Of several of this time.")
@click.option("--out", type=FILE, metavar="FILE", help="Where the proof goes.")
@click.option("--verifier", is_flag=True, help="Put verifier.py beside it.")
def prove(
    device: str,
    metric: str,
    time: str,
    data: Path | None,
    key: str,
    which: int,
    out: Path | None,
    *,
    verifier: bool,
) -> None:
    """Write the proof of one reading, which verifier.py checks with nothing else at hand.

    TIME is the reading's own, as exact as it was sent. Of several readings of that time, the one
    that stands is the first; those that contradict it follow.
    """
    from floorlog.record import prove as room
    from floorlog.record.anchor import open_anchor
    from floorlog.source.secret import database_dsn

    ts_us = room.moment_us(time, "TIME")
    settings = settings_of(data, "floorlog_reader", "db_secret")
    found = room.prove(
        database_dsn(settings), open_anchor(needed(settings, "anchor")), key_text(key), device,
        metric, ts_us, which,
    )  # fmt: skip
    path = out or Path(room.file_name(device, metric, time))
    room.write_new(path, found.as_bytes())
    if verifier:
        room.write_new(path.with_name("verifier.py"), room.verifier_text())
    for number, one in enumerate(found.others, 1):
        if len(found.others) > 1:
            mark = "proven here" if number == which else f"prove it with --which {number}"
            print(f"of this time, {number}: {one} - {mark}", file=sys.stderr)
    print(found.says)
    print(f"{path}: check it with `python verifier.py {path} --key {found.key}`")
