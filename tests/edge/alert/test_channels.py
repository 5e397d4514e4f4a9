"""Channels against real receivers: what arrives, what is tried again, and what is not."""

import hashlib
import hmac
import json
import logging
from dataclasses import dataclass, field

import pytest
from msgspec.structs import replace
from receivers import dead_port

from floorlog.alert.email import Email
from floorlog.alert.log import Log
from floorlog.alert.notice import Notice, Undelivered
from floorlog.alert.postman import FAILURES_MAX, GIVE_UP_SECONDS, Postman
from floorlog.alert.routes import Routes, read_routes
from floorlog.alert.sns import Sns
from floorlog.alert.webhook import Webhook
from floorlog.config import load
from floorlog.errors import SettingError
from floorlog.keeper import postman_of

SECRET = "0123456789abcdef"
HOOK = "channels: {{a: {{kind: webhook, url: '{}', secret: {}}}}}\nroutes: []"


def test_a_webhook_is_signed(hooks, notice):
    """JSON, the notice's key, and a signature that the receiver can compute again."""
    Webhook(hooks.url, SECRET, lambda: 1_767_225_601.9).send(notice)
    ((headers, body),) = hooks.got
    assert json.loads(body)["reason"] == notice.reason
    assert headers["idempotency-key"] == notice.key
    made = hmac.new(SECRET.encode(), b"1767225601." + body, hashlib.sha256).hexdigest()
    assert headers["floorlog-signature"] == f"t=1767225601,v1={made}"
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize(
    ("status", "is_final"),
    [
        (302, True),
        (400, True),
        (401, True),
        (403, True),
        (404, True),
        (410, True),
        (408, False),
        (429, False),
        (503, False),
    ],
)
def test_a_webhook_that_refuses(hooks, notice, status, is_final):
    """Redirects are not followed; what will not change is final; Retry-After is respected."""
    hooks.answer = lambda _: (status, {"Retry-After": "7", "Location": hooks.url})
    with pytest.raises(Undelivered, match=str(status)) as caught:
        Webhook(hooks.url, SECRET).send(notice)
    assert (caught.value.is_final, caught.value.after_s) == (is_final, 7.0)
    assert len(hooks.got) == 1


def test_nobody_there(notice):
    """A dead receiver is an Undelivered that may pass, on every channel."""
    port = dead_port()
    for channel in (
        Webhook(f"http://127.0.0.1:{port}/", SECRET),
        Email("127.0.0.1", port, "none", None, "a@b.c", ["d@e.f"]),
    ):
        with pytest.raises(Undelivered) as caught:
            channel.send(notice)
        assert not caught.value.is_final


def test_an_e_mail(mails, notice):
    """Subject, text and the notice's key as Message-ID; no line of a reason becomes a header."""
    Email("127.0.0.1", mails.port, "none", None, "floorlog@plant.example", ["a@b.c", "d@e.f"]).send(
        notice
    )
    (mail,) = mails.got
    assert mail["Subject"].startswith("high alarm: press-07 level: above")
    assert mail["Bcc"] is None
    assert mail["To"] == "a@b.c, d@e.f"
    assert mail["Message-ID"] == f"<{notice.key}@plant.example>"
    text = mail.get_payload(decode=True).decode()
    assert "asset: line-1" in text
    assert "2026-01-01 00:00:00 UTC" in text
    assert notice.address in text


@pytest.mark.parametrize(
    ("answer", "is_final"), [("550 no such user", True), ("451 later", False), ("450 busy", False)]
)
def test_a_mail_server_that_refuses(mails, notice, answer, is_final):
    """For good, or for now."""
    mails.refuse = lambda _: answer
    with pytest.raises(Undelivered, match=answer.split()[0]) as caught:
        Email("127.0.0.1", mails.port, "none", None, "a@b.c", ["d@e.f"]).send(notice)
    assert caught.value.is_final == is_final


