"""A detector that fails stops nothing: what it did not judge is said, and the rest goes on."""

import json
from dataclasses import dataclass, field

import numpy as np
import pytest

from floorlog.core.catalogue import Catalogue
from floorlog.core.detect import DETECTORS
from floorlog.core.detect.aside import ASIDE_S, PREFIX, recorded
from floorlog.core.detect.detector import Detector, Finding, Flags, Memory, Sample, Verdict
from floorlog.core.detect.panel import WHOLE, Panel
from floorlog.core.detect.silence import Silence
from floorlog.core.draft import Outcome
from floorlog.core.pipeline import Pipeline
from floorlog.core.protocol import Registered, StoredBatch, StoredReadings, StoredState
from floorlog.core.reading import Anomaly, Kind, Record
from floorlog.core.series import KnownSeries

T0_S = 1_767_225_600
BATCH_S = 50
STEP_S = 2
BATCHES = 42
SERIES = tuple(KnownSeries(7 + n, f"d{n}", "m", Kind.NUMBER, None, 1) for n in range(3))
BAD = {10, 12, 27}  # batches with a value that the detector cannot take
TOUCHY = PREFIX + "touchy"


class Touchy(Detector):
    """Finds values above 70, and fails at any above 900. Source: this test."""

    name = "touchy"
    memory = {"seen": "f8"}  # noqa: RUF012 - never changed
    sound = False

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - needs no rules
        """Above 70."""
        memory["seen"] += 1  # what a failure leaves behind must not stay
        if not self.sound and (sample.value > 900).any():
            raise ZeroDivisionError("cannot take it")
        return Verdict(sample.value > 70, sample.value, sample.previous)

    def reason(self, finding: Finding) -> str:
        """The value."""
        return f"{finding.phase} at {finding.value:g}"


class Sound(Touchy):
    """The same, mended. Source: this test."""

    sound = True


class Warns(Touchy):
    """Fails by a warning where warnings are errors, as in this test. Source: this test."""

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:
        """The mean of nothing."""
        np.mean(sample.value[sample.value > 2000]) if (sample.value > 900).any() else None
        return super().judge(sample, memory, asked)


class Shapeless(Touchy):
    """Answers with columns of another length. Source: this test."""

    def judge(self, sample: Sample, memory: Memory, asked: object) -> Verdict:  # noqa: ARG002 - needs no rules
        """Two rows too many."""
        count = len(sample.value) + 2 * bool((sample.value > 900).any())
        return Verdict(np.zeros(count, np.bool_), np.zeros(count), np.zeros(count))


class Unready(Touchy):
    """Fails when asked what it has learned. Source: this test."""

    def ready(self, memory: Memory) -> Flags | None:
        """Never."""
        raise LookupError(len(memory))


class Dumb(Silence):
    """Silence that fails at each tick from a clock on. Source: this test."""

    def due(self, memory: Memory, row: object, clock_s: int) -> object:
        """Nothing after a while."""
        if T0_S + 1000 <= clock_s < T0_S + 1060:
            raise np.exceptions.AxisError("lost its bearings")
        return super().due(memory, row, clock_s)


def bits(pipeline: Pipeline) -> object:
    """What detection keeps of a shard."""
    state = pipeline.panel.dump_all(np.arange(len(pipeline.table)))
    return state, pipeline.asides.held, pipeline.clock_s


def panel(*more: Detector) -> Panel:
    """All detectors, and these."""
    return Panel([*DETECTORS, *more])


def records(number: int) -> list[Record]:
    """A reading every other second of each of three series."""
    chance = np.random.default_rng(number)
    made = []
    for n in range(number * BATCH_S, (number + 1) * BATCH_S, STEP_S):
        for place in range(len(SERIES)):
            value = 50 + chance.normal()
            if place == 1 and n % BATCH_S == 20:
                value = 1000 if number in BAD else 80
            content = {"device_id": f"d{place}", "metric": "m", "ts": T0_S + n, "value": value}
            data = json.dumps(content).encode()
            made.append(Record(3 * n + place, "d", (T0_S + n) * 1_000_000, data))
    return made


