"""What engineers and auditors do on the page, against stream, worker and a signed log."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from floorlog import config
from floorlog.cache import Endpoint
from floorlog.keeper import RETRY_SECONDS, Keeper
from floorlog.local.services import REGION, STREAM_NAME
from floorlog.local.supervisor import Supervisor
from floorlog.local.up import add_workers, open_record, open_stream
from floorlog.record.log.anchor import Directory, open_signer
from floorlog.source.sender import Entry, Sender
from floorlog.store.catalogue import put_catalogue
from floorlog.store.migrate import KEEPER, OPERATOR
from floorlog.web.access.access import Loopback
from floorlog.web.services import Services
from floorlog.web.work.errand import Ground
from floorlog.web.work.jobs import Jobs
from floorlog.web.work.upload import Uploads

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("page")]

DEVICE = "press-1"
BEGIN = 1_767_225_600  # 2026-01-01


def table() -> str:
    """A table as a German machine writes it; its last rows are no time, and far ahead."""
    lines = ["Zeit;Maschine;Temp [°C];Status"]
    for n in range(200):
        clock = f"01.01.2026 01:{n // 60:02}:{n % 60:02}"
        lines.append(f"{clock};ofen-{n % 2 + 1};{70 + n % 9},5;{'aus' if n % 50 == 9 else 'an'}")
    return "\n".join([*lines, "kaputt;ofen-1;1,5;an", "01.01.2099 00:00:00;ofen-1;2,5;an", ""])


@dataclass
class Factory:
    """A page with everything behind it."""

    page: Any
    keep: Callable[[], None]
    directory: Path

    @property
    def at(self) -> str:
        return f"http://127.0.0.1:{self.page.port}"

    def files(self) -> set[Path]:
        """What people sent and the page still holds."""
        return set(self.directory.glob("floorlog-page-*/*/table.csv"))

    def audited(self, since: int = 0) -> list[str]:
        """What was done, from the first event after so many."""
        events = self.page.json("/api/v1/audit?limit=100")["events"]
        return [event["action"] for event in reversed(events)][since:]

    def counts(self) -> tuple[int, int]:
        """Readings stored and rejected."""
        total = self.page.json("/api/v1/status")["total"]
        return total["stored"], total["rejected"]

    def send(self, readings: list[tuple[str, int, float]]) -> None:
        """Send readings, and wait until they are stored."""
        before = self.counts()[0]
        lines = [
            json.dumps({"device_id": device, "metric": "Temp", "ts": ts, "value": value})
            for device, ts, value in readings
        ]
        sender = Sender(STREAM_NAME, REGION)
        sender.put([Entry(readings[0][0], "\n".join(lines).encode())])
        sender.close()
        deadline = time.monotonic() + 60
        while self.counts()[0] < before + len(readings):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="module")
def factory(page_kind) -> Iterator[Factory]:
    """Stream, worker, keeper and page, and a device with a hundred readings in the record."""
    directory = Path(tempfile.mkdtemp(prefix="floorlog-factory-"))
    directory.chmod(0o755)
    supervisor = Supervisor(directory / "data")
    try:
        with supervisor as services:
            open_record(services)
            catalogue = {"metrics": {"Temp": {"unit": "Cel", "limits": {"hi": 90}}}}
            put_catalogue(services.postgres_dsn(OPERATOR), json.dumps(catalogue).encode())
            given = config.inherited()
            open_stream(services, shards=1)
            add_workers(supervisor, services, 1)
            anchor, key = directory / "anchors", directory / "keeper" / "signing.key"
            ground = Ground("", str(anchor), REGION, 0, str(key), STREAM_NAME)
            jobs = Jobs(lambda: services.postgres_dsn(OPERATOR), ground, str(directory))

            def keep() -> None:
                signer = open_signer(key, may_create=True)
                keeper = Keeper(services.postgres_dsn(KEEPER), Directory(anchor), signer, 0.0)
                deadline = time.monotonic() + 30
                while keeper.round() == RETRY_SECONDS:
                    assert time.monotonic() < deadline
                    time.sleep(0.05)
                keeper._link.close()

            page = page_kind(
                services.postgres_dsn(OPERATOR),
                Endpoint.parse(services.redis_endpoint),
                lambda feed, record: Services(
                    feed, record, Loopback(), Directory(anchor), jobs=jobs, uploads=Uploads(jobs),
                    sender=lambda: Sender(STREAM_NAME, REGION),
                ),
            )  # fmt: skip
            made = Factory(page, keep, directory)
            made.send([(DEVICE, BEGIN + n, 70.0 + n % 9) for n in range(100)])
            yield made
            page.close()
            config.adopt(given)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def press(tab: Any, name: str) -> None:
    tab.evaluate(f"document.getElementById({name!r}).click()")


def set_to(tab: Any, selector: str, value: str) -> None:
    """Fill a field as a person does: whoever listens is told."""
    tab.evaluate(
        f"((node) => {{ node.value = {value!r};"
        " for (const kind of ['input', 'change'])"
        " node.dispatchEvent(new Event(kind, { bubbles: true })); })"
        f"(document.querySelector({selector!r}))"
    )


def choose_file(tab: Any, path: Path) -> None:
    root = tab.call("DOM.getDocument")["root"]["nodeId"]
    node = tab.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    tab.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])


def break_off(tab: Any, method: str) -> None:
    """Let the page's questions of this kind fail, until it is loaded anew."""
    tab.evaluate(
        "((real) => { globalThis.fetch = (path, options) => options?.method === '" + method + "'"
        " ? Promise.reject(new Error('the network is away')) : real(path, options); })(fetch)"
    )


