"""Seals all of a written record."""

from floorlog.record.seal.seal import Sealer
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER


def seal(written) -> int:
    """Seal all that is there; returns how many readings went through steps."""
    link = Link(written.dsn(KEEPER), "keeper", 30)
    try:
        sealer = Sealer(link.idle(), quiet_s=0, age_s=0)
        while sealer.step():
            pass
        assert sealer.refused == 0
        return sealer.readings
    finally:
        link.close()