def test_one_of_two_addresses_is_refused(mails, notice):
    """The other one got it; that this one will not is said, once."""
    mails.refuse = lambda line: "550 no" if "d@e.f" in line else "250 fine"
    with pytest.raises(Undelivered, match=r"d@e\.f") as caught:
        Email("127.0.0.1", mails.port, "none", None, "a@b.c", ["a@b.c", "d@e.f"]).send(notice)
    assert caught.value.is_final
    assert len(mails.got) == 1


def test_a_server_without_tls_is_not_trusted(mails, notice):
    """Where TLS is asked for and the server has none, nothing is sent."""
    with pytest.raises(Undelivered):
        Email("127.0.0.1", mails.port, "starttls", ("u", "p"), "a@b.c", ["d@e.f"]).send(notice)
    assert mails.got == []


@pytest.mark.slow
def test_a_topic(notice, monkeypatch):
    """Published with its attributes, under a subject that SNS takes; a topic that is not there."""
    import boto3  # noqa: PLC0415 - takes a second
    from moto import mock_aws  # noqa: PLC0415 - takes seconds

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with mock_aws():
        topic = boto3.client("sns", "eu-west-2").create_topic(Name="alarms")["TopicArn"]
        queues = boto3.client("sqs", "eu-west-2")
        queue = queues.create_queue(QueueName="q")["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])
        boto3.client("sns", "eu-west-2").subscribe(
            TopicArn=topic, Protocol="sqs", Endpoint=arn["Attributes"]["QueueArn"]
        )
        Sns(topic).send(replace(notice, reason="ünïcode\n" + "x" * 300))
        (message,) = queues.receive_message(QueueUrl=queue)["Messages"]
        envelope = json.loads(message["Body"])
        assert json.loads(envelope["Message"])["key"] == notice.key
        assert envelope["MessageAttributes"]["priority"]["Value"] == "high"
        assert len(envelope["Subject"]) <= 100
        with pytest.raises(Undelivered) as caught:
            Sns(topic + "-gone").send(notice)
        assert not caught.value.is_final


def test_the_log(notice, caplog):
    """One line."""
    with caplog.at_level(logging.WARNING):
        Log().send(notice)
    (line,) = caplog.messages
    assert line == "high alarm: press-07 level: above Bcc: x@y.z [floorlog-7-1767225600000000]"


def test_routes(notice):
    """By priority and higher, asset, detector and event; once a channel."""
    routes = Routes(
        channels={},
        routes=(),
    )
    assert not routes.leads(notice, "a")
    found = read(
        {
            "channels": {"a": {"kind": "log"}, "b": {"kind": "log"}, "c": {"kind": "log"}},
            "routes": [
                {"channels": ["a", "b"], "priority": "high", "assets": ["line-*"]},
                {"channels": ["a"], "assets": ["other"]},
                {"channels": ["c"], "priority": "critical"},
                {"channels": ["c"], "detectors": ["ra*"], "events": ["return"]},
            ],
        }
    )

    def taken(**changes) -> str:
        changed = replace(notice, **changes)
        return "".join(name for name in "abc" if found.leads(changed, name))

    assert taken() == "ab"
    assert taken(priority="critical") == "abc"
    assert taken(priority="medium") == ""
    assert taken(priority="low", asset="other") == "a"
    assert taken(event="return", detector="rate", priority="low") == "c"
    assert taken(event="unshelve") == "ab"


def read(content: dict) -> Routes:
    import msgspec  # noqa: PLC0415 - as the file's reader does

    return msgspec.convert(content, Routes)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("channels: {a: {kind: pigeon}}\nroutes: []", "pigeon"),
        ("channels: {}\nroutes: [{channels: [a]}]", "'a', which is no channel"),
        (HOOK.format("ftp://x", SECRET), "url"),
        (HOOK.format("http://x", "short"), "length >= 16"),
        ("channels: {a: {kind: log, speed: 1}}\nroutes: []", "speed"),
        ("channels: [", "cannot be used"),
        ("- 1", "cannot be used"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_used(tmp_path, text, says):
    """One line that names what is wrong, at the start."""
    path = tmp_path / "notify.yaml"
    path.write_text(text)
    path.chmod(0o640)
    with pytest.raises(SettingError, match=says):
        read_routes(path)
    path.chmod(0o644)
    with pytest.raises(SettingError, match="chmod 640"):
        read_routes(path)
    with pytest.raises(SettingError, match="No such file"):
        read_routes(tmp_path / "none")


@dataclass
class Waiting:
    event_id: int
    notice: Notice
    age_s: float = 0.0


@dataclass
class Box:
    """An outbox in memory."""

    queue: list[Waiting]
    settled: list[tuple[int, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def hold(self) -> bool:
        return True

    def waiting(self) -> list[Waiting]:
        return list(self.queue)

    def settle(self, event_id: int, state: str, error: str) -> None:
        self.settled.append((event_id, state))
        self.errors.append(error)

    def close(self) -> None:
        """Nothing to end."""


class Choosy:
    """A channel that refuses some, by number of the event."""

    def __init__(self, **refused: Undelivered) -> None:
        self.refused = refused
        self.sent: list[str] = []

    def send(self, notice: Notice) -> None:
        error = self.refused.get(f"n{notice.key}")
        if error is not None:
            raise error
        self.sent.append(notice.key)


def boxed(notice: Notice, count: int, age_s: float = 0.0) -> Box:
    return Box([Waiting(n, replace(notice, key=str(n)), age_s) for n in range(count)])


def test_one_bad_notice_holds_up_no_other(notice):
    """What is refused for good is given up, for now tried later; the rest goes out."""
    channel = Choosy(n1=Undelivered("no", is_final=True), n2=Undelivered("later"))
    box = boxed(notice, 5)
    assert Postman({})._round("a", channel, box) == 0.0
    assert channel.sent == ["0", "3", "4"]
    assert box.settled == [
        (0, "sent"), (1, "given up"), (2, "waiting"), (3, "sent"), (4, "sent"),
    ]  # fmt: skip


def test_a_channel_that_takes_nothing_is_left_alone(notice):
    """After three in a row, or when it asks for it; after a day a notice is given up."""
    dead = Choosy(**{f"n{n}": Undelivered("gone") for n in range(9)})
    box = boxed(notice, 9)
    with pytest.raises(Undelivered):
        Postman({})._round("a", dead, box)
    assert len(box.settled) == FAILURES_MAX
    box = boxed(notice, 9)
    with pytest.raises(Undelivered):
        Postman({})._round("a", Choosy(n0=Undelivered("busy", after_s=60)), box)
    assert box.settled == [(0, "waiting")]
    box = boxed(notice, 1, GIVE_UP_SECONDS + 1)
    Postman({})._round("a", dead, box)
    assert box.settled == [(0, "given up")]
    assert box.errors == ["gone"]


def test_the_keeper_takes_the_postman_along(tmp_path):
    """A thread a channel of the file; none without a file; a wrong one is said at the start."""
    required = {"KINESIS_STREAM_NAME": "s", "REDIS_ENDPOINT": "r:1", "DB_SECRET_ARN": "x"}
    assert postman_of(load(required)) is None
    path = tmp_path / "notify.yaml"
    path.write_text("channels: {a: {kind: log}, b: {kind: log}}\nroutes: [{channels: [a]}]")
    path.chmod(0o600)
    postman = postman_of(load({**required, "FLOORLOG_NOTIFY": str(path)}))
    assert [thread.name for thread in postman._threads] == ["a", "b"]
    path.write_text("channels: 1")
    with pytest.raises(SettingError, match=str(path)):
        postman_of(load({**required, "FLOORLOG_NOTIFY": str(path)}))
