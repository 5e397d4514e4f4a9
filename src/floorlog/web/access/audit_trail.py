"""What people do through the page, kept as audit events."""

import json
from collections.abc import Mapping

from floorlog.web.api.record import Record


async def keep(record: Record, actor: str, action: str, detail: Mapping[str, object]) -> None:
    """Append an audit event. Raises ServiceError.

    Args:
        record: where to.
        actor: a pseudonym.
        action: what was done, in words with dots between.
        detail: to what, with which values; kept as JSON.
    """
    text = json.dumps(detail, ensure_ascii=False)
    await record.ask(lambda answers: answers.audit(actor, action, text))
