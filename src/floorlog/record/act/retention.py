"""How long each asset's readings are kept, what holds them, and what expired."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.resources import files

from floorlog.errors import InputError
from floorlog.record.act.act import Connection, Row, acting, actor_of, add_event, text_of
from floorlog.store.queries import parse

QUERIES = parse(files("floorlog.record.act").joinpath("retention.sql").read_text("utf-8"))
DAYS_MAX = 999_999
ALL = "*"


@dataclass(frozen=True, slots=True)
class Policy:
    """How long an asset is kept; asset "*" is every one without a policy of its own.

    Attributes:
        days: None keeps for ever.
        from_active: the days count from when the whole asset went quiet, not from each storing.
        recorded_at: µs UTC.
    """

    asset: str
    days: int | None
    from_active: bool
    reason: str
    actor: str
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold: nothing of the asset expires while it stands. recorded_at: µs UTC."""

    asset: str
    name: str
    reason: str
    actor: str
    recorded_at: int


@dataclass(frozen=True, slots=True)
class Due:
    """Batches of a shard that may lose what they hold of a device ("": rejects) now."""

    device: str
    shard: str
    batches: int


@dataclass(frozen=True, slots=True)
class Expiry:
    """One step of expiry; sizes in bytes, of the rows that went and of what stands for them."""

    expiry_id: int
    recorded_at: int
    shard: str
    first_batch: int
    last_batch: int
    devices: list[str]
    batches: int
    readings: int
    rejects: int
    anomalies: int
    bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True)
class Step:
    """What one step did.

    Attributes:
        expiry_id: number of the expiry; None: a span held nothing that may go.
        left: which batches it left out since they are not what was stored, in words; or empty.
    """

    expiry_id: int | None
    readings: int
    rejects: int
    anomalies: int
    batches: int
    bytes_before: int
    bytes_after: int
    left: str = ""


@dataclass(frozen=True, slots=True)
class Left:
    """Batches that a step of expiry left out: they are not what was stored."""

    shard: str
    first_batch: int
    last_batch: int
    says: str
    tried_at: int  # µs UTC

    def __str__(self) -> str:
        if self.says.startswith("not "):
            says = f"are {self.says}"
        else:
            says = f"cannot be read: {self.says}"
        return f"batches {self.first_batch} to {self.last_batch} of {self.shard} {says}"


def policies(dsn: str) -> tuple[list[Policy], list[Hold], list[Due]]:
    """The policies and holds in force, and what may expire by them. Raises ServiceError."""
    with acting(dsn) as connection:
        return (
            [Policy(*row) for row in _ask(connection, "policies")],
            [Hold(*row) for row in _ask(connection, "holds")],
            [Due(*row) for row in _ask(connection, "due")],
        )


def expiries(dsn: str, rows_max: int) -> list[Expiry]:
    """The steps of expiry, the newest first. Raises ServiceError."""
    with acting(dsn) as connection:
        return [Expiry(*row) for row in _ask(connection, "expiries", rows_max=rows_max)]


def left_out(dsn: str, rows_max: int = 1_000) -> list[Left]:
    """What steps of expiry left out, by shard. Raises ServiceError."""
    with acting(dsn) as connection:
        return [Left(*row) for row in _ask(connection, "left", rows_max=rows_max)]


def set_policy(
    dsn: str, asset: str, days: int | None, *, from_active: bool, by: str, reason: str
) -> None:
    """Say how long an asset is kept from now on; see Policy.

    Raises:
        InputError: there is no such asset, or the days are none.
        ServiceError: the record cannot be reached.
    """
    if days is not None and not 1 <= days <= DAYS_MAX:
        raise InputError(
            f"{days} days cannot be kept to", where="--days", fix=f"give 1 to {DAYS_MAX}"
        )
    detail = {"days": days, "from": "active" if from_active else "recorded"}
    _act(dsn, asset, "retention.set", detail, by=by, reason=reason)


def place_hold(dsn: str, asset: str, name: str, *, by: str, reason: str) -> None:
    """Let nothing of an asset expire until the hold is released. Raises as set_policy."""
    held = text_of("a name of the hold", name, "NAME")
    _act(
        dsn, asset, "hold.place", {"hold": held}, by=by, reason=reason,
        check=lambda connection: _see_hold(connection, asset, held, there=False),
    )  # fmt: skip


def release_hold(dsn: str, asset: str, name: str, *, by: str, reason: str) -> None:
    """End a hold. Raises InputError where there is none; else as set_policy."""
    _act(
        dsn, asset, "hold.release", {"hold": name}, by=by, reason=reason,
        check=lambda connection: _see_hold(connection, asset, name, there=True),
    )  # fmt: skip


def step(connection: Connection, batches_max: int) -> Step | None:
    """One bounded step of expiry, as the keeper; None when nothing is left to expire.

    Args:
        connection: in a transaction.
        batches_max: about so many batches at most.
    """
    rows = _ask(connection, "expire", batches_max=batches_max)
    if not rows:
        return None
    left = "; ".join(str(Left(*row)) for row in _ask(connection, "left_now"))
    expiry_id, *rest = rows[0]
    readings, rejects, anomalies, batches, before, after = (int(one or 0) for one in rest)
    return Step(expiry_id, readings, rejects, anomalies, batches, before, after, left)


def _act(
    dsn: str,
    asset: str,
    action: str,
    detail: Mapping[str, object],
    *,
    by: str,
    reason: str,
    check: Callable[[Connection], None] = lambda _: None,
) -> None:
    said = text_of("a reason", reason, "--reason")
    with acting(dsn) as connection:
        _ask_nothing(connection, "lock_retention")
        ((known,),) = _ask(connection, "known_asset", asset=asset)
        if not known and action != "hold.release":
            raise InputError(
                f"there is no asset {asset!r}",
                where="ASSET",
                fix="name an asset of the catalogue, a device, or '*' for all others",
            )
        check(connection)
        actor = actor_of(connection, by)
        add_event(connection, actor, action, {"asset": asset, **detail, "reason": said})


def _see_hold(connection: Connection, asset: str, name: str, *, there: bool) -> None:
    held = [row[1] for row in _ask(connection, "holds") if row[0] == asset]
    if there and name not in held:
        raise InputError(
            f"{asset} has no hold {name!r}",
            where="NAME",
            fix=f"it has {', '.join(held)}" if held else "see `floorlog hold list`",
        )
    if not there and name in held:
        raise InputError(
            f"{asset} has a hold {name!r} already", where="NAME", fix="give it another name"
        )


def _ask(connection: Connection, query: str, /, **values: object) -> list[Row]:
    return connection.execute(QUERIES[query].text, values, binary=True).fetchall()


def _ask_nothing(connection: Connection, query: str, /) -> None:
    connection.execute(QUERIES[query].text)
