"""What operators say of normal: `floorlog accept` and `floorlog exclude`.

Each is a further version of the catalogue and an audit event, in one transaction. The version by
which a batch was judged is part of its entry: so what was said has its place in the order of every
shard's batches, and a replay gives the same bits.
"""

from collections.abc import Callable

import msgspec

from floorlog.core.catalogue import Catalogue
from floorlog.core.condition import Accepted, Acts, Excluded
from floorlog.errors import InputError
from floorlog.record.act.act import Connection, acting, actor_of, add_event, ask, text_of
from floorlog.store.catalogue import newest
from floorlog.store.queries import sql


def accept(dsn: str, device: str, metric: str, *, by: str, reason: str) -> int:
    """Say of a series: what it does now is normal. Returns the version of the catalogue.

    Args:
        dsn: of the operator's role.
        device: the device.
        metric: the metric.
        by: a person's name or pseudonym.
        reason: why.

    Raises:
        InputError: the record holds no such series, or has too many acts already.
        ServiceError: the record cannot be reached.
    """

    def act(acts: Acts, now_us: int) -> Acts:
        others = tuple(a for a in acts.accepted if (a.device, a.metric) != (device, metric))
        accepted = (*others, Accepted(device, metric, now_us))
        return msgspec.structs.replace(acts, accepted=accepted)

    said = text_of("a reason", reason, "--reason")
    with acting(dsn) as connection:
        version = _further(connection, device, metric, act)
        detail = {"device": device, "metric": metric, "catalogue": version, "reason": said}
        add_event(connection, actor_of(connection, by), "detect.accept", detail)
    return version


def exclude(
    dsn: str, device: str, metric: str | None, begin: int, end: int, *, by: str, reason: str
) -> int:
    """Say of a device or series: this time was bad. Returns the version of the catalogue.

    Args:
        dsn: of the operator's role.
        device: the device, of which the record must hold a series.
        metric: the metric; None = all of the device.
        begin: first time stamp that does not count, µs UTC.
        end: first that counts again, µs UTC; may lie in the future.
        by: a person's name or pseudonym.
        reason: why.

    Raises:
        InputError: as `accept`; or the time ends before it begins.
        ServiceError: the record cannot be reached.
    """
    said = text_of("a reason", reason, "--reason")
    if begin >= end:
        raise InputError("the time ends before it begins", where="--to", fix="swap its ends")
    span = Excluded(device, begin, end, metric)
    with acting(dsn) as connection:
        version = _further(
            connection,
            device,
            metric,
            lambda acts, _: msgspec.structs.replace(acts, excluded=(*acts.excluded, span)),
        )
        detail = {
            "device": device, "metric": metric, "begin_us": begin, "end_us": end,
            "catalogue": version, "reason": said,
        }  # fmt: skip
        add_event(connection, actor_of(connection, by), "detect.exclude", detail)
    return version


def _further(
    connection: Connection, device: str, metric: str | None, act: Callable[[Acts, int], Acts]
) -> int:
    """Store the newest catalogue with one act more; its other parts stay as they are."""
    connection.execute(sql("lock_catalogue"))
    ((is_known, now_us),) = ask(connection, "knows_series", device=device, metric=metric)
    if not is_known:
        named = device if metric is None else f"{metric} of {device}"
        raise InputError(
            f"the record holds nothing of {named}",
            where="record",
            fix="name device and metric as the page does",
        )
    version, body = newest(connection)
    acts = act(Catalogue.decode(body.encode()).acts, now_us)
    content = {**msgspec.json.decode(body), "acts": acts}
    text = msgspec.json.encode(content, order="sorted")
    Catalogue.decode(text)  # refuses more acts than there may be
    connection.execute(sql("add_catalogue"), {"version": version + 1, "body": text.decode()})
    return version + 1