def text(tab: Any, selector: str) -> str:
    return tab.evaluate(f"document.querySelector({selector!r}).textContent")


def test_a_table_is_tried_and_taken_in_and_its_reject_sent_again(factory, tab, tmp_path):
    """The guess is edited, the dry run names what is wrong, the import stores what it said.

    What was refused is looked at, mended and sent again, once; all of it is in the audit trail.
    """
    file = tmp_path / "halle 1.csv"
    file.write_text(table())
    stored, rejected = factory.counts()
    events = len(factory.audited())
    tab.size(1280, 900)
    tab.open(factory.at + "/import")
    choose_file(tab, file)
    tab.until("document.querySelectorAll('#cells tbody tr').length === 8")
    taken = "[...document.querySelectorAll('#values tbody tr')].map((r) =>"
    assert tab.evaluate(f"{taken} r.querySelector('input').checked)") == [False, False, True, True]
    assert "Temp [°C], Status (states)" in text(tab, "#looking p")
    assert tab.evaluate("document.getElementById('decimal').value") == ","
    assert tab.evaluate("document.getElementById('import').disabled")
    set_to(tab, "#timezone", "Europe/Berlin")
    set_to(tab, "#values tbody tr:nth-child(3) .unit", "K")
    press(tab, "rehearse")
    tab.until("!document.getElementById('report').hidden")
    assert "unit_mismatch" in text(tab, "#refused tbody")
    set_to(tab, "#values tbody tr:nth-child(3) .unit", "°C")
    assert tab.evaluate("document.getElementById('import').disabled")
    press(tab, "rehearse")
    tab.until("!document.getElementById('report').hidden")
    assert "400 of 402 readings would be stored" in text(tab, "#verdict")
    assert "'kaputt' is no time" in text(tab, "#verdict")
    assert "future_time" in text(tab, "#refused tbody")
    assert "2026-01-01" in text(tab, "#series tbody")
    assert "4" in text(tab, "#counts > div:nth-child(6) dd")
    assert factory.counts() == (stored, rejected)
    press(tab, "import")
    tab.until("document.querySelector('#importing p').textContent.includes('has all of them')")
    assert factory.counts() == (stored + 400, rejected + 2)
    span = f"from={BEGIN * 10**6}&to={(BEGIN + 600) * 10**6}"
    found = factory.page.json(f"/api/v1/readings?device=ofen-1&metric=Temp&{span}")
    assert found["readings"][0][:2] == [BEGIN * 10**6, 70.5]  # 01:00 in Berlin
    assert factory.audited(events) == ["import", "import.over"]
    resend(factory, tab)
    assert factory.audited(events + 2) == ["reject.replay", "reject.sent"]


def resend(factory: Any, tab: Any) -> None:
    """Look at the newest reject, mend it, send it again, and try that once more."""
    tab.open("about:blank")
    tab.open(factory.at + "/record")
    tab.until("document.querySelectorAll('#rejects tbody tr').length === 2")
    tab.evaluate("document.querySelector('#rejects tbody button').click()")
    tab.until("document.getElementById('reject').open")
    assert "future_time" in text(tab, "#reject-why")
    press(tab, "resend-do")
    assert tab.evaluate("document.getElementById('resend-reason').matches(':invalid')")
    set_to(tab, "#resend-reason", "clock of line 1")
    mended = tab.evaluate("document.getElementById('mended').value")
    set_to(tab, "#mended", mended.replace(str(4070908800), str(BEGIN)))
    press(tab, "resend-do")
    tab.until("document.getElementById('reject-events').textContent.includes('reject.sent')")
    set_to(tab, "#resend-reason", "once more")
    press(tab, "resend-do")
    assert "sent already" in tab.until("document.getElementById('resend-fault').textContent")
    assert all("409 (Conflict)" in fault for fault in tab.faults())


