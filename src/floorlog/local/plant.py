"""The demo plant: 300 devices with temperature, pressure and status at 1 Hz, and faults in them.

What it measures is a function of the seed and the second, what is wrong with it one of the seed
and of the seconds since its begin: the same plant tells the same story.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from floorlog.core.catalogue import Catalogue, Device, Limits, Metric, Range
from floorlog.source.sender import Entry, Sender

DEVICES = 300
METRICS = 3
LINES = 6
KINDS = ("press", "oven", "pump", "mixer", "filler")
STATES = ("idle", "running", "fault")
OPENING_SECONDS = (8, 20)
"""After its begin the first two faults: of kinds that rules find before anything is learned."""
FAULT_EVERY_SECONDS = 180
"""From then on: one fault makes up to three alarms, and more than 10 in ten minutes are a flood."""
FAULT_SECONDS = 120
FAULTS = ("status", "hot", "silent", "jump", "leak", "stuck")


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong with one device now, and for how many seconds it has been."""

    kind: str
    device: int
    age_s: int


class Plant:
    """Devices that can be asked for what they say in a second.

    Args:
        devices: how many.
        seed: of all that is random in them.
        begin_s: when its faults begin, Unix time.
    """

    def __init__(self, devices: int = DEVICES, seed: int = 1, begin_s: int = 0) -> None:
        self.seed = seed
        self.begin_s = begin_s
        self.names = [f"{KINDS[n % len(KINDS)]}-{n + 1:03d}" for n in range(devices)]
        chance = np.random.default_rng(seed)
        self._temperature = chance.uniform(45.0, 75.0, devices)
        self._pressure = chance.uniform(3.0, 7.0, devices)
        self._period_s = chance.uniform(120.0, 900.0, devices)
        self._phase = chance.uniform(0.0, 2 * np.pi, devices)

    def catalogue(self) -> Catalogue:
        """What is expected of these devices; of others it says nothing."""
        metrics = {
            "temperature": Metric(
                unit="Cel",
                range=Range(lo=-40.0, hi=200.0),
                limits=Limits(lo=25.0, hi=90.0, hihi=105.0, dead_band=1.0, on_delay_s=2.0),
                interval_s=1.0,
            ),
            "pressure": Metric(
                unit="bar",
                range=Range(lo=0.0, hi=25.0),
                limits=Limits(lo=1.5, hi=9.0, dead_band=0.1, on_delay_s=2.0),
                rate_per_s=3.0,
                interval_s=1.0,
            ),
            "status": Metric(states=STATES, abnormal=("fault",), interval_s=1.0),
        }
        return Catalogue(
            devices={
                name: Device(asset=asset(n), metrics=metrics) for n, name in enumerate(self.names)
            }
        )

    def faults(self, second: int) -> list[Fault]:
        """The faults of a second, Unix time: two soon after the begin, then one by one."""
        passed = second - self.begin_s
        opening = len(OPENING_SECONDS)
        begins = dict(enumerate(OPENING_SECONDS))
        number = opening - 1 + (passed - OPENING_SECONDS[-1]) // FAULT_EVERY_SECONDS
        if number >= opening:
            nth = number - opening + 1
            begins[number] = OPENING_SECONDS[-1] + nth * FAULT_EVERY_SECONDS
        found = []
        for number, begin in begins.items():
            if 0 <= passed - begin < FAULT_SECONDS:
                chance = np.random.default_rng([self.seed, number])
                device = int(chance.integers(len(self.names)))
                found.append(Fault(FAULTS[number % len(FAULTS)], device, passed - begin))
        return found

    def frames(self, second: int) -> list[Entry]:
        """One frame of each device that speaks in this second, Unix time."""
        temperature, pressure, running = self._measure(second)
        status = ["running" if runs else "idle" for runs in running]
        silent = set()
        for fault in self.faults(second):
            n = fault.device
            if fault.kind == "hot":
                temperature[n] += min(fault.age_s * 2.0, 98.0 - self._temperature[n])
            elif fault.kind == "stuck":
                temperature[n] = round(float(self._temperature[n]), 2)
            elif fault.kind == "silent":
                silent.add(n)
            elif fault.kind == "jump" and fault.age_s < 3:
                pressure[n] += 6.0
            elif fault.kind == "status":
                status[n] = "fault"
            elif fault.kind == "leak":
                pressure[n] = max(0.2, pressure[n] - fault.age_s * 0.2)
        return [
            Entry(asset(n), _frame(name, second, temperature[n], pressure[n], status[n]))
            for n, name in enumerate(self.names)
            if n not in silent
        ]

    def _measure(
        self, second: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        chance = np.random.default_rng([self.seed, 1 << 40, second])
        swing = np.sin(second * 2 * np.pi / self._period_s + self._phase)
        noise = chance.standard_normal((2, len(self.names)))
        temperature = self._temperature + 3.0 * swing + 0.2 * noise[0]
        pressure = self._pressure + 0.4 * swing + 0.03 * noise[1]
        return temperature, pressure, swing > -0.9


def asset(number: int) -> str:
    """The line that a device stands in; also its partition key, so that one shard has it whole."""
    return f"line-{number % LINES + 1}"


_encode = msgspec.json.Encoder().encode


def _frame(name: str, second: int, temperature: float, pressure: float, status: str) -> bytes:
    return _encode(
        {
            "device_id": name,
            "ts": second * 1_000,
            "values": {
                "temperature": round(float(temperature), 2),
                "pressure": round(float(pressure), 3),
                "status": status,
            },
            "units": {"temperature": "Cel", "pressure": "bar"},
        }
    )


def seconds(stopping: Callable[[float], bool], seconds_max: int | None = None) -> Iterator[int]:
    """Each second of the clock when it comes; those that were missed are left out.

    Args:
        stopping: waits for so many seconds, and says whether to end.
        seconds_max: how many; None goes on.
    """
    second = int(time.time())
    count = 0
    while seconds_max is None or count < seconds_max:
        wait = second - time.time()
        if stopping(max(0.0, wait)):
            return
        yield second
        count += 1
        second = max(second + 1, int(time.time()))


def run(
    sender: Sender,
    plant: Plant,
    stopping: Callable[[float], bool],
    seconds_max: int | None = None,
) -> int:
    """Send what the plant says, second by second; returns the number of readings sent."""
    sent = 0
    for second in seconds(stopping, seconds_max):
        frames = plant.frames(second)
        sender.put(frames)
        sent += len(frames) * METRICS
    return sent
