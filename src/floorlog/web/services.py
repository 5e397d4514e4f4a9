"""What every answer of the page's process can use."""

from dataclasses import dataclass

from floorlog.record.anchor import Anchor
from floorlog.web.access import Access
from floorlog.web.feed import Feed
from floorlog.web.login import PasswordLogin
from floorlog.web.oidc import Oidc
from floorlog.web.record import Record


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
        key: the log's verifier key, from another way than the notes; empty where it is not given.
    """

    feed: Feed
    record: Record
    access: Access
    anchor: Anchor | None = None
    password: PasswordLogin | None = None
    oidc: Oidc | None = None
    key: str = ""
