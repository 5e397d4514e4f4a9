"""A stream whose credentials cannot be renewed for a while."""

from typing import Any

from botocore.exceptions import CredentialRetrievalError

from floorlog.core.protocol import Failed, Fetch, Seek
from floorlog.source.kinesis import Stream


class Away:
    """Signs nothing: the task's role does not answer."""

    def add_auth(self, _: Any) -> None:
        raise CredentialRetrievalError(provider="container-role", error_msg="away")


def test_credentials_that_are_away_fail_a_call_and_end_nobody(monkeypatch):
    """The consumer hears of a failure, and keeps its lease while it tries again."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    stream = Stream("plant", "eu-central-1")
    monkeypatch.setattr(stream, "_signer", Away())
    for reply in (
        stream.shards(),
        stream.seek(Seek("shard-0", -1)),
        stream.fetch(Fetch("shard-0", "iterator", 10)),
    ):
        assert isinstance(reply, Failed)
        assert "away" in reply.reason
    stream.close()
