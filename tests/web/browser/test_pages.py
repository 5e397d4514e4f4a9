"""The pages that people work with, in a real browser: alarms, explorer, record."""

import time

import pytest

from floorlog.core.reading import Anomaly, Kind
from floorlog.core.series import SeriesKey

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("page")]

DRAWN = (
    "[...document.querySelectorAll('.plot .line')]"
    ".filter((line) => line.getAttribute('d').split('L').length > 90).length"
)
ROW = "[...document.querySelectorAll('#alarms tbody tr')]"


def now_us() -> int:
    return time.time_ns() // 1000


@pytest.fixture
def at(page):
    """The page's address."""
    return f"http://127.0.0.1:{page.port}"


@pytest.fixture
def ringing(plant):
    """A device of its own with an alarm that stands; returns the device and a way to end it."""

    def make(device: str):
        plant.register([SeriesKey(device, "level", Kind.NUMBER, "bar", device)])
        row = plant.table.index[device, "level"]
        start = now_us()

        def tell(phase: str, value: float) -> None:
            moment = now_us()
            plant.commit(
                [(row, moment, value)],
                (Anomaly(row, "limit", phase, start, moment, 3, 1.0, value, 9.0, "too high"),),
            )

        tell("start", 9.5)
        return lambda: tell("end", 5.0)

    return make


def alarm(device: str) -> str:
    """The expression for one alarm's row."""
    return f"{ROW}.find((r) => r.querySelector('a').textContent === {device!r})"


def span(name: str) -> str:
    """The expression that presses a button of the span of time."""
    return (
        f"[...document.querySelectorAll('.range button')]"
        f".find((b) => b.textContent === {name!r}).click()"
    )


def answer(tab, act: str, device: str, reason: str) -> None:
    """Choose one alarm, and answer what the operation asks."""
    tab.evaluate(f"{alarm(device)}.querySelector('input').click()")
    tab.evaluate(f"document.querySelector('[data-act={act}]').click()")
    tab.until("document.getElementById('ask').open")
    tab.evaluate(f"document.getElementById('ask-reason').value = {reason!r}")
    tab.evaluate("document.getElementById('ask-reason').focus()")
    tab.press("Enter")


def test_an_alarm_is_acknowledged_shelved_and_returns(at, ringing, tab):
    """It appears by itself, takes a comment and a shelf, and goes when its condition ends."""
    tab.size(1440, 900)
    tab.open(at + "/alarms")
    tab.until("document.getElementById('link').dataset.state === 'live'")
    end = ringing("boiler")
    tab.until(alarm("boiler"))
    row = tab.evaluate(f"{alarm('boiler')}.textContent")
    assert "high" in row
    assert "too high" in row
    assert "unacknowledged" in row
    answer(tab, "acknowledge", "boiler", "seen on site")
    tab.until(f"{alarm('boiler')}.textContent.includes('acknowledge by local: seen on site')")
    assert "unack" not in tab.evaluate(f"{alarm('boiler')}.textContent")
    answer(tab, "shelve", "boiler", "sensor is being changed")
    tab.until(f"!{alarm('boiler')}")
    tab.evaluate("document.querySelectorAll('#views button')[2].click()")
    tab.until(f"{alarm('boiler')}.textContent.includes('shelved until')")
    tab.evaluate(f"{alarm('boiler')}.querySelector('input').click()")
    tab.evaluate("document.querySelector('[data-act=unshelve]').click()")
    tab.until(f"!{alarm('boiler')}")
    tab.evaluate("document.querySelectorAll('#views button')[1].click()")
    tab.until(f"{alarm('boiler')}.textContent.includes('unacknowledged')")
    end()
    tab.until(f"{alarm('boiler')}.textContent.includes('returned')")
    answer(tab, "acknowledge", "boiler", "")
    tab.until(f"!{alarm('boiler')}")
    assert tab.faults() == []


