"""How the alert state is read and written: values of the pure core on one side, rows on the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table, bindparam, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dashboards.alerts.decide import Decision, Entry, Told
from dashboards.alerts.message import body_of_notice
from dashboards.alerts.tables import OUTBOX, TOLD
from dashboards.alerts.vocabulary import DIGEST, DIGESTED, RAISED, RETRYING, SENDING, SENT, SUPERSEDED, WAITING
from streams.codec import dumps

_ARRIVED: Final = (SENT, DIGESTED, SENDING, RETRYING)
_SUPERSEDE: Final = (
    update(OUTBOX)
    .where(
        OUTBOX.c.discrepancy_id == bindparam("about"),
        OUTBOX.c.channel == bindparam("to"),
        OUTBOX.c.state == WAITING,
        OUTBOX.c.occurrence == bindparam("told_of"),
    )
    .values(state=SUPERSEDED, reason="the books agreed before it was sent")
)


def upsert(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as they are, whether they were there or not; they must name every column."""
    if not rows:
        return
    make = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = make(table)
    keys = [column.name for column in table.primary_key]
    others = {column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=others), list(rows))


def told_of(connection: Connection, ids: Sequence[str]) -> dict[str, list[Told]]:
    """Discrepancy → the channels that were given it."""
    first = OUTBOX.alias()
    joined = TOLD.outerjoin(
        first,
        (first.c.discrepancy_id == TOLD.c.discrepancy_id)
        & (first.c.channel == TOLD.c.channel)
        & (first.c.kind == RAISED)
        & (first.c.occurrence == TOLD.c.occurrence),
    )
    rows = connection.execute(select(TOLD, first.c.state).select_from(joined).where(TOLD.c.discrepancy_id.in_(ids)))
    found: dict[str, list[Told]] = {}
    for row in rows:
        # A message that is kept no longer was sent long ago; one that was tried may have arrived.
        arrived = row.state is None or row.state in _ARRIVED
        found.setdefault(row.discrepancy_id, []).append(
            Told(row.occurrence, row.channel, row.route, row.reminders, row.remind_us, row.is_over, arrived)
        )
    return found


def write_decisions(connection: Connection, decisions: Mapping[str, Decision]) -> None:
    """Write down, by discrepancy, who is told, what goes out, and what nobody has tried to send and nobody needs now."""
    superseded = [
        {"about": identifier, "told_of": occurrence, "to": channel}
        for identifier, decision in decisions.items()
        for occurrence, channel in decision.superseded
    ]
    if superseded:
        connection.execute(_SUPERSEDE, superseded)
    told = [_told_row(identifier, one) for identifier, decision in decisions.items() for one in decision.told]
    upsert(connection, TOLD, told)
    entries = [outbox_row(identifier, one) for identifier, decision in decisions.items() for one in decision.entries]
    if entries:
        connection.execute(insert(OUTBOX), entries)


def _told_row(discrepancy_id: str, told: Told) -> dict[str, Any]:
    return {
        "discrepancy_id": discrepancy_id,
        "occurrence": told.occurrence,
        "channel": told.channel,
        "route": told.route,
        "reminders": told.reminders,
        "remind_us": told.remind_us,
        "is_over": told.is_over,
    }


def outbox_row(discrepancy_id: str, entry: Entry) -> dict[str, Any]:
    """The row of a message that waits."""
    body = body_of_notice(entry.kind, entry.route, entry.notice, entry.reminder)
    return waiting_row(
        entry.key, entry.channel, entry.route, entry.kind, entry.language, body, entry.ready_us,
        (discrepancy_id, entry.occurrence),
    )  # fmt: skip


def waiting_row(
    key: str,
    channel: str,
    route: str,
    kind: str,
    language: str,
    body: Mapping[str, Any],
    ready_us: int,
    about: tuple[str, int] = ("", 0),
) -> dict[str, Any]:
    """A row of the outbox, not tried yet; a digest goes out even in a storm. `about` is the discrepancy and its occurrence, of a digest neither."""
    return {
        "key": key,
        "channel": channel,
        "route": route,
        "kind": kind,
        "language": language,
        "discrepancy_id": about[0],
        "occurrence": about[1],
        "body": dumps(body).decode(),
        "state": RETRYING if kind == DIGEST else WAITING,
        "ready_us": ready_us,
        "next_us": ready_us,
        "attempts": 0,
        "reason": "",
        "digest_key": "",
        "done_us": None,
    }