@dataclass
class Run:
    """A shard, batch by batch, with what the record holds of it."""

    pipeline: Pipeline
    tail: list[StoredBatch] = field(default_factory=list)
    dumps: list[bytes] = field(default_factory=list)
    states: list[object] = field(default_factory=list)
    found: list[list[Anomaly]] = field(default_factory=list)
    stored: int = 0

    def commit(self, number: int, *, undone: bool = False) -> Outcome:
        """One batch through all steps, perhaps at a second attempt."""
        pipeline = self.pipeline
        self.dumps.append(pipeline.dump(0))
        self.states.append(bits(pipeline))
        draft = pipeline.draft(records(number))
        if any(pipeline.unregistered(draft)):
            pipeline.register(Registered(SERIES, frozenset(s.series_id for s in SERIES), {}))
        assert pipeline.inspect(draft) is None
        before = pipeline.dump(0)
        outcome = pipeline.settle(draft, None, None)
        if undone:
            pipeline.undo()
            assert pipeline.dump(0) == before
            assert pipeline.settle(draft, None, None).anomalies == outcome.anomalies
        pipeline.accept(outcome)
        kept, ids = outcome.stored, pipeline.table.id
        readings = StoredReadings(
            ids[kept.row], kept.ts, kept.value, kept.quality, kept.arrival_s, outcome.conflict,
            outcome.late,
        )  # fmt: skip
        starts = [
            (one.detector, int(ids[one.row]), one.start)
            for one in outcome.anomalies
            if one.phase == "start"
        ]
        self.tail.append(StoredBatch(number + 1, outcome.clock_s, 1, readings, recorded(starts)))
        self.found.append(list(outcome.anomalies))
        self.stored += outcome.counts.stored
        return outcome


def shard(detectors: Panel) -> Pipeline:
    """A shard that judges by these detectors and no rules."""
    pipeline = Pipeline(1, panel=detectors)
    pipeline.adopt(1, Catalogue().encode())
    return pipeline


def run(detectors: Panel, batches: int = BATCHES) -> Run:
    """Judge these batches."""
    whole = Run(shard(detectors))
    for number in range(batches):
        whole.commit(number, undone=number % 5 == 0)
    return whole


def again(whole: Run, detectors: Panel, snapshot: int, batches: int) -> Pipeline:
    """The state after so many batches, from the snapshot before one of them and what follows."""
    pipeline = shard(detectors)
    blob = whole.dumps[snapshot] if snapshot else None
    tail = tuple(whole.tail[snapshot:batches])
    state = StoredState(blob, (), tail, SERIES, {}, {}, {1: Catalogue().encode()})
    pipeline.restore(state, 0, (1 << 128) - 1)
    return pipeline


def events(whole: Run, name: str) -> list[tuple[int, str]]:
    """Batch and phase of a detector's findings."""
    return [(n, one.phase) for n, found in enumerate(whole.found) for one in found
            if one.detector == name]  # fmt: skip


@pytest.fixture(scope="module")
def whole() -> Run:
    """A day with a detector that fails in some batches."""
    return run(panel(Touchy()))


def test_everything_is_stored_and_the_failure_is_said(whole: Run) -> None:
    """Each failure begins a finding of high severity; ten minutes later the detector is back."""
    assert whole.stored == BATCHES * BATCH_S // STEP_S * len(SERIES)
    rest = ASIDE_S // BATCH_S
    assert events(whole, TOUCHY) == [
        (10, "start"), (10 + rest, "end"), (27, "start"), (27 + rest, "end"),
    ]  # fmt: skip
    begun = next(one for one in whole.found[10] if one.detector == TOUCHY)
    assert (begun.row, begun.severity) == (0, 3)
    assert begun.at == begun.start == (T0_S + 11 * BATCH_S - STEP_S) * 1_000_000
    assert "the detector touchy failed (ZeroDivisionError at test_set_aside.py:" in begun.reason
    assert "cannot take it" in begun.reason


@pytest.mark.parametrize(("kind", "raised"), [(Warns, "RuntimeWarning"), (Shapeless, "Error")])
def test_whatever_is_raised_is_set_aside(kind: type[Touchy], raised: str) -> None:
    """A warning that is an error, or an answer of another shape, is a failure like any other."""
    whole = run(panel(kind()), 12)
    assert whole.stored == 12 * BATCH_S // STEP_S * len(SERIES)
    (begun,) = [one for one in whole.found[10] if one.detector == TOUCHY]
    assert raised in begun.reason


@pytest.mark.slow
def test_the_others_go_on_as_if_nothing_had_happened(whole: Run) -> None:
    """Every other detector says what it says without the one that fails; that one rests alone."""
    without = run(panel())
    for number, found in enumerate(whole.found):
        rest = [one for one in found if "touchy" not in one.detector]
        assert rest == without.found[number], number
    asleep = {n for n, _ in events(whole, "touchy")}
    assert asleep == {n for n in range(BATCHES) if not (10 <= n < 22 or 27 <= n < 39)}


