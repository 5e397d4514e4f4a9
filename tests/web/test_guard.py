"""Who gets an answer, what every answer carries, and what a wrong question is told."""

from http.client import HTTPConnection
from urllib.parse import urlencode

import pytest


@pytest.mark.parametrize(
    "path",
    ["/", "/device?name=x", "/healthz", "/api/v1/last", "/static/tile.js", "/nope", "/static/no"],
)
def test_every_answer_carries_the_rules(bare_page, path):
    """Scripts from here alone, no framing, no sniffing, no referrer: on errors and files too."""
    response, _ = bare_page.get(path)
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Tornado" not in response.headers["Server"]
    assert "Access-Control-Allow-Origin" not in response.headers


@pytest.mark.parametrize("path", ["/", "/api/v1/last", "/api/v1/live", "/static/tile.js", "/nope"])
@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_other_hosts_names_are_refused(bare_page, path, host):
    """A foreign name that resolves to this machine (DNS rebinding) gets nothing."""
    response, body = bare_page.get(path, host)
    assert response.status in {400, 421}
    assert b"series" not in body


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:80", "[::1]:8080"])
def test_loopback_s_own_names_are_served(bare_page, host):
    """Any port: a tunnel may sit before it."""
    response, _ = bare_page.get("/healthz", host)
    assert response.status == 200


def test_nothing_is_taken_in(bare_page):
    """Methods that write are refused; the page changes nothing."""
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        connection = HTTPConnection("127.0.0.1", bare_page.port, timeout=5)
        connection.request(method, "/api/v1/last", b"x")
        assert connection.getresponse().status == 405
        connection.close()


def test_files_stay_within_their_folder(bare_page):
    """Neither the templates nor the source can be fetched."""
    for path in ("/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/static/"):
        response, body = bare_page.get(path)
        assert response.status in {403, 404}
        assert b"import" not in body


def test_names_from_the_plant_are_escaped(bare_page):
    """A device named like markup is text on the page."""
    name = "<script>alert(1)</script>\"'&"
    _, body = bare_page.get("/device?" + urlencode({"name": name}))
    assert b"<script>alert" not in body
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in body.replace(
        b"&#39;", b"&#x27;"
    )


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("metric=level", "device"),
        ("device=a&metric=level&from=x", "from: Expected a whole number"),
        ("device=a&metric=level&from=0&to=1.5", "to: "),
        ("device=a&metric=level&from=5&to=4", "from must lie before to"),
        ("device=a&metric=level&from=0&to=99999999999999", "604800"),
        ("device=a&metric=level&rows=0", "rows: Expected a whole number"),
        ("device=a&metric=level&rows=999999", "rows: Expected a whole number"),
        ("device=a&metric=level&to=" + "9" * 5000, "to: "),
    ],
)
def test_a_wrong_question_is_told_what_is_wrong(bare_page, query, said):
    """400 with the argument's name; nothing reaches the record that it cannot answer."""
    response, body = bare_page.get(f"/api/v1/readings?{query}")
    assert response.status == 400
    assert said.encode() in body
    assert b"Traceback" not in body


def test_a_window_is_bounded(bare_page):
    """Neither negative nor longer than a week."""
    for seconds in (-1, 604_801):
        said = bare_page.json(f"/api/v1/anomalies?seconds={seconds}", 400)["detail"]
        assert "seconds: Expected a whole number" in said
