"""Commands of the record: what proves it, and what shows that it is proven."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from floorlog.cli.place import DATA, FILE, KEY, key_text, local_services, needed, settings_of
from floorlog.errors import InputError, ServiceError

if TYPE_CHECKING:
    from floorlog.record.log.anchor import Anchor

PARTIAL = 3  # of verify: sound, as far as it was asked to look
HARMS = ("change", "delete", "swap", "insert", "truncate")


@contextmanager
def progress(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, told how much is done, of how much."""
    with click.progressbar(length=1, label=label, file=sys.stderr) as bar:

        def tell(done: int, total: int) -> None:
            bar.length = max(1, total)
            bar.update(min(done, total) - bar.pos)

        yield tell


@click.command()
@DATA
@KEY
@click.option("--since", metavar="TIME", default="-infinity", help="Only what was stored since.")
@click.option("--device", metavar="NAME", help="Only batches that hold readings of this device.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.option("--rebuild", is_flag=True, help="As owner, make again what is derived and wrong.")
def verify(
    data: Path | None, key: str, since: str, device: str | None, *, as_json: bool, rebuild: bool
) -> None:
    """Compute the record anew, against the anchors; exit code 0 only if it is intact.

    Exit code 1: something is wrong. 3: nothing is, but --since or --device left the rest unchecked.
    """
    from floorlog.record.check.verify import verify as run
    from floorlog.record.log.anchor import open_anchor
    from floorlog.source.secret import database_dsn

    settings = settings_of(data, "floorlog_reader", "db_secret")
    dsn = database_dsn(settings)
    anchor = open_anchor(needed(settings, "anchor"), settings)
    if rebuild:
        _make_again(data, dsn, anchor, key_text(key))
    with progress("verify") as tell:
        report = run(dsn, anchor, key_text(key), since=since, device=device, tell=tell)
    if as_json:
        import msgspec

        print(msgspec.json.encode(report.as_object()).decode())
    else:
        print(report.as_text())
    if not report.ok:
        sys.exit(1)
    if report.partial:
        sys.exit(PARTIAL)


def _make_again(data: Path | None, dsn: str, anchor: "Anchor", key: str) -> None:
    """Make again what is derived and wrong, as the owner, and say on stderr what that was."""
    from floorlog.record.check.rebuild import rebuild

    local = local_services(data)
    if local is not None and local.postgres is not None:
        dsn = local.postgres_dsn()
    with progress("rebuild") as tell:
        before, _ = rebuild(dsn, anchor, key, tell)
    for one in before.wrong:
        print(f"made again: {one.where}: {one.says}", file=sys.stderr)


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
    from floorlog.record.export import prove as room
    from floorlog.record.log.anchor import open_anchor
    from floorlog.source.secret import database_dsn

    ts_us = room.moment_us(time, "TIME")
    settings = settings_of(data, "floorlog_reader", "db_secret")
    found = room.prove(
        database_dsn(settings), open_anchor(needed(settings, "anchor"), settings),
        key_text(key), device, metric, ts_us, which,
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


@click.command()
@click.argument("directory", metavar="DIR", type=FILE)
@DATA
@KEY
@click.option("--from", "begin", metavar="TIME", help="Readings from then on, else from the first.")
@click.option("--to", "end", metavar="TIME", help="Readings before then, else to the last.")
@click.option("--device", metavar="NAME", help="Of this device alone.")
def export(
    directory: Path, data: Path | None, key: str, begin: str | None, end: str | None, *,
    device: str | None,
) -> None:  # fmt: skip
    """Write a part of the record into DIR: CSV, Parquet, proofs, a page to read, the verifier.

    DIR must be empty or not there yet; it is there when all is written. Whoever gets it verifies it
    with `python DIR/verifier.py DIR --key KEY`, on a machine that has nothing but Python.
    """
    from floorlog.record.export import export as room
    from floorlog.record.export.prove import moment_us
    from floorlog.record.log.anchor import open_anchor
    from floorlog.record.log.signing_key import signer_at_hand
    from floorlog.source.secret import database_dsn

    asked = room.Asked(
        None if begin is None else moment_us(begin, "--from"),
        None if end is None else moment_us(end, "--to"),
        device,
    )
    settings = settings_of(data, "floorlog_reader", "db_secret")
    anchor = open_anchor(needed(settings, "anchor"), settings)
    signer = None
    try:
        signer = signer_at_hand(settings, anchor)
    except ServiceError as error:
        print(f"the manifest is not signed: {error}", file=sys.stderr)
    with progress("export") as tell:
        done = room.export(
            database_dsn(settings), anchor, key_text(key), asked, directory, signer=signer,
            tell=tell,
        )  # fmt: skip
    if done.unanchored:
        print(
            f"{done.unanchored} newer batches are not anchored yet and were left out",
            file=sys.stderr,
        )
    print(
        f"{done.readings} readings and {done.events} events of {done.batches} batches,"
        f" {done.corrections} corrections"
    )
    print(f"{directory}: verify it with `python {directory}/verifier.py {directory}"
          f" --key {done.key}`")  # fmt: skip


@click.command("break")
@DATA
@click.option("--how", type=click.Choice(HARMS), default=HARMS[0], help="What is done.")
@click.option("--seed", type=int, help="To do the same again.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def break_(data: Path | None, how: str, seed: int | None, *, yes: bool) -> None:
    """Harm a local record as its superuser, so that you can see `floorlog verify` find it.

    Only data of local services, and for good: try it on a directory of its own (--data DIR).
    """
    from floorlog.local.harm import harm
    from floorlog.record.log.anchor import open_anchor

    local = local_services(data)
    if local is None or local.postgres is None:
        raise InputError(
            "only the record of local services can be broken",
            where="break",
            fix="start them with `floorlog up`, or name their directory with --data DIR",
        )
    if not yes:
        click.confirm(f"The record in {local.directory} is harmed for good. Go on?", abort=True)
    settings = settings_of(data, "floorlog_reader", "db_secret")
    sizes = open_anchor(needed(settings, "anchor"), settings).sizes()
    done = harm(local.postgres_dsn(), how, max(sizes, default=0), seed)
    print(done.says)
    named = " and ".join(f"batch {number} of shard {shard}" for shard, number in done.batches)
    print(f"`floorlog verify` will find it and name {named}")