@pytest.mark.slow
def test_a_replay_gives_the_same_bits(whole: Run) -> None:
    """Killed anywhere, the state comes back from any snapshot, and goes on as it would have.

    What the record says decides, also with a release in which the detector does not fail.
    """
    chance = np.random.default_rng(1)
    cuts = [(9, 10), (10, 11), (11, 13), (0, 20), (15, 25), (20, 30)]
    cuts += [sorted(chance.integers(0, BATCHES, 2).tolist()) for _ in range(3)]
    for place, (snapshot, batches) in enumerate(cuts):
        kind = (Touchy, Sound)[place % 2]
        state = again(whole, panel(kind()), snapshot, batches)
        assert bits(state) == whole.states[batches], (snapshot, batches, kind)
        assert state.asides.unsaid() == ()
    state = Run(again(whole, panel(Touchy()), 5, 15))
    for number in range(15, BATCHES):
        state.commit(number)
    assert state.found == whole.found[15:]
    assert bits(state.pipeline) == bits(whole.pipeline)


@pytest.mark.slow
def test_a_failure_while_the_state_is_made_again_is_said_with_the_next_batch() -> None:
    """A new release that fails at old batches still takes over; the record then says so."""
    old = run(panel(Sound()), 20)
    state = Run(again(old, panel(Touchy()), 5, 20))
    (failed,) = state.pipeline.asides.unsaid()
    assert (failed.name, failed.start) == ("touchy", (T0_S + 11 * BATCH_S - STEP_S) * 1_000_000)
    state.commit(20, undone=True)
    (begun,) = (one for one in state.found[0] if one.detector == TOUCHY)
    assert (begun.phase, begun.start) == ("start", failed.start)
    assert begun.at == (T0_S + 21 * BATCH_S - STEP_S) * 1_000_000
    assert state.pipeline.asides.unsaid() == ()
    for number in range(21, 25):
        state.commit(number)
    assert events(state, TOUCHY) == [(0, "start"), (2, "end")]
    later = Run(shard(panel(Touchy())), tail=[*old.tail, *state.tail], dumps=state.dumps)
    blob = StoredState(
        state.dumps[0], (), tuple(state.tail[:3]), SERIES, {}, {}, {1: Catalogue().encode()}
    )
    later.pipeline.restore(blob, 0, (1 << 128) - 1)
    assert bits(later.pipeline) == state.states[3]


@pytest.mark.slow
def test_where_no_single_detector_failed_all_rest_and_nobody_is_called_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What all of detection needs may fail, too: readings are stored, and no silence made up."""
    detectors = panel()
    monkeypatch.setattr(detectors, "_silence", Dumb())
    whole = run(detectors, 34)
    assert whole.stored == 34 * BATCH_S // STEP_S * len(SERIES)
    assert [phase for _, phase in events(whole, PREFIX + WHOLE)] == ["start", "end"]
    assert events(whole, "silence") == []
    again_panel = panel()
    monkeypatch.setattr(again_panel, "_silence", Dumb())
    assert bits(again(whole, again_panel, 3, 30)) == whole.states[30]


def test_a_detector_that_cannot_tell_what_it_learned_is_set_aside() -> None:
    """By the batch that asked it; and no take-over fails at it, whether it rests then or not."""
    whole = run(panel(Unready()), 14)
    assert events(whole, TOUCHY) == [(0, "start"), (12, "end"), (12, "start")]
    for snapshot, batches in ((3, 8), (0, 12)):
        state = again(whole, panel(Unready()), snapshot, batches)
        assert bits(state) == whole.states[batches]
    sound = run(panel(Sound()), 3)
    state = Run(again(sound, panel(Unready()), 1, 3))
    state.commit(3)
    assert events(state, TOUCHY) == [(0, "start")]


def test_an_idle_shard_asks_again_in_time(whole: Run) -> None:
    """The clock at which a detector is asked again is one at which a tick has something to say."""
    state = again(whole, panel(Touchy()), 5, 11)
    (one,) = state.asides.held
    due = state.deadline_s()
    assert due is not None
    assert due <= one.until_s() == T0_S + 11 * BATCH_S - STEP_S + ASIDE_S
    ticked = state.tick(one.until_s())
    assert (TOUCHY, "end") in [(one.detector, one.phase) for one in ticked.anomalies]


def test_a_take_over_announces_nothing_that_was_said(whole: Run) -> None:
    """Which series have learned enough was told before the shard changed hands."""
    state = Run(again(whole, panel(Touchy()), 5, 40))
    assert state.commit(40).calibration == ()
