"""The demo plant: the same story every time, in readings that the validator takes, with faults."""

import hashlib
import json
from itertools import pairwise

import pytest

from floorlog.core.catalogue import Catalogue
from floorlog.local.plant import (
    DEVICES,
    FAULT_EVERY_SECONDS,
    FAULT_SECONDS,
    FAULTS,
    Plant,
    run,
    seconds,
)
from floorlog.source.sender import Entry

SECOND = 1_767_225_600


def device(frame: Entry) -> str:
    """The device that says it."""
    return str(json.loads(frame.data)["device_id"])


def test_a_second_is_a_function_of_seed_and_time():
    """Two plants of one seed say the same, byte for byte; another seed says something else."""
    assert Plant(seed=1).frames(SECOND) == Plant(seed=1).frames(SECOND)
    assert Plant(seed=1).frames(SECOND) != Plant(seed=2).frames(SECOND)
    assert Plant(seed=1).frames(SECOND) != Plant(seed=1).frames(SECOND + 1)


def test_each_device_speaks_once_a_second_of_three_metrics():
    """Apart from the silent ones there is a frame a device, keyed by its asset, of three values.

    By its asset, so that one shard has a whole line: of a line in parts no sensors are compared.
    """
    plant = Plant()
    frames = plant.frames(SECOND)
    catalogue = plant.catalogue()
    assert DEVICES - len(FAULTS) <= len(frames) <= DEVICES
    assert len({device(frame) for frame in frames}) == len(frames)
    for frame in frames:
        content = json.loads(frame.data)
        assert frame.partition_key == catalogue.asset(device(frame)) != device(frame)
        assert content["ts"] == SECOND * 1_000
        assert set(content["values"]) == {"temperature", "pressure", "status"}
    halves = {hashlib.md5(f.partition_key.encode(), usedforsecurity=False).digest()[0] >> 7
              for f in frames}  # fmt: skip
    assert halves == {0, 1}  # both shards of a stream of two have lines


@pytest.mark.parametrize("kind", FAULTS)
def test_every_kind_of_fault_shows(kind):
    """Each kind comes around, and changes what its device says against a plant without faults."""
    plant, well = Plant(), Plant()
    well.faults = lambda *_: []
    seconds_of_a_round = range(SECOND, SECOND + len(FAULTS) * FAULT_EVERY_SECONDS)
    second, newest = next(
        (second, fault)
        for second in seconds_of_a_round
        for fault in plant.faults(second)
        if fault.kind == kind and fault.age_s in {2, 62}
    )
    name = plant.names[newest.device]
    said = [frame.data for frame in plant.frames(second) if device(frame) == name]
    usual = [frame.data for frame in well.frames(second) if device(frame) == name]
    assert said != usual
    assert (said == []) == (kind == "silent")


def test_faults_come_soon_and_then_seldom():
    """Within 20 s of its begin one, within a minute another, and then one in 2 to 3 minutes.

    In any ten minutes at most five, so that their alarms are no flood; each of them ends.
    """
    plant = Plant(begin_s=SECOND)
    assert plant.faults(SECOND) == []
    found = [(second, fault) for second in range(3600) for fault in plant.faults(SECOND + second)]
    begun = [second for second, fault in found if fault.age_s == 0]
    assert begun[0] < 20
    assert begun[1] < 60
    assert {after - before for before, after in pairwise(begun[1:])} <= set(range(120, 181))
    assert all(sum(at <= one < at + 600 for one in begun) <= 5 for at in begun)
    assert len(found) - len(begun) * FAULT_SECONDS in range(-FAULT_SECONDS, 1)
    assert {fault.kind for _, fault in found} == set(FAULTS)


def test_what_comes_first_is_beyond_its_rules_within_a_minute():
    """Both first faults: a state that is abnormal within 20 s, a limit passed within a minute."""
    plant = Plant(begin_s=SECOND)
    asked = plant.catalogue().devices[plant.names[0]].metrics

    def abnormal(second: int) -> set[str]:
        values = [json.loads(frame.data)["values"] for frame in plant.frames(SECOND + second)]
        hot = any(each["temperature"] > asked["temperature"].limits.hi for each in values)
        fault = any(each["status"] in asked["status"].abnormal for each in values)
        return {name for name, is_so in (("hot", hot), ("fault", fault)) if is_so}

    assert abnormal(0) == set()
    assert abnormal(19) >= {"fault"}
    assert abnormal(59) == {"hot", "fault"}


def test_the_catalogue_lists_the_devices_and_them_alone():
    """It survives being written and read, names every device, and sets nothing for others."""
    plant = Plant()
    catalogue = plant.catalogue()
    assert Catalogue.decode(catalogue.encode()) == catalogue
    assert set(catalogue.devices) == set(plant.names)
    assert not catalogue.metrics
    assert not catalogue.strict


def test_a_sound_plant_keeps_within_its_limits():
    """Without faults no value of a device is beyond its alarm limits, over a quarter of an hour."""
    plant = Plant()
    plant.faults = lambda *_: []
    metrics = plant.catalogue().devices[plant.names[0]].metrics
    for second in range(SECOND, SECOND + 900, 45):
        for frame in plant.frames(second):
            values = json.loads(frame.data)["values"]
            for metric in ("temperature", "pressure"):
                limits = metrics[metric].limits
                assert limits.lo < values[metric] < limits.hi
            assert values["status"] in {"idle", "running"}


def test_seconds_ends_when_asked():
    """The clock's seconds stop at once when stopping says so, and after as many as were asked."""
    assert list(seconds(lambda *_: True)) == []
    found = list(seconds(lambda *_: False, 3))
    assert len(found) == 3
    assert found == sorted(set(found))


def test_run_counts_the_readings():
    """What is sent is counted in readings: three a frame."""

    class Sink:
        def __init__(self):
            self.taken = []

        def put(self, frames):
            self.taken += frames

    sink = Sink()
    assert run(sink, Plant(10), lambda *_: False, 2) == 3 * len(sink.taken)
    assert len(sink.taken) >= 14
