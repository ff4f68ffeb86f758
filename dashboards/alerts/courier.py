"""Sends the messages of one channel: at its pace, one after the other, with what came of each written down."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Final, NamedTuple, Protocol

import structlog
from sqlalchemy import Engine

from dashboards.alerts.channels import dingtalk, feishu, slack, webhook
from dashboards.alerts.channels.email import mail_of, send_mail
from dashboards.alerts.channels.exchange import AGAIN, REFUSED, Answer, Outcome, Post
from dashboards.alerts.declared import DeclaredAlerts, DeclaredChannel, DeclaredEmail, DeclaredLimits
from dashboards.alerts.message import Message, message_of
from dashboards.alerts.outbox import claim, finish, is_idle
from dashboards.alerts.pace import MINUTE_US, SECOND_US, Bucket, Limit
from dashboards.alerts.secret import ChannelSecrets
from dashboards.alerts.targets import TargetRefused, check_host, checked_address
from dashboards.alerts.transport import Resolve
from dashboards.alerts.vocabulary import DEAD, SENT

IDLE_US: Final = 250_000
"""How often a channel with nothing to do looks again."""

PAUSE_US_MAX: Final = MINUTE_US
"""A channel that failed rests for as long as its message, but no longer than this: another message may be taken."""

_HTTP: Final[Mapping[str, ModuleType]] = {"webhook": webhook, "slack": slack, "feishu": feishu, "dingtalk": dingtalk}
_LIMITS: Final[Mapping[str, tuple[Limit, ...]]] = {
    "slack": (Limit(1, SECOND_US),),
    "feishu": (Limit(5, SECOND_US), Limit(100, MINUTE_US)),
    "dingtalk": (Limit(20, MINUTE_US),),
}
"""What the services document for one webhook."""

_log = structlog.get_logger()


class Counter(Protocol):
    """Counts what came of messages, by kind of channel."""

    def count(self, kind: str, state: str) -> None:
        """One more message that was sent, failed or given up."""


class Sends(Protocol):
    """Sends requests, such as `HttpSender`."""

    def send(self, post: Post) -> Answer | Outcome:
        """The answer, or why there is none."""


class Way(NamedTuple):
    """How messages leave: over HTTP, and for mail by names that are looked up and servers that prove theirs."""

    http: Sends
    resolve: Resolve
    tls: ssl.SSLContext


def limits_of(channel: DeclaredChannel) -> tuple[Limit, ...]:
    """The limits that the channel is kept within."""
    declared: DeclaredLimits | None = getattr(channel, "limits", None)
    if declared is None:
        return _LIMITS[channel.kind]
    pairs = ((declared.per_second, SECOND_US), (declared.per_minute, MINUTE_US))
    return tuple(Limit(count, within_us) for count, within_us in pairs if count is not None)


def deliver(
    alerts: DeclaredAlerts,
    channel: DeclaredChannel,
    secrets: ChannelSecrets,
    way: Way,
    message: Message,
    key: str,
    now_us: int,
) -> Outcome:
    """Send one message through a channel; no secret is in what comes back."""
    secret = secrets.key.get_secret_value()
    if isinstance(channel, DeclaredEmail):
        outcome = _deliver_mail(alerts, channel, secret, way, message, key, now_us)
    else:
        made = _HTTP[channel.kind]
        post: Post = made.post_of(secrets.url.get_secret_value(), secret, message, key, now_us)
        answer = way.http.send(post)
        outcome = made.outcome_of(answer, now_us) if isinstance(answer, Answer) else answer
    return outcome._replace(reason=_redacted(outcome.reason, secrets))


def _deliver_mail(
    alerts: DeclaredAlerts, channel: DeclaredEmail, password: str, way: Way, message: Message, key: str, now_us: int
) -> Outcome:
    try:
        check_host(channel.host, channel.port, alerts.targets, is_usual=False)
        addresses = way.resolve(channel.host, channel.port)
        address = checked_address(channel.host, addresses, alerts.targets, is_encrypted=channel.security != "none")
    except TargetRefused as error:
        return Outcome(REFUSED, error.what)
    except (OSError, UnicodeError):
        return Outcome(AGAIN, "the name of the mail server cannot be looked up")
    return send_mail(channel, password, mail_of(channel, message, key, now_us), address, way.tls)


def _redacted(text: str, secrets: ChannelSecrets) -> str:
    """What a service answers might repeat what it was sent."""
    for secret in (secrets.url.get_secret_value(), secrets.key.get_secret_value()):
        if secret:
            text = text.replace(secret, "…")
    return text


class Courier:
    """The one who sends for a channel; used by one thread.

    Args:
        store: the small database.
        alerts: the file of alerts.
        channel: whose messages are sent.
        secrets: of the channel.
        way: how messages leave.
        counter: counts what came of them.
        clock_us: µs since the epoch.
        random: gives numbers in [0, 1).
    """

    def __init__(
        self,
        store: Engine,
        alerts: DeclaredAlerts,
        channel: DeclaredChannel,
        secrets: ChannelSecrets,
        way: Way,
        counter: Counter,
        *,
        clock_us: Callable[[], int],
        random: Callable[[], float],
    ) -> None:
        self._store = store
        self._alerts = alerts
        self._channel = channel
        self._secrets = secrets
        self._way = way
        self._counter = counter
        self._clock_us = clock_us
        self._random = random
        self._buckets = [Bucket(limit, clock_us()) for limit in limits_of(channel)]
        self._rests_until_us = 0

    def turn(self) -> int:
        """Send at most one message; µs until it is worth to look again."""
        now_us = self._clock_us()
        wait_us = max([self._rests_until_us - now_us, *(bucket.wait_us(now_us) for bucket in self._buckets)])
        if wait_us > 0:
            return min(wait_us, SECOND_US)
        name = self._channel.name
        if is_idle(self._store, name, now_us):
            return IDLE_US
        letter = claim(self._store, self._channel, now_us)
        if letter is None:
            return IDLE_US
        for bucket in self._buckets:
            bucket.take(now_us)
        message = message_of(letter.body, letter.language, self._alerts.base_url)
        outcome = deliver(self._alerts, self._channel, self._secrets, self._way, message, letter.key, self._clock_us())
        ended_us = self._clock_us()
        state = finish(self._store, letter, outcome, ended_us, self._random)
        if state == SENT:
            self._counter.count(self._channel.kind, "sent")
            _log.info("alert_sent", channel=name, key=letter.key, kind=letter.kind, said=outcome.reason)
            return 0
        self._counter.count(self._channel.kind, "failed")
        if outcome.state == AGAIN:
            pause_us = max(SECOND_US << min(letter.attempts, 6), outcome.retry_after_us or 0)
            # What the channel asked for is honoured whole; our own guess must not hold others back for long.
            self._rests_until_us = ended_us + (pause_us if outcome.retry_after_us else min(pause_us, PAUSE_US_MAX))
        if state == DEAD:
            self._counter.count(self._channel.kind, "dead")
            _log.error("alert_dead", channel=name, key=letter.key, reason=outcome.reason)
        else:
            _log.warning(
                "alert_failed", channel=name, key=letter.key, reason=outcome.reason, attempts=letter.attempts + 1
            )
        return 0
