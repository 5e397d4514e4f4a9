"""E-mail by SMTP."""

import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from typing import Literal

from floorlog.alert.notice import Notice, Undelivered

SECONDS_MAX = 20.0
Tls = Literal["starttls", "tls", "none"]


class Email:
    """Sends each notice to all of some addresses.

    Args:
        host: of the mail server.
        port: of the mail server.
        tls: how the connection is kept secret; `none` on a trusted network alone.
        log_in: user and password; None for a server that asks for none.
        sender: the address that it comes from.
        to: whom it goes to.
    """

    def __init__(
        self, host: str, port: int, tls: Tls, log_in: tuple[str, str] | None, sender: str,
        to: Sequence[str],
    ) -> None:  # fmt: skip
        self._place = (host, port)
        self._tls = tls
        self._log_in = log_in
        self._sender = sender
        self._to = list(to)

    def send(self, notice: Notice) -> None:
        """Deliver one. Raises Undelivered; final where the server refuses it for good."""
        message = EmailMessage()
        message["From"] = self._sender
        message["To"] = ", ".join(self._to)
        message["Subject"] = notice.headline()
        domain = self._sender.rpartition("@")[2] or "floorlog"
        message["Message-ID"] = f"<{notice.key}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        if notice.priority in {"high", "critical"}:
            message["X-Priority"] = "1"
        message.set_content(notice.text())
        try:
            with self._connection() as server:
                refused = server.send_message(message, self._sender, self._to)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            raise Undelivered(f"{self._place[0]}: {error}", is_final=_for_good(codes)) from error
        except smtplib.SMTPResponseException as error:
            why = f"{self._place[0]}: {error.smtp_code} {error.smtp_error!r}"
            raise Undelivered(why, is_final=_for_good([error.smtp_code])) from error
        except (OSError, smtplib.SMTPException) as error:
            raise Undelivered(f"{self._place[0]}: {error!r}") from error
        if refused:
            raise Undelivered(f"{self._place[0]} refused {', '.join(refused)}", is_final=True)

    def _connection(self) -> smtplib.SMTP:
        host, port = self._place
        context = ssl.create_default_context()
        if self._tls == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                host, port, timeout=SECONDS_MAX, context=context
            )
        else:
            server = smtplib.SMTP(host, port, timeout=SECONDS_MAX)
        try:
            if self._tls == "starttls":
                server.starttls(context=context)
            if self._log_in is not None:
                server.login(*self._log_in)
        except BaseException:
            server.close()
            raise
        return server


def _for_good(codes: Sequence[int]) -> bool:
    """5xx, but not what a log-in or a policy may mend."""
    return bool(codes) and all(code >= 500 and code not in {530, 534, 535, 538} for code in codes)
