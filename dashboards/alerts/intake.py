"""Messages of the discrepancy topics into the alert state: decided, put in the outbox and counted in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import structlog
from sqlalchemy import Connection, Engine, select, update

from dashboards.alerts.decide import Held, on_verdict
from dashboards.alerts.declared import DeclaredAlerts
from dashboards.alerts.message import body_of_notice
from dashboards.alerts.notice import Notice, notice_of
from dashboards.alerts.rows import told_of, upsert, write_decisions
from dashboards.alerts.tables import CASES, OFFSETS, OUTBOX
from dashboards.alerts.vocabulary import WAITING
from reconcile.cases.policy import Urgency
from reconcile.cases.verdicts import Verdict, decode_verdict
from streams.codec import dumps, loads
from streams.messages import DISCREPANCY_PREFIX
from trueup.model.errors import InvalidRecord

_log = structlog.get_logger()


class Incoming(NamedTuple):
    """One message of a discrepancy topic and its place."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None


class Taken(NamedTuple):
    """What came of messages: how many were new, and how many of them could not be read."""

    fresh: int
    unreadable: int


def stored_offsets(store: Engine) -> dict[tuple[str, int], int]:
    """(topic, partition) → the offset to go on from; partitions that were never read are missing."""
    with store.connect() as connection:
        return {(row.topic, row.partition): row.next_offset for row in connection.execute(select(OFFSETS))}


def take_in(
    store: Engine, alerts: DeclaredAlerts, urgency: Urgency, messages: Sequence[Incoming], now_us: int
) -> Taken:
    """Decide on messages and remember how far they were read, in one transaction.

    Of several messages about one discrepancy only the newest counts, as in the compacted topics themselves. Messages that
    were taken in before change nothing. What cannot be read is counted here; the case stage keeps it in quarantine.
    """
    with store.begin() as connection:
        ends = _ends(connection, messages)
        fresh = [one for one in messages if one.offset >= ends.get((one.topic, one.partition), 0)]
        verdicts: dict[str, Verdict] = {}
        unreadable = 0
        for one in fresh:
            verdict = _decoded(one)
            if verdict is None:
                unreadable += 1
                continue
            held = verdicts.get(verdict.discrepancy_id)
            if held is None or _order(held) < _order(verdict):
                verdicts[verdict.discrepancy_id] = verdict
        _decide(connection, alerts, urgency, list(verdicts.values()), now_us)
        for one in fresh:
            place = (one.topic, one.partition)
            ends[place] = max(ends.get(place, 0), one.offset + 1)
        rows = [{"topic": topic, "partition": number, "next_offset": end} for (topic, number), end in ends.items()]
        upsert(connection, OFFSETS, rows)
    return Taken(len(fresh), unreadable)


def _ends(connection: Connection, messages: Sequence[Incoming]) -> dict[tuple[str, int], int]:
    topics = sorted({one.topic for one in messages})
    rows = connection.execute(select(OFFSETS).where(OFFSETS.c.topic.in_(topics)))
    places = {(one.topic, one.partition) for one in messages}
    held = {(row.topic, row.partition): row.next_offset for row in rows}
    return {place: end for place, end in held.items() if place in places}


def _decoded(message: Incoming) -> Verdict | None:
    try:
        return decode_verdict(
            message.topic.removeprefix(DISCREPANCY_PREFIX), message.key, message.value, message.offset
        )
    except InvalidRecord as error:
        _log.warning(
            "alert_unreadable", what=error.what, topic=message.topic, partition=message.partition, offset=message.offset
        )
        return None


def _order(verdict: Verdict) -> tuple[int, int, int]:
    return verdict.occurrence.number, *verdict.occurrence.version


def _decide(
    connection: Connection, alerts: DeclaredAlerts, urgency: Urgency, verdicts: Sequence[Verdict], now_us: int
) -> None:
    ids = [verdict.discrepancy_id for verdict in verdicts]
    cases = _held(connection, ids)
    told = told_of(connection, ids)
    rows, decisions = [], {}
    for verdict in verdicts:
        identifier = verdict.discrepancy_id
        case = cases.get(identifier)
        if case is not None and case.order >= _order(verdict):
            continue
        notice = notice_of(verdict, urgency)
        is_open = verdict.occurrence.is_open
        decision = on_verdict(alerts, notice, is_open=is_open, held=told.get(identifier, []), now_us=now_us)
        if case is not None or decision.told:
            decisions[identifier] = decision
            rows.append(_case_row(verdict, notice, now_us))
            if case is not None and is_open:
                _refresh(connection, notice)
    write_decisions(connection, decisions)
    upsert(connection, CASES, rows)


def _held(connection: Connection, ids: Sequence[str]) -> Mapping[str, Held]:
    columns = (
        CASES.c.discrepancy_id,
        CASES.c.occurrence,
        CASES.c.version_major,
        CASES.c.version_minor,
        CASES.c.is_open,
    )
    rows = connection.execute(select(*columns).where(CASES.c.discrepancy_id.in_(ids)))
    return {identifier: Held((number, major, minor), is_open) for identifier, number, major, minor, is_open in rows}


def _refresh(connection: Connection, notice: Notice) -> None:
    """What was not tried yet is told as the books stand now."""
    columns = (OUTBOX.c.number, OUTBOX.c.state, OUTBOX.c.occurrence, OUTBOX.c.body)
    for row in connection.execute(select(*columns).where(OUTBOX.c.discrepancy_id == notice.discrepancy_id)).all():
        if row.state == WAITING and row.occurrence == notice.occurrence:
            body = loads(row.body.encode())
            changed = body_of_notice(body["kind"], body["route"], notice, body["reminder"])
            connection.execute(update(OUTBOX).where(OUTBOX.c.number == row.number).values(body=dumps(changed).decode()))


def _case_row(verdict: Verdict, notice: Notice, now_us: int) -> dict[str, object]:
    number, major, minor = _order(verdict)
    return {
        "discrepancy_id": verdict.discrepancy_id,
        "occurrence": number,
        "version_major": major,
        "version_minor": minor,
        "is_open": verdict.occurrence.is_open,
        "notice": dumps(notice._asdict()).decode(),
        "updated_us": now_us,
    }