def test_a_grouped_alarm_is_found_and_brought_back(at, plant, ringing, tab):
    """What the budget took out of a storm stands under Grouped, with why; one press undoes it."""
    ringing("fan")
    tab.size(1440, 900)
    tab.open(at + "/alarms")
    tab.until(alarm("fan"))
    plant.servers.run(
        plant.database,
        "SELECT floorlog.group_alarms(0, array_agg(a.series_id), array_agg(a.detector),"
        " array_agg('suppress'::text), array_agg('too many, first out: x of y'::text), NULL)"
        " FROM floorlog.alarm AS a JOIN floorlog.series AS s USING (series_id)"
        " WHERE s.device = 'fan'",
    )
    tab.until(f"!{alarm('fan')}")
    also = "document.getElementById('also')"
    tab.until(f"{also}.textContent.startsWith('1 still active is grouped under another')")
    assert not tab.evaluate(f"{also}.hidden")
    tab.evaluate(f"{also}.querySelector('button').focus()")
    for kind in ("keyDown", "keyUp"):
        tab.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r",
                 windowsVirtualKeyCode=13)  # fmt: skip
    pressed = "document.activeElement.matches('#views button[aria-pressed=true]:nth-child(4)')"
    tab.until(pressed)
    assert tab.evaluate(f"{also}.hidden")
    tab.until(f"{alarm('fan')}.textContent.includes('first out: x of y')")
    tab.evaluate(f"{alarm('fan')}.querySelector('input').click()")
    tab.evaluate("document.querySelector('[data-act=unsuppress]').click()")
    tab.until(f"!{alarm('fan')}")
    tab.evaluate("document.querySelectorAll('#views button')[1].click()")
    tab.until(f"{alarm('fan')}.textContent.includes('unacknowledged')")
    assert tab.faults() == []


def test_several_series_with_one_cursor(at, plant, tab):
    """Chosen from the list, kept in the address, read together, zoomed into and back."""
    names = [("mill-1", "speed"), ("mill-2", "speed")]
    plant.register([SeriesKey(*name, Kind.NUMBER, "rpm", name[0]) for name in names])
    begin = now_us() - 120_000_000
    rows = [plant.table.index[name] for name in names]
    plant.commit(
        [(row, begin + n * 1_000_000, 100.0 * (row + 1) + n) for row in rows for n in range(100)]
    )
    tab.size(1440, 900)
    tab.open(at + "/explore")
    tab.until("document.querySelector('#offers button')")
    for device, _ in names:
        tab.evaluate(f"document.getElementById('filter').value = {device!r}")
        tab.evaluate("document.getElementById('filter').dispatchEvent(new Event('input'))")
        tab.evaluate("document.querySelector('#offers button').click()")
    tab.until(f"{DRAWN} === 2")
    tab.open("about:blank")
    tab.open(f"{at}/explore#series=mill-1%09speed%0Amill-2%09speed")
    tab.until(f"{DRAWN} === 2")
    tab.evaluate("document.querySelector('.plot').focus()")
    tab.press("ArrowLeft")
    said = "[...document.querySelectorAll('.meta span:last-child')].map((s) => s.textContent)"
    tab.until(f"{said}.every((text) => text.includes('rpm'))")
    moments = {text.split()[0] for text in tab.evaluate(said)}
    assert len(moments) == 1
    tab.evaluate(span("1 h"))
    tab.until("document.querySelector('.plot .extremes')")
    tab.evaluate(span("Back"))
    tab.until("!document.querySelector('.plot .extremes') && document.querySelector('.plot .line')")
    assert tab.faults() == []


def test_the_record_s_page(at, plant, ringing, tab):
    """Log and note, rejects, gaps, and who did what."""
    ringing("kiln")
    tab.open(at + "/alarms")
    tab.until(alarm("kiln"))
    answer(tab, "acknowledge", "kiln", "for the trail")
    tab.until(f"{alarm('kiln')}.textContent.includes('for the trail')")
    tab.open(at + "/record")
    tab.until("document.querySelector('#ledger dd')")
    tab.until("document.querySelector('#audit tbody').textContent.includes('alarm.acknowledge')")
    assert "for the trail" in tab.evaluate("document.querySelector('#audit tbody').textContent")
    tab.until("document.getElementById('gaps-empty').textContent !== 'Looking …'")
    tab.until("document.getElementById('rejects-empty').textContent !== 'Looking …'")
    assert tab.faults() == []


def test_the_catalogue_is_changed(at, plant, tab):
    """A wrong one is refused with its place; a right one is checked first, then the newest."""
    tab.open(at + "/catalogue")
    tab.until("document.getElementById('body').value.startsWith('{')")
    before = tab.evaluate("document.getElementById('version').textContent")
    told = "document.getElementById('told').textContent"
    tab.evaluate("document.getElementById('body').value = '{\\n \"metrics\": 5}'")
    tab.evaluate("document.getElementById('check').click()")
    assert "metrics" in tab.until(told)
    tab.evaluate(
        "document.getElementById('body').value ="
        " JSON.stringify({metrics: {furnace: {unit: 'Cel', limits: {hi: 900}}}})"
    )
    tab.evaluate("document.getElementById('check').click()")
    tab.until(f"{told}.includes('Nothing was changed')")
    tab.evaluate("document.getElementById('save').click()")
    tab.until(f"{told}.includes('is the newest now')")
    assert tab.evaluate("document.getElementById('version').textContent") != before
    tab.open("about:blank")
    tab.open(at + "/catalogue")
    tab.until("document.getElementById('body').value.includes('furnace')")
