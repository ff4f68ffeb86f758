"""Mail: a message as text and HTML, and its way to a mail server over a connection that was checked."""

from __future__ import annotations

import contextlib
import hashlib
import html
import smtplib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from dashboards.alerts.channels.exchange import AGAIN, OK, REASON_CHARS_MAX, REFUSED, Outcome
from dashboards.alerts.declared import DeclaredEmail
from dashboards.alerts.message import Message, plain
from dashboards.alerts.wording import WORDS

STEP_SECONDS_MAX: Final = 10.0
TOTAL_SECONDS_MAX: Final = 30.0
_PERMANENT: Final = 500
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def mail_of(channel: DeclaredEmail, message: Message, key: str, now_us: int) -> EmailMessage:
    """The mail of a message. Its Message-ID follows from the key, so that mailboxes that get it twice can tell."""
    colon = WORDS[message.language].colon
    mail = EmailMessage()
    mail["From"] = channel.sender
    mail["To"] = ", ".join(channel.to)
    mail["Subject"] = message.title
    mail["Date"] = format_datetime(_EPOCH + timedelta(seconds=now_us // 1_000_000))
    domain = channel.sender.rpartition("@")[2]
    mail["Message-ID"] = f"<{hashlib.sha256(key.encode()).hexdigest()[:40]}@{domain}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail["Idempotency-Key"] = key
    facts = [f"{label}{colon}{value}" for label, value in message.facts]
    link = f"{message.link_text}{colon}{message.link}"
    mail.set_content("\n".join([message.title, "", *facts, "", *message.lines, "", link, ""]))
    mail.add_alternative(_html(message), subtype="html")
    return mail


def _html(message: Message) -> str:
    rows = "".join(
        f'<tr><th align="left">{html.escape(label)}</th><td>{html.escape(value)}</td></tr>'
        for label, value in message.facts
    )
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in message.lines)
    return (
        f'<!doctype html><html lang="{message.language}"><head><meta charset="utf-8"><title>{html.escape(message.title)}'
        f"</title></head><body><h2>{html.escape(message.title)}</h2><table>{rows}</table>{lines}"
        f'<p><a href="{html.escape(message.link)}">{html.escape(message.link_text)}</a></p></body></html>'
    )


class _Pinned(smtplib.SMTP):
    """A session with the mail server at one address, while TLS still asks for its name.

    Args:
        address: where to connect.
        tls: wraps the connection from the beginning; None for a plain one.
    """

    def __init__(self, address: str, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._tls = tls
        super().__init__(timeout=STEP_SECONDS_MAX)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        connection = socket.create_connection((self._address, port), timeout)
        return connection if self._tls is None else self._tls.wrap_socket(connection, server_hostname=host)


def send_mail(channel: DeclaredEmail, password: str, mail: EmailMessage, address: str, tls: ssl.SSLContext) -> Outcome:
    """Hand a mail to the server; the whole exchange is bounded.

    Args:
        channel: whose mail server it is.
        password: of the channel's user.
        mail: what to send.
        address: that the server's name was resolved and checked to.
        tls: how the server proves its name.
    """
    session = _Pinned(address, tls if channel.security == "tls" else None)
    watchdog = threading.Timer(TOTAL_SECONDS_MAX, _break_off, [session])
    watchdog.daemon = True
    watchdog.start()
    try:
        session._host = channel.host  # type: ignore[attr-defined]  # what starttls asks the certificate for
        session.connect(channel.host, channel.port)
        if channel.security == "starttls":
            session.starttls(context=tls)
        if channel.user:
            session.login(channel.user, password)
        refused = session.send_message(mail)
        with contextlib.suppress(smtplib.SMTPException, OSError):
            # The server has taken it: whatever goes wrong now must not send it again.
            session.quit()
    except smtplib.SMTPRecipientsRefused as error:
        codes = [code for code, _ in error.recipients.values()]
        state = REFUSED if all(code >= _PERMANENT for code in codes) else AGAIN
        return Outcome(state, f"the mail server takes none of the recipients: {_told(error.recipients)}")
    except smtplib.SMTPResponseException as error:
        state = REFUSED if error.smtp_code >= _PERMANENT else AGAIN
        return Outcome(state, f"the mail server says {error.smtp_code} {_decoded(error.smtp_error)}")
    except smtplib.SMTPNotSupportedError as error:
        return Outcome(
            REFUSED, f"the mail server cannot do what the channel asks for: {plain(str(error), REASON_CHARS_MAX)}"
        )
    except (smtplib.SMTPException, OSError) as error:
        return Outcome(AGAIN, f"no connection with the mail server: {plain(str(error), REASON_CHARS_MAX)}")
    finally:
        watchdog.cancel()
        session.close()
    return Outcome(OK.state, f"not taken for {_told(refused)}") if refused else OK


def _break_off(session: smtplib.SMTP) -> None:
    connection = session.sock
    if connection is not None:
        with contextlib.suppress(OSError):
            # Closing alone would leave the other thread waiting for an answer.
            connection.shutdown(socket.SHUT_RDWR)


def _told(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(f"{who}: {code} {_decoded(said)}" for who, (code, said) in sorted(refused.items()))


def _decoded(said: bytes | str) -> str:
    return plain(said.decode("utf-8", "replace") if isinstance(said, bytes) else said, REASON_CHARS_MAX)
