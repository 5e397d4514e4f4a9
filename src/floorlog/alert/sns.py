"""Amazon SNS: each notice published to a topic."""

from typing import Any

import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from floorlog.alert.notice import Notice, Undelivered

SECONDS_MAX = 10
FINAL = {"InvalidParameter", "ParameterValueInvalid", "ValidationError"}


class Sns:
    """Publishes to a topic; a FIFO topic drops repetitions by the notice's key.

    Args:
        topic: its ARN, which names the region.
    """

    def __init__(self, topic: str) -> None:
        self._topic = topic
        limits = Config(
            connect_timeout=SECONDS_MAX, read_timeout=SECONDS_MAX, retries={"max_attempts": 0}
        )
        session = botocore.session.get_session()
        region = topic.split(":")[3]
        self._client: Any = session.create_client("sns", region_name=region, config=limits)

    def send(self, notice: Notice) -> None:
        """Deliver one. Raises Undelivered."""
        fifo = {"MessageGroupId": notice.device[:128], "MessageDeduplicationId": notice.key}
        names = ("priority", "event", "asset", "key")
        try:
            self._client.publish(
                TopicArn=self._topic,
                Subject=_subject(notice.headline()),
                Message=notice.as_json().decode(),
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": getattr(notice, name)}
                    for name in names
                },
                **(fifo if self._topic.endswith(".fifo") else {}),
            )
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "")
            raise Undelivered(str(error), is_final=code in FINAL) from error
        except BotoCoreError as error:
            raise Undelivered(str(error)) from error


def _subject(text: str) -> str:
    """SNS takes up to 100 characters of ASCII, none of them for control."""
    plain = text.encode("ascii", "replace").decode()
    return "".join(one for one in plain if one.isprintable())[:100].strip() or "alarm"
