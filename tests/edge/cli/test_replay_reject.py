"""A reject from the stream into the record, mended, sent again, and stored: by commands alone."""

import json
import time

import boto3
import pytest

from floorlog.local.services import running
from floorlog.store.migrate import WRITER

pytestmark = pytest.mark.slow  # starts the whole of `up`
BAD = b'{"device_id":"press-x","metric":"torque","ts":"2026-01-01T00:00:00Z","value":"1,5"'


def asked(what, seconds=90.0):
    """The first answer that is not empty."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.3)
    return found


def test_a_mended_reject_is_stored(floorlog, up, tmp_path) -> None:
    """Found by what it holds, sent once, told in its events, counted apart; all adds up."""
    data = ("--data", str(up.data))

    def said(*words: str):
        answer = floorlog(*words, *data, "--json")
        assert answer.code == 0, answer.err
        return json.loads(answer.out)

    settings = running(up.data).environment(WRITER)
    client = boto3.client(
        "kinesis", region_name=settings["AWS_REGION"],
        endpoint_url=settings["AWS_ENDPOINT_URL_KINESIS"],
        aws_access_key_id=settings["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=settings["AWS_SECRET_ACCESS_KEY"],
    )  # fmt: skip
    client.put_record(StreamName=settings["KINESIS_STREAM_NAME"], Data=BAD, PartitionKey="press-x")
    (found,) = asked(lambda: said("reject", "list", "--holds", "press-x"))
    assert found["code"] == "malformed"
    why = ("--reason", "comma", "--by", "Ann")
    again = floorlog("reject", "replay", found["name"], *why, *data)
    assert again.code == 1
    assert "rejected again" in again.err
    mended = tmp_path / "mended.json"
    mended.write_bytes(BAD.replace(b'"1,5"', b"1.5}"))
    sent = said("reject", "replay", found["name"], "--mended", str(mended), *why)
    stored = asked(lambda: said("readings", "press-x", "torque")["readings"])
    assert [one["value"] for one in stored] == [1.5]
    events = said("reject", "show", found["name"])["events"]
    assert [one["action"] for one in events] == ["reject.replay", "reject.sent"]
    assert events[1]["sequence"] == sent["sequence"]
    twice = floorlog("reject", "replay", found["name"], "--mended", str(mended), *why, *data)
    assert twice.code == 1
    assert "--again" in twice.err
    assert said("reconcile")["replays"] == 1
