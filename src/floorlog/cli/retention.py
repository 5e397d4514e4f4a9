"""Commands that say how long assets are kept, what holds them, and what expired."""

from pathlib import Path

import click

from floorlog.cli.act import BY, JSON, REASON, operator_dsn, person_of, show
from floorlog.cli.place import DATA

DAYS_OF_A_YEAR = 365.25


@click.group()
def retention() -> None:
    """How long each asset is kept; expiry itself is the keeper's."""


@retention.command("set")
@click.argument("asset")
@DATA
@click.option("--years", type=click.FloatRange(0, 2_000), help="So long.")
@click.option("--days", type=click.IntRange(1, 999_999), help="So long.")
@click.option("--for-ever", is_flag=True, help="Without end.")
@click.option(
    "--from", "basis", type=click.Choice(["active", "recorded"]), default="active",
    help="From when the asset went quiet as a whole (usual), or from each storing.",
)  # fmt: skip
@REASON
@BY
def set_retention(
    asset: str,
    data: Path | None,
    years: float | None,
    days: int | None,
    basis: str,
    reason: str,
    by: str | None,
    *,
    for_ever: bool,
) -> None:
    """Keep ASSET so long; '*' stands for all that have no policy of their own.

    With --from active nothing goes while the asset is in use, and everything so long after its last
    reading was stored. Whole days count. A hold wins over any policy.
    """
    from floorlog.errors import InputError
    from floorlog.record.act.retention import set_policy

    if sum((years is not None, days is not None, for_ever)) != 1:
        raise InputError(
            "how long is not clear", where="retention", fix="say --years, --days or --for-ever"
        )
    whole = days if years is None else max(1, round(years * DAYS_OF_A_YEAR))
    set_policy(
        operator_dsn(data), asset, None if for_ever else whole, from_active=basis == "active",
        by=person_of(by), reason=reason,
    )  # fmt: skip
    print(f"{asset} is kept {'for ever' if for_ever else f'{whole} days, from {basis}'}")


@retention.command("list")
@DATA
@JSON
def list_retention(data: Path | None, *, as_json: bool) -> None:
    """Show the policies and holds in force, what may expire by them, and what cannot."""
    from dataclasses import asdict

    from floorlog.record.act.retention import left_out, policies

    dsn = operator_dsn(data)
    kept, held, due = policies(dsn)
    left = left_out(dsn)
    if as_json:
        show(
            {
                "policies": [asdict(one) for one in kept],
                "holds": [asdict(one) for one in held],
                "due": [asdict(one) for one in due],
                "left": [asdict(one) for one in left],
            }
        )
        return
    for policy in kept:
        long = "for ever" if policy.days is None else f"{policy.days} days"
        basis = "active" if policy.from_active else "recorded"
        print(f"{policy.asset}: {long}, from {basis} ({policy.reason}; {policy.actor})")
    for hold_ in held:
        print(f"{hold_.asset}: HELD by {hold_.name} ({hold_.reason}; {hold_.actor})")
    for one in due:
        print(f"due: {one.device or 'rejects'} in {one.batches} batches of {one.shard}")
    for out in left:
        print(f"NOT EXPIRED: {out}; see `floorlog verify`")
    if not kept:
        print("no policy: everything is kept for ever")


@retention.command("log")
@DATA
@click.option("--rows", type=click.IntRange(1, 100_000), default=50, help="So many at most.")
@JSON
def log_retention(data: Path | None, rows: int, *, as_json: bool) -> None:
    """Show what expired, the newest first, with the sizes before and after."""
    from dataclasses import asdict

    from floorlog.record.act.retention import expiries
    from floorlog.record.verifier import time_text

    found = expiries(operator_dsn(data), rows)
    if as_json:
        show([asdict(one) for one in found])
        return
    for one in found:
        print(
            f"{one.expiry_id}  {time_text(one.recorded_at)}  {one.shard}, batches"
            f" {one.first_batch} to {one.last_batch}: {one.readings} readings, {one.rejects}"
            f" rejects, {one.anomalies} anomalies of {', '.join(one.devices) or 'no device'};"
            f" {one.bytes_before} bytes became {one.bytes_after}"
        )


@click.group()
def hold() -> None:
    """Holds: nothing of an asset expires while one stands, whatever its policy says."""


@hold.command()
@click.argument("asset")
@click.argument("name")
@DATA
@REASON
@BY
def place(asset: str, name: str, data: Path | None, reason: str, by: str | None) -> None:
    """Hold ASSET ('*': everything) under NAME, until it is released."""
    from floorlog.record.act.retention import place_hold

    place_hold(operator_dsn(data), asset, name, by=person_of(by), reason=reason)
    print(f"{asset} is held by {name}")


@hold.command()
@click.argument("asset")
@click.argument("name")
@DATA
@REASON
@BY
def release(asset: str, name: str, data: Path | None, reason: str, by: str | None) -> None:
    """End the hold NAME of ASSET."""
    from floorlog.record.act.retention import release_hold

    release_hold(operator_dsn(data), asset, name, by=person_of(by), reason=reason)
    print(f"{asset} is not held by {name} any more")


@hold.command("list")
@DATA
@JSON
def list_holds(data: Path | None, *, as_json: bool) -> None:
    """Show the holds in force."""
    from dataclasses import asdict

    from floorlog.record.act.retention import policies

    _, held, _ = policies(operator_dsn(data))
    if as_json:
        show([asdict(one) for one in held])
        return
    for one in held:
        print(f"{one.asset}: {one.name} ({one.reason}; {one.actor})")
