"""The demo plant: the same story every time, in readings that the validator takes, with faults."""

import hashlib
import json

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
    for number in range(len(FAULTS)):
        second = SECOND + number * FAULT_EVERY_SECONDS + 16
        newest = plant.faults(second)[-1]
        if newest.kind == kind:
            break
    assert newest.kind == kind
    name = plant.names[newest.device]
    said = [frame.data for frame in plant.frames(second) if device(frame) == name]
    usual = [frame.data for frame in well.frames(second) if device(frame) == name]
    assert said != usual
    assert (said == []) == (kind == "silent")


def test_faults_overlap_and_end():
    """A new one begins every 20 s and lasts a minute: three at any time, ages told in order."""
    ages = [fault.age_s for fault in Plant().faults(SECOND)]
    assert len(ages) == FAULT_SECONDS // FAULT_EVERY_SECONDS
    assert ages == sorted(ages, reverse=True)
    assert 0 <= ages[-1] < FAULT_EVERY_SECONDS
    assert ages[0] < FAULT_SECONDS


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
