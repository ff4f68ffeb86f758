"""Giving commands on discrepancies: the one path that people take, whatever they sit in front of.

A command goes to `trueup.case-commands`; what came of it is read from the audit log, where the case stage writes it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from uuid import uuid4

from clickhouse_connect.driver.client import Client

from cdc.delivery import DeliveryProducer
from clickhouse.audit import Answered, read_answers
from reconcile.cases.commands import Command, Seen, Snooze, decode_command, encode_command
from streams.case_partition import COMMANDS_TOPIC
from trueup.model.errors import ConfigurationError
from trueup.model.money import minor_units
from trueup.settings import Settings

DELIVERY_SECONDS: Final = 30.0
ANSWER_SECONDS: Final = 30.0
POLL_SECONDS: Final = 0.2
COMMANDS_MAX: Final = 10_000
"""Commands of one call: their ids must fit one query."""

UNANSWERED: Final = "unanswered"


class Outcome(NamedTuple):
    """What came of a command.

    `result` is applied, refused, repeated, quarantined, or unanswered: sent and delivered, but not read in time, so it will
    still be answered. `reason` says why it was not applied; `revision` is the discrepancy's after it, None while unanswered.
    """

    command_id: str
    discrepancy_id: str
    result: str
    reason: str
    revision: int | None


def command_on(
    case: Mapping[str, Any],
    kind: str,
    actor: str,
    at_us: int,
    *,
    note: str = "",
    assignee: str = "",
    snooze: Snooze | None = None,
) -> Command:
    """A command about a discrepancy as a row of the view `v_cases` shows it.

    The row says what the person saw: discrepancy_id, revision, occurrences, currency, and expected and actual as Decimal in
    major units. `at_us` is µs since the epoch. Every call makes a new command id.
    """
    currency = case["currency"]
    expected, actual = (
        None if case[name] is None else minor_units(case[name], currency) for name in ("expected", "actual")
    )
    return Command(
        str(uuid4()), case["discrepancy_id"], kind, actor, at_us, case["revision"],
        Seen(case["occurrences"], expected, actual, currency), note, assignee, snooze,
    )  # fmt: skip


def send_commands(
    settings: Settings, client: Client, commands: Sequence[Command], *, answer_seconds: float = ANSWER_SECONDS
) -> list[Outcome]:
    """Send commands and wait until the workers have answered all of them; outcomes in the order of the commands.

    Sending the same command again is safe: it is known by its id.

    Args:
        settings: where Kafka and ClickHouse are.
        client: from `clickhouse.client.connect`.
        commands: at most `COMMANDS_MAX`.
        answer_seconds: how long to wait for answers; what is not answered by then is told as unanswered.

    Raises:
        UnavailableError: Kafka does not take them, or ClickHouse does not answer.
        ConfigurationError: too many commands.
        InvalidRecord: a command says something that no worker would take, such as a blank note; nothing was sent.
    """
    if len(commands) > COMMANDS_MAX:
        raise ConfigurationError(f"{len(commands)} commands at once", remedy=f"send at most {COMMANDS_MAX} at a time")
    messages = [encode_command(command) for command in commands]
    for key, value in messages:
        # What the workers could not read would never be answered.
        decode_command(key, value)
    deliver(settings.kafka.bootstrap, COMMANDS_TOPIC, messages)
    answers = await_answers(settings, client, [command.command_id for command in commands], answer_seconds)
    return [_outcome(command, answers.get(command.command_id)) for command in commands]


def deliver(bootstrap: str, topic: str, messages: Iterable[tuple[bytes, bytes]]) -> None:
    """Put keys and values on a topic, and wait until the broker has all of them.

    Raises:
        InvalidRecord: `too-large`, the broker would not take one.
        UnavailableError: it does not take them.
    """
    producer = DeliveryProducer(bootstrap)
    try:
        for key, value in messages:
            producer.send(topic, key, value)
        producer.drain(DELIVERY_SECONDS)
    finally:
        producer.close()


def await_answers(
    settings: Settings, client: Client, command_ids: Sequence[str], answer_seconds: float = ANSWER_SECONDS
) -> dict[str, Answered]:
    """Command id → what the workers answered; what is not answered in time is left out. Errors: UnavailableError."""
    waiting = set(command_ids)
    answers: dict[str, Answered] = {}
    deadline = time.monotonic() + answer_seconds
    while waiting:
        answers |= read_answers(client, settings.clickhouse.database, sorted(waiting))
        waiting -= answers.keys()
        if time.monotonic() > deadline:
            break
        if waiting:
            time.sleep(POLL_SECONDS)
    return answers


def _outcome(command: Command, answer: Answered | None) -> Outcome:
    if answer is None:
        return Outcome(command.command_id, command.discrepancy_id, UNANSWERED, "no worker has read it yet", None)
    return Outcome(command.command_id, command.discrepancy_id, answer.outcome, answer.reason, answer.revision)
