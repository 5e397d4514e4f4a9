"""Time stamps of notes (RFC 3161): by an authority made with openssl, and by none that answers."""

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from floorlog.core.ledger.stamp import read_stamp, request
from floorlog.core.ledger.tree import Growing
from floorlog.errors import SettingError
from floorlog.record.log.anchor import STAMP, Directory, Signer
from floorlog.record.log.anchored import Anchored
from floorlog.record.log.publish import Publisher
from floorlog.record.log.stamping import Stamper

WAIT_SECONDS = 60
CONFIG = """
[tsa]
default_tsa = one
[one]
dir = {0}
serial = {0}/serial
crypto_device = builtin
signer_cert = {0}/tsa.pem
certs = {0}/ca.pem
signer_key = {0}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
[extended]
basicConstraints = CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
"""


def openssl(*arguments: object, data: bytes | None = None) -> bytes:
    done = subprocess.run(
        ["openssl", *map(str, arguments)], input=data, capture_output=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def bent(body: bytes) -> bytes:
    """The same question with another nonce, which ends four bytes before the question does."""
    return body[:-4] + bytes((body[-4] ^ 1,)) + body[-3:]


def make_authority(place: Path) -> None:
    """A root, and a key with a certificate for time stamps alone."""
    (place / "tsa.cnf").write_text(CONFIG.format(place))
    (place / "serial").write_text("01\n")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl(
        "req", "-x509", *ec, "-keyout", place / "ca.key", "-out", place / "ca.pem", "-days", 3,
        "-subj", "/CN=plant root", "-config", "/dev/null",
        "-addext", "basicConstraints=critical,CA:TRUE",
        "-addext", "keyUsage=critical,keyCertSign",
    )  # fmt: skip
    openssl(
        "req", *ec, "-keyout", place / "tsa.key", "-out", place / "tsa.csr",
        "-subj", "/CN=plant clock", "-config", "/dev/null",
    )  # fmt: skip
    openssl(
        "x509", "-req", "-in", place / "tsa.csr", "-CA", place / "ca.pem", "-CAkey",
        place / "ca.key", "-set_serial", 7, "-days", 3, "-out", place / "tsa.pem",
        "-extfile", place / "tsa.cnf", "-extensions", "extended",
    )  # fmt: skip


@pytest.fixture(scope="module")
def authority(tmp_path_factory, request) -> Iterator[SimpleNamespace]:
    """A server that asks `openssl ts`; `behaviour` makes it refuse, stall or talk nonsense."""
    if shutil.which("openssl") is None:
        request.getfixturevalue("not_run")("openssl is not installed: no authority can be made")
    place = tmp_path_factory.mktemp("authority")
    make_authority(place)
    state = SimpleNamespace(place=place, behaviour="", asked=0, let_go=threading.Event())

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            state.asked += 1
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if state.behaviour == "stall":
                state.let_go.wait(WAIT_SECONDS)
            said = {"nonsense": b"<html>", "long": bytes(70_000), "stall": b""}.get(state.behaviour)
            if said is None:
                query = place / f"query-{state.asked}"
                # An old answer is to a question with another nonce.
                query.write_bytes(body if state.behaviour != "old" else bent(body))
                said = openssl("ts", "-reply", "-queryfile", query, "-config", place / "tsa.cnf")
            self.send_response(500 if state.behaviour == "broken" else 200)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state.url = f"http://127.0.0.1:{server.server_port}/tsa"
    yield state
    state.let_go.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def log(tmp_path):
    """A log to publish; `grow` adds a leaf and publishes it."""
    signer = Signer("floorlog-test", bytes(range(32)))
    anchor = Directory(tmp_path / "anchors")
    anchor.put_key(str(signer.key))
    tree = Growing()

    def grow(stamper: Stamper) -> str:
        publisher = Publisher(anchor, signer, stamper)
        publisher.open()
        tree.add(bytes((tree.size,)) * 32)
        publisher.frontier.extend([bytes(32)] * tree.size)
        publisher.publish(tree)
        return f"{tree.size:012}.note"

    return SimpleNamespace(anchor=anchor, grow=grow)


def test_a_note_is_stamped(authority, log) -> None:
    """Beside the note lies the authority's answer: ours and openssl's reading of it agree."""
    authority.behaviour = ""
    stamper = Stamper(authority.url, log.anchor, 0)
    name = log.grow(stamper)
    assert stamper.wait(WAIT_SECONDS)
    found = Anchored(log.anchor)
    assert (found.findings, found.stamp_findings) == ([], [])
    (stamp,) = found.stamps
    assert (stamp["size"], stamp["authority"]) == (1, "1.3.6.1.4.1.99999.1")
    assert abs(time.time() - _seconds(stamp["at"])) < 600
    folder = log.anchor.path
    said = openssl(
        "ts", "-verify", "-in", folder / (name + STAMP), "-data", folder / name, "-CAfile",
        authority.place / "ca.pem",
    )  # fmt: skip
    assert b"Verification: OK" in said
    shown = openssl("ts", "-reply", "-in", folder / (name + STAMP), "-text").decode()
    serial = read_stamp(log.anchor.get(name + STAMP), log.anchor.get(name)).serial
    assert f"Serial number: 0x{serial:02X}" in shown


def test_openssl_reads_the_request(authority, tmp_path) -> None:
    """The request is what `openssl ts -query` would make, nonce and certificate included."""
    (tmp_path / "note").write_bytes(b"a note\n")
    for nonce in (0, 127, 128, 2**62 - 1):
        (tmp_path / "query").write_bytes(request(b"a note\n", nonce))
        shown = openssl("ts", "-query", "-in", tmp_path / "query", "-text").decode()
        shown_nonce = re.search("Nonce: 0x([0-9A-F]+)", shown)
        assert shown_nonce is not None
        assert int(shown_nonce[1], 16) == nonce
        assert "Certificate required: yes" in shown
    made = ("ts", "-query", "-data", tmp_path / "note", "-sha256", "-no_nonce", "-cert")
    theirs = openssl(*made)
    assert theirs[5:-3] in request(b"a note\n", 5)  # all but the length and the end


def test_a_stamp_of_another_note_is_found(authority, log) -> None:
    """Verification names it; nor is one accepted that was bent."""
    authority.behaviour = ""
    stamper = Stamper(authority.url, log.anchor, 0)
    one = log.grow(stamper)
    assert stamper.wait(WAIT_SECONDS)
    other = log.grow(lambda *_: None)
    answer = log.anchor.get(one + STAMP)
    log.anchor.keep(other + STAMP, answer)
    log.anchor.keep("else.tsr", b"nothing of ours")
    assert Anchored(log.anchor).findings == []
    assert Anchored(log.anchor).stamp_findings == [
        "the time stamp of 2 leaves is not good: it is over something else"
    ]
    note = log.anchor.get(one)
    for cut in (0, 1, 5, 40, len(answer) // 2):
        with pytest.raises(ValueError, match=r"."):
            read_stamp(answer[:cut], note)
    with pytest.raises(ValueError, match="the authority refused, with status 2"):
        read_stamp(bytes.fromhex("30053003020102"), note)
    place = answer.index(b"Z", answer.index(b"20"))
    with pytest.raises(ValueError, match="no time"):
        read_stamp(answer[:place] + b"X" + answer[place + 1 :], note)


@pytest.mark.parametrize("behaviour", ["nonsense", "long", "broken", "old"])
def test_a_bad_answer_is_not_kept(authority, log, behaviour) -> None:
    """Nor does it end anything: the next note is stamped."""
    authority.behaviour = behaviour
    stamper = Stamper(authority.url, log.anchor, 3_600)
    log.grow(stamper)
    assert stamper.wait(WAIT_SECONDS)
    assert Anchored(log.anchor).stamps == []
    authority.behaviour = ""
    log.grow(stamper)
    assert stamper.wait(WAIT_SECONDS)
    assert [one["size"] for one in Anchored(log.anchor).stamps] == [2]
    log.grow(stamper)  # within the hour
    assert stamper.wait(WAIT_SECONDS)
    assert [one["size"] for one in Anchored(log.anchor).stamps] == [2]


def test_a_dead_authority_delays_nothing(authority, log) -> None:
    """While it does not answer, notes go out; there is one question at a time."""
    authority.behaviour, authority.asked = "stall", 0
    authority.let_go.clear()
    stamper = Stamper(authority.url, log.anchor, 0)
    began = time.monotonic()
    for _ in range(20):
        log.grow(stamper)
    assert log.anchor.sizes() == list(range(1, 21))
    assert not stamper.wait(0), "the answer is still awaited"
    assert time.monotonic() - began < WAIT_SECONDS
    assert authority.asked <= 1
    authority.let_go.set()
    assert stamper.wait(WAIT_SECONDS)
    dead = Stamper("http://127.0.0.1:9/", log.anchor, 0)
    log.grow(dead)
    assert dead.wait(WAIT_SECONDS)
    assert log.anchor.sizes()[-1] == 21


def test_an_address_that_is_none(tmp_path) -> None:
    """Told at start."""
    with pytest.raises(SettingError, match="is no address"):
        Stamper("file:///etc/passwd", Directory(tmp_path), 0)


def _seconds(at: str) -> float:
    from datetime import datetime  # noqa: PLC0415 - here alone

    return datetime.fromisoformat(at).timestamp()
