"""Commands that work through rejects: list, show, replay."""

import sys
from pathlib import Path

import click

from floorlog.cli.act import BY, JSON, REASON, operator_dsn, person_of, show
from floorlog.cli.place import DATA, FILE, settings_of


@click.group()
def reject() -> None:
    """Inputs that became no reading: see them, mend them, send them again."""


@reject.command("list")
@DATA
@click.option("--since", metavar="TIME", help="Stored from then on.")
@click.option("--until", metavar="TIME", help="Stored before.")
@click.option("--code", help="Of this code alone.")
@click.option("--shard", help="Of this shard alone.")
@click.option("--holds", metavar="TEXT", help="Whose bytes hold this text, as a device's name.")
@click.option("--open", "open_only", is_flag=True, help="Only what nobody has sent again.")
@click.option("--rows", type=click.IntRange(1, 1_000), default=50, help="So many at most.")
@click.option("--skip", type=click.IntRange(0), default=0, help="Without the first so many.")
@JSON
def list_rejects(  # noqa: PLR0913 - click passes each option as an argument
    data: Path | None,
    since: str | None,
    until: str | None,
    code: str | None,
    shard: str | None,
    holds: str | None,
    rows: int,
    skip: int,
    *,
    open_only: bool,
    as_json: bool,
) -> None:
    """List rejects, the newest first, with the reason of each and how to mend it."""
    from floorlog.record.act.reject import Asked, rejects, shown
    from floorlog.record.export.prove import moment_us
    from floorlog.record.verifier import time_text
    from floorlog.source.secret import database_dsn

    asked = Asked(
        None if since is None else moment_us(since, "--since"),
        None if until is None else moment_us(until, "--until"),
        code, shard, None if holds is None else holds.encode(), open_only, rows, skip,
    )  # fmt: skip
    found = rejects(database_dsn(settings_of(data, "floorlog_reader", "db_secret")), asked)
    if as_json:
        show([one.as_object() for one in found])
        return
    for one in found:
        mark = "  (sent again)" if one.touched else ""
        print(f"{one.name}  {time_text(one.recorded_at)}  {one.code}{mark}")
        print(f"    {shown(one.reason.encode())}: {shown(one.data[:120])}")
    if not found:
        print("no rejects that match")
    if len(found) == rows:
        print(f"there may be more: --skip {skip + rows}", file=sys.stderr)


@reject.command("show")
@click.argument("name")
@DATA
@click.option("--out", type=FILE, metavar="FILE", help="Write the bytes as they came.")
@JSON
def show_reject(name: str, data: Path | None, out: Path | None, *, as_json: bool) -> None:
    """Show a reject: bytes, reason, how to mend it, and what was done to it."""
    from floorlog.record.act.reject import reject as read
    from floorlog.record.act.reject import shown
    from floorlog.record.export.prove import write_new
    from floorlog.record.verifier import time_text
    from floorlog.source.secret import database_dsn

    found, events = read(database_dsn(settings_of(data, "floorlog_reader", "db_secret")), name)
    if out is not None:
        write_new(out, found.data)
    if as_json:
        trace = [
            {"at": time_text(one.recorded_at), "by": one.actor, "action": one.action, **one.detail}
            for one in events
        ]
        show({**found.as_object(whole=True), "events": trace})
        return
    print(f"{found.name}: {found.code}, stored {time_text(found.recorded_at)}")
    print(f"reason   {shown(found.reason.encode())}")
    place = "the whole record" if found.element < 0 else f"element {found.element}"
    print(f"record   {found.sequence} of shard {found.shard}, {place}")
    print(f"mend     {found.as_object()['mend']}")
    print(f"bytes    {len(found.data)}: {shown(found.data)}")
    for one in events:
        said = ", ".join(f"{key} {value}" for key, value in one.detail.items() if key != "reject")
        print(f"{one.action:<9}{time_text(one.recorded_at)} by {one.actor}: {said}")


@reject.command("replay")
@click.argument("name")
@DATA
@REASON
@BY
@click.option("--mended", type=FILE, metavar="FILE", help="The bytes to send instead; - is stdin.")
@click.option("--key", metavar="KEY", help="Partition key; else the device in the bytes.")
@click.option("--again", is_flag=True, help="Although it was sent already.")
@JSON
def replay_reject(
    name: str,
    data: Path | None,
    reason: str,
    by: str | None,
    mended: Path | None,
    key: str | None,
    *,
    again: bool,
    as_json: bool,
) -> None:
    """Send a reject through the stream again, as it came or mended; the trace stays.

    The reject itself stays as well. What arrives counts as any other record does; that it was a
    replay is told by the events of this reject, which `floorlog reconcile` counts apart.
    """
    from dataclasses import asdict

    from floorlog.record.act.reject import replay
    from floorlog.source.sender import Sender

    settings = settings_of(data, "floorlog_operator", "stream", "db_secret")
    sender = Sender(settings.stream, settings.region)
    try:
        made = replay(
            operator_dsn(data), name, sender.put_one, by=person_of(by), reason=reason,
            data=None if mended is None else _bytes_of(mended), key=key, again=again,
        )  # fmt: skip
    finally:
        sender.close()
    if as_json:
        show(asdict(made))
    else:
        print(f"sent {made.reject} as record {made.sequence} of shard {made.shard}")


def _bytes_of(file: Path) -> bytes:
    """What a file or the standard input holds. Raises InputError."""
    from floorlog.errors import InputError

    if str(file) == "-":
        return sys.stdin.buffer.read()
    try:
        return file.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot be read: {error.strerror}", where=str(file), fix="name a file that is there"
        ) from error
