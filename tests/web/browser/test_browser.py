"""The page as a person sees it, in a real browser."""

import time
from urllib.parse import quote

import pytest

from floorlog.core.reading import Kind
from floorlog.core.series import SeriesKey

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("page")]

EVIL = "<img src=x onerror=alert(1)>"
TILES = "[...document.querySelectorAll('.tile')]"
# Relative luminance and contrast as WCAG 2.2 defines them, of every text that is on the screen.
CONTRAST = """
(() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => (c <= 10.3 ? c / 3294.6 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !node.checkVisibility()) continue;
    if (node instanceof SVGElement) continue;
    const [a, b] = [light(rgb(getComputedStyle(node).color)), light(ground(node))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) found.push(`${walk.currentNode.data.trim()}: ${contrast.toFixed(2)}`);
  }
  return found;
})()
"""


def now_us() -> int:
    return time.time_ns() // 1000


def tile(name: str) -> str:
    """The expression for one device's tile."""
    return f"{TILES}.find((t) => t.querySelector('a').textContent === {name!r})"


def test_the_abnormal_comes_first(plant, page, shop, tab):
    """Level by shape and word, the reason in words, values with unit and age, all by itself."""
    tab.size(1440, 900)
    tab.open(shop + "/")
    tab.until(f"{tile('hot')}?.dataset.level === '3'")
    for name, group in (("hot", "Needs"), ("broken", "Needs"), ("calm", "As expected")):
        there = f"{tile(name)}?.closest('.group').querySelector('h3').textContent"
        tab.until(f"{there}?.startsWith('{group}')")
    tab.until(f"{tile('broken')}.textContent.includes('abnormal')")
    groups = tab.evaluate(
        "[...document.querySelectorAll('.group:not([hidden])')].map((g) => [g.querySelector('h3')"
        ".firstChild.data, [...g.querySelectorAll('.tile a')].map((a) => a.textContent)])"
    )
    found = dict(groups)
    # Other tests' devices may stand among them.
    own = [name for name in found["Needs attention"] if name in {"hot", "broken"}]
    assert own == ["hot", "broken"]
    assert "calm" in found["As expected"]
    assert "above the high limit" in tab.evaluate(f"{tile('hot')}.textContent")
    label = tab.evaluate(f"{tile('hot')}.querySelector('.shape').getAttribute('aria-label')")
    assert label == "high severity"
    row = tab.evaluate(f"{tile('calm')}.querySelectorAll('.row')[1].textContent")
    assert "temperature" in row
    assert "71.3°C" in row
    assert "fault is an abnormal state" in tab.evaluate(f"{tile('broken')}.textContent")
    assert " open" in tab.evaluate("document.getElementById('open-count').textContent")
    assert tab.faults() == []


def test_values_move_in_place_and_go_stale(plant, page, shop, tab):
    """A new value appears within two seconds in the same tile; without more it is marked stale."""
    tab.open(shop + "/")
    tab.until(f"{tile('calm')}")
    tab.evaluate(f"window.kept = {tile('calm')}; 1")
    row = plant.table.index["calm", "temperature"]
    plant.commit([(row, now_us(), 66.6)])
    tab.until("window.kept.textContent.includes('66.6')")
    assert tab.evaluate("window.kept.isConnected")
    assert not tab.evaluate("'stale' in window.kept.querySelectorAll('.row')[1].dataset")
    # The clock of the page's model goes on by two minutes, and nothing comes.
    tab.evaluate("(() => { const now = Date.now; Date.now = () => now() + 120000; })()")
    tab.evaluate("1")
    page.feed._send = lambda *_: None
    tab.until("'stale' in window.kept.querySelectorAll('.row')[1].dataset")
    assert "stale" in tab.evaluate("window.kept.querySelector('.badge:not([hidden])').textContent")


def test_the_last_minutes_are_a_line(plant, page, shop, tab):
    """Values far enough apart are drawn beside the band, as they come and for who comes later."""
    plant.register([SeriesKey("spark", "level", Kind.NUMBER, "bar", "spark")])
    row = plant.table.index["spark", "level"]
    plant.commit([(row, now_us() - 40_000_000, 3.0)])
    tab.open(shop + "/")
    tab.until(f"{tile('spark')}")
    drawn = f"{tile('spark')}?.querySelector('.spark polyline')?.getAttribute('points')"
    assert not tab.evaluate(drawn)
    plant.commit([(row, now_us() - 20_000_000, 4.0)])
    tab.until(f"{drawn}.split(' ').length === 2")
    tab.open("about:blank")
    tab.open(shop + "/")
    tab.until(f"{drawn}?.split(' ').length === 2")
    assert tab.faults() == []


