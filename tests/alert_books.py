"""Alerts for tests: files of alerts, messages of the discrepancy topics, and a way out that keeps what was sent."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr
from sqlalchemy import Engine, event

from dashboards.alerts.channels.exchange import Answer, Outcome, Post
from dashboards.alerts.courier import Courier, Way
from dashboards.alerts.declared import DeclaredAlerts
from dashboards.alerts.intake import Incoming
from dashboards.alerts.load import read_alerts
from dashboards.alerts.notice import Notice
from dashboards.alerts.secret import ChannelSecrets
from dashboards.store import open_store
from reconcile.cases.policy import MoneyLimits, Urgency

SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US
NOW_US = 1_700_000_000 * SECOND_US
"""2023-11-14 22:13:20 UTC, a Tuesday."""

URGENCY = Urgency(
    {"medium": MoneyLimits({"default": "10"}), "high": MoneyLimits({"default": "1000"}),
     "critical": MoneyLimits({"default": "100000"})},
    {"one-sided": "high", "wrong-amount": "medium", "mismatch": "medium"},
    {"low": 168, "medium": 72, "high": 24, "critical": 4},
)  # fmt: skip

HEAD = """
base_url = "https://trueup.example.com"
match = "first"

[targets]
hosts = ["alerts.example.com", "127.0.0.1"]
allow_private = ["127.0.0.1"]
"""
CHANNEL = """
[[channel]]
name = "own"
kind = "webhook"
url_env = "OWN_URL"
secret_env = "OWN_SECRET"
limits = { per_second = 1000 }
"""
ROUTE = """
[[route]]
name = "all"
channels = ["own"]
remind = ["4h", "1d"]
"""


def alerts_of(text: str = HEAD + CHANNEL + ROUTE) -> DeclaredAlerts:
    """A file of alerts that is right."""
    return read_alerts(text, file="alerts.toml")


def identifier(number: int) -> str:
    """The id of a discrepancy."""
    return f"{number:032x}"


def incoming(
    number: int,
    occurrence: int = 1,
    version: int = 1,
    *,
    is_open: bool = True,
    actual: str = "8.50",
    offset: int = 0,
    currency: str = "USD",
    **fields: Any,
) -> Incoming:
    """A message of a judge; the expected amount is 8.00."""
    status = ("open" if occurrence == 1 else "regressed") if is_open else "auto-resolved"
    value = {
        "discrepancy_id": identifier(number), "rule": "wrong-billing", "rule_version": 1, "class": "wrong-amount",
        "direction": "long", "status": status, "entity_kind": "order", "entity_id": str(number),
        "order_id": str(number), "statement_id": "", "shop_id": "7", "currency": currency, "expected": "8.00",
        "actual": actual, "detail": "billed too much", "source_commit_us": NOW_US - SECOND_US, "detected_us": NOW_US,
        "watermark_us": NOW_US, "occurrences": occurrence, "version": [version, 0], **fields,
    }  # fmt: skip
    return Incoming(f"discrepancy.{value['class']}", 0, offset, identifier(number).encode(), orjson.dumps(value))


def notice(**fields: Any) -> Notice:
    """What an alert tells of a discrepancy."""
    held: dict[str, Any] = {
        "discrepancy_id": identifier(1), "occurrence": 1, "rule": "wrong-billing", "kind": "wrong-amount",
        "direction": "long", "severity": "medium", "entity_kind": "order", "entity_id": "1", "order_id": "1",
        "statement_id": "", "shop_id": "7", "currency": "USD", "expected": "8.00", "actual": "1208.50",
        "stake_minor": 120_050, "detail": "billed too much", "raised_us": NOW_US, "detected_us": NOW_US, **fields,
    }  # fmt: skip
    return Notice.of(held)


@contextmanager
def quick_store(directory: Path) -> Iterator[Engine]:
    """A small database that does not wait for the disk."""
    store = open_store(f"sqlite:///{directory / 'store.sqlite'}")
    store.dispose()

    def hurry(connection: Any, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    event.listen(store, "connect", hurry)
    try:
        yield store
    finally:
        store.dispose()


class Outside:
    """A way out whose far end keeps what arrives; `answer` says what comes back."""

    def __init__(self, answer: Callable[[Post], Answer | Outcome] = lambda _: Answer(200, {}, b"ok")) -> None:
        self.posts: list[Post] = []
        self._answer = answer

    def send(self, post: Post) -> Answer | Outcome:
        """Take a request."""
        self.posts.append(post)
        return self._answer(post)

    @property
    def keys(self) -> list[str]:
        """The idempotency keys of what arrived, in its order."""
        return [post.headers["Idempotency-Key"] for post in self.posts]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The JSON of what arrived."""
        return [orjson.loads(post.body) for post in self.posts]


class Tally:
    """Counts what came of messages."""

    def __init__(self) -> None:
        self.counted: dict[tuple[str, str], int] = {}

    def count(self, kind: str, state: str) -> None:
        """One more."""
        self.counted[kind, state] = self.counted.get((kind, state), 0) + 1


class Clock:
    """A clock that tests set."""

    def __init__(self, now_us: int = NOW_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us


def courier(store: Engine, alerts: DeclaredAlerts, outside: Outside, clock: Clock, name: str = "own") -> Courier:
    """The courier of a channel of the file."""
    (channel,) = [channel for channel in alerts.channels if channel.name == name]
    secrets = ChannelSecrets(SecretStr("https://alerts.example.com/hook"), SecretStr("s3cret"))
    way = Way(outside, lambda _host, _port: ["203.0.113.1"], ssl.create_default_context())
    return Courier(store, alerts, channel, secrets, way, Tally(), clock_us=clock, random=lambda: 0.5)


def send_all(one: Courier, clock: Clock, seconds: int, pace_us: int = 1000) -> None:
    """Let a courier work for so long by the clock, which goes on by `pace_us` at least from turn to turn."""
    end_us = clock.now_us + seconds * SECOND_US
    while clock.now_us < end_us:
        clock.now_us += max(one.turn(), pace_us)
