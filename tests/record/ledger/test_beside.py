"""Verification beside all who write: an untouched record raises no alarm, whenever it is asked."""

import threading
from collections.abc import Callable
from typing import Self

import pytest
from written import Plant, Shard, Written, lead

from floorlog.record.check.verify import Report, verify
from floorlog.record.seal.seal import Sealer
from floorlog.store.link import Link
from floorlog.store.migrate import KEEPER, READER, WRITER


class Others:
    """A worker that commits, a keeper that sequences and anchors, a sealer; until told to stop."""

    def __init__(self, written: Written) -> None:
        self.written = written
        self.stop = threading.Event()
        self.failed: list[BaseException] = []
        self.sealed = 0
        tasks = (self.work, self.keep, self.seal)
        self.threads = [threading.Thread(target=self.guarded, args=(task,)) for task in tasks]

    def __enter__(self) -> Self:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()
        for thread in self.threads:
            thread.join(60)

    def guarded(self, task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed.append(error)

    def work(self) -> None:
        plant = Plant(self.written.dsn(WRITER))
        (lease,) = plant.take(Shard("shard-9", (), 0, 5))
        plant.register(lease)
        number = 0
        while not self.stop.wait(0.2):
            number += 1
            plant.commit(plant.batch(lease, number))
        plant.store.close()

    def keep(self) -> None:
        keeper = self.written.keeper(anchor_s=10.0)  # each note costs every verification 5 ms
        lead(keeper)
        while not self.stop.wait(0.2):
            keeper.round()
        keeper._link.close()

    def seal(self) -> None:
        link = Link(self.written.dsn(KEEPER), "sealer", 30)
        sealer = Sealer(link.idle(), quiet_s=0, age_s=0)
        while not self.stop.wait(0.3):
            sealer.step()
            self.sealed = sealer.readings
        assert sealer.refused == 0
        link.close()


def untouched(written: Written, count: int) -> list[Report]:
    with Others(written) as others:
        reports = [verify(written.dsn(READER), written.anchor) for _ in range(count)]
        while (
            reports[-1].entries == reports[0].entries
            or not reports[-1].anchored
            or not (others.sealed or others.failed)
        ):
            reports.append(verify(written.dsn(READER), written.anchor))
    assert others.failed == []
    assert others.sealed > 0
    assert [report.wrong for report in reports if not report.ok] == []
    return reports


@pytest.mark.slow
def test_no_alarm_beside_writers_keeper_and_sealer(written) -> None:
    """A few verifications while batches come, get their place, and become chunks: all intact."""
    untouched(written, 8)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_thousand_verifications_raise_no_alarm(written) -> None:
    """A thousand of them."""
    reports = untouched(written, 1_000)
    print(f"{len(reports)} verifications, {reports[0].entries} to {reports[-1].entries} batches")