def test_a_dead_feed_is_said(page, shop, tab):
    """Within about five seconds of silence a banner says from when the picture is."""
    tab.open(shop + "/")
    tab.until("document.getElementById('link').dataset.state === 'live'")
    assert tab.evaluate("!document.getElementById('banner').textContent.includes('No live data')")
    page.feed._send = lambda *_: None
    tab.until("document.getElementById('banner').textContent.includes('No live data')")
    assert tab.evaluate("document.getElementById('link-text').textContent") == "stale"
    assert tab.evaluate("getComputedStyle(document.getElementById('banner')).display") == "block"


def test_names_are_text_whatever_they_say(shop, tab):
    """Markup in names and reasons is shown, never run; also on the device's own page."""
    tab.open(shop + "/")
    tab.until(f"{tile(EVIL)}")
    assert tab.evaluate("document.querySelectorAll('main img').length") == 0
    assert EVIL in tab.evaluate("document.getElementById('open').textContent")
    tab.evaluate(f"{tile(EVIL)}.querySelector('a').click()")
    tab.until("document.querySelector('.trend .now')?.textContent.includes('running')")
    assert tab.evaluate("document.querySelector('h1').textContent") == EVIL
    assert tab.evaluate("document.title").startswith(EVIL)
    assert tab.faults() == []


def test_a_device_s_last_minutes(plant, shop, tab):
    """Its page draws what the record holds and goes on live; arrow keys read single values."""
    plant.register([SeriesKey("history", "level", Kind.NUMBER, "bar", "history")])
    row = plant.table.index["history", "level"]
    begin = now_us() - 300_000_000
    plant.commit([(row, begin + n * 1_000_000, 5.0 + n / 100) for n in range(300)])
    tab.size(1440, 900)
    tab.open(f"{shop}/device?name={quote('history')}")
    tab.until(
        "(document.querySelector('.plot .line')?.getAttribute('d').split('L').length ?? 0) > 250"
    )
    plant.commit([(row, now_us(), 9.25)])
    tab.until("document.querySelector('.trend .now').textContent === '9.25bar'", 4)
    tab.evaluate("document.querySelector('.plot').focus()")
    tab.press("ArrowLeft")
    assert "7.99" in tab.until("document.querySelector('.meta span:last-child').textContent")
    assert tab.faults() == []


def test_without_a_mouse(shop, tab):
    """Filter by '/', narrow, reach a device by Tab and open it by Enter."""
    tab.open(shop + "/")
    tab.until(f"{tile('calm')} && {tile('hot')}")
    tab.press("/")
    assert tab.evaluate("document.activeElement.id") == "filter"
    for letter in "calm":
        tab.press(letter)
    tab.until(f"{TILES}.length === 1")
    tab.press("Escape")
    tab.until(f"{TILES}.length > 1")
    for letter in "calm":
        tab.press(letter)
    tab.until(f"{TILES}.length === 1")
    tab.press("Tab")
    assert tab.evaluate("document.activeElement.textContent") == "calm"
    tab.press("Enter")
    tab.until("location.pathname === '/device' && document.querySelector('.trend')")


@pytest.mark.parametrize("path", ["/", "/device?name=hot"])
def test_every_text_can_be_read(shop, tab, path):
    """Contrast of at least 4.5 : 1 in light and dark, nothing cut off at 420 or 1440 px."""
    for dark in (False, True):
        for width, height in ((1440, 900), (420, 900)):
            tab.size(width, height, dark=dark)
            tab.open(shop + path)
            tab.until("document.querySelector('.tile, .trend .now') && document.fonts.ready")
            tab.until("document.querySelector('.findings li')")
            assert tab.evaluate(CONTRAST) == []
            assert tab.evaluate("document.documentElement.scrollWidth") <= width


def test_three_hundred_devices_stay_smooth(plant, shop, tab):
    """900 series that all move every second cost the browser less than a third of a core."""
    names = [f"many-{n:03d}" for n in range(300)]
    metrics = ("pressure", "speed", "temperature")
    plant.register([SeriesKey(n, m, Kind.NUMBER, None, n) for n in names for m in metrics])
    rows = [plant.table.index[n, m] for n in names for m in metrics]
    plant.commit([(row, now_us(), 60.0) for row in rows])
    tab.size(1440, 900)
    tab.open(shop + "/")
    tab.until(f"{TILES}.length >= 300")
    tab.call("Performance.enable")

    def busy_s() -> float:
        metrics = tab.call("Performance.getMetrics")["metrics"]
        return sum(m["value"] for m in metrics if m["name"] in {"ScriptDuration", "LayoutDuration"})

    before, began = busy_s(), time.monotonic()
    for n in range(4):
        plant.commit([(row, now_us(), 60.0 + n) for row in rows])
        time.sleep(1)
    assert (busy_s() - before) / (time.monotonic() - began) < 0.33
    shown = f"{tile('many-299')}.querySelector('.value').textContent"
    tab.until(f"{shown} === '63.0'")
