"""What every answer of the page's process can use."""

from collections.abc import Callable
from dataclasses import dataclass

from floorlog.record.log.anchor import Anchor
from floorlog.source.sender import Sender
from floorlog.web.access.access import Access
from floorlog.web.access.login import PasswordLogin
from floorlog.web.access.oidc import Oidc
from floorlog.web.api.record import Record
from floorlog.web.feed import Feed
from floorlog.web.work.jobs import Jobs
from floorlog.web.work.upload import Uploads


@dataclass(frozen=True, slots=True)
class Services:
    """The parts of one process.

    Attributes:
        feed: what every page sees.
        record: questions to the record.
        access: who may ask.
        anchor: where signed notes are kept; None where this process was not told.
        password: how people log in by password; None where they do not.
        oidc: how people log in at a provider; None where they do not.
        jobs: work in processes of their own; None where this process does none.
        uploads: files on their way; with `jobs`.
        sender: opens the stream for a record that is sent again; None where no stream is known.
        key: the log's verifier key, from another way than the notes; empty where it is not given.
    """

    feed: Feed
    record: Record
    access: Access
    anchor: Anchor | None = None
    password: PasswordLogin | None = None
    oidc: Oidc | None = None
    key: str = ""
    jobs: Jobs | None = None
    uploads: Uploads | None = None
    sender: Callable[[], Sender] | None = None