@pytest.mark.long
def test_rules_are_tried_on_the_past(factory, tab):
    """What another limit would have found, beside the newest version; nothing is changed by it."""
    before = factory.page.json("/api/v1/catalogue")
    tab.size(1280, 900)
    tab.open(factory.at + "/catalogue")
    tab.until("document.getElementById('body').value.startsWith('{')")
    set_to(tab, "#body", json.dumps({"metrics": {"Temp": {"unit": "Cel", "limits": {"hi": 77}}}}))
    set_to(tab, "#backtest [name=from]", "2026-01-01T00:00:00")
    set_to(tab, "#backtest [name=to]", "2026-01-01T06:00:00")
    assert tab.evaluate("document.getElementById('report').hidden")
    press(tab, "try")
    tab.until("!document.getElementById('report').hidden")
    assert "limit" in text(tab, "#gained tbody")
    assert "above the high limit 77" in text(tab, "#gained tbody")
    assert text(tab, "#tried") == "tried on the past"
    set_to(tab, "#body", "{}")
    assert text(tab, "#tried") == "not tried on the past yet"
    assert factory.page.json("/api/v1/catalogue") == before
    assert tab.faults() == []


def test_a_page_gives_its_file_s_place_back(factory, tab, tmp_path, until):
    """When a piece does not get there, and when the page is left, its file is forgotten at once."""
    file = tmp_path / "a.csv"
    file.write_text(table())
    before = factory.files()
    tab.size(1280, 900)
    tab.open(factory.at + "/import")
    tab.until("!document.getElementById('file').disabled")
    break_off(tab, "PUT")
    choose_file(tab, file)
    tab.until("document.querySelector('#reading p').className === 'fault'")
    assert text(tab, "#reading p") == "the network is away"
    tab.until("!document.getElementById('file').disabled")
    assert factory.files() <= before
    tab.open(factory.at + "/import")
    choose_file(tab, file)
    tab.until("document.querySelectorAll('#cells tbody tr').length === 8")
    assert len(factory.files() - before) == 1
    tab.open(factory.at + "/audit")
    until(lambda: factory.files() <= before, 30)


def test_an_auditor_s_day(factory, tab, tmp_path):
    """The record verified, what was known when, and an export that verifies by itself."""
    factory.keep()
    size = factory.page.json("/api/v1/ledger")["leaves"]
    factory.send([(DEVICE, BEGIN + 4, 99.0)])
    factory.keep()
    events = len(factory.audited())
    tab.size(1280, 900)
    tab.open(factory.at + "/audit")
    tab.until("document.querySelectorAll('#devices label').length > 0")
    press(tab, "verify-now")
    tab.until("!document.getElementById('verdict').hidden")
    assert text(tab, "#verdict").startswith("Intact: ")
    for name, value in (
        ("device", DEVICE), ("metric", "Temp"), ("from", "2026-01-01T00:00:00"),
        ("to", "2026-01-01T00:10:00"), ("size", str(size)),
    ):  # fmt: skip
        set_to(tab, f"#asof [name={name}]", value)
    tab.evaluate("document.querySelector('#asof button').click()")
    tab.until("!document.getElementById('asof-shown').hidden")
    assert f"{size} leaves: 100 readings were known; now 101. 1 differ" in text(tab, "#asof-told")
    assert "99.0came since, and contradicts" in text(tab, "#asof-rows tbody tr")
    set_to(tab, "#devices-filter", DEVICE)
    tab.until("document.querySelectorAll('#devices label').length === 1")
    tab.evaluate("document.querySelector('#devices input').click()")
    press(tab, "export-now")
    tab.until("!document.getElementById('exported').hidden")
    link = tab.evaluate("document.getElementById('download').getAttribute('href')")
    response, body = factory.page.get(link)
    assert response.headers["Content-Length"] == str(len(body))
    zipfile.ZipFile(BytesIO(body)).extractall(tmp_path)
    key = text(tab, "#export-verify").split('"')[1]
    verifier = tmp_path / "floorlog-export" / "verifier.py"
    done = subprocess.run(
        [sys.executable, verifier, verifier.parent, "--key", key],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("proven: 101 readings")
    break_off(tab, "POST")
    press(tab, "verify-now")
    tab.until("document.querySelector('#verifying p').className === 'fault'")
    for name in ("verdict", "verified", "wrong"):  # an older one would be taken for this one's
        assert tab.evaluate(f"document.getElementById({name!r}).hidden"), name
    assert tab.faults() == []
    assert factory.audited(events) == ["verify", "verify.over", "export", "export.over"]
