"""The outbox: which message of a channel goes next, what came of it, storms, and what was given up."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Engine, Exists, Select, delete, exists, func, insert, select, update

from dashboards.alerts.channels.exchange import AGAIN, ARRIVED, Outcome
from dashboards.alerts.declared import DeclaredChannel
from dashboards.alerts.digest import Member, digest_of
from dashboards.alerts.message import body_of_digest
from dashboards.alerts.notice import Notice
from dashboards.alerts.pace import retry_delay_us
from dashboards.alerts.rows import upsert, waiting_row
from dashboards.alerts.storm import Storm, turn_of
from dashboards.alerts.tables import CASES, OUTBOX, STORMS, TOLD
from dashboards.alerts.vocabulary import (
    DEAD,
    DIGEST,
    DIGESTED,
    DROPPED,
    RETRYING,
    SENDING,
    SENT,
    SUPERSEDED,
    WAITING,
)
from dashboards.store import reads
from streams.codec import loads

DIGEST_ROWS_MAX: Final = 50_000
"""Alerts of one digest; what is more comes in the next one."""

KEPT_US: Final = 30 * 86_400_000_000
"""How long messages that are done are kept, so that people can look them up."""

CASE_KEPT_US: Final = 90 * 86_400_000_000
"""How long a case that is over is kept. If it is raised again later, that is another occurrence."""

SWEPT_ROWS_MAX: Final = 5_000
_WAITING: Final = (WAITING, RETRYING)


class Letter(NamedTuple):
    """A message that is being sent; `attempts` were made before."""

    number: int
    key: str
    kind: str
    language: str
    body: dict[str, Any]
    attempts: int


class DeadLetter(NamedTuple):
    """A message that was given up, with the reason."""

    number: int
    key: str
    channel: str
    route: str
    kind: str
    discrepancy_id: str
    attempts: int
    reason: str
    done_us: int


def recover(store: Engine, now_us: int) -> int:
    """Messages that were being sent when the process ended go again, with their keys; how many there were."""
    with store.begin() as connection:
        changed = connection.execute(
            update(OUTBOX)
            .where(OUTBOX.c.state == SENDING)
            .values(
                state=RETRYING,
                attempts=OUTBOX.c.attempts + 1,
                next_us=now_us,
                reason="the process ended while it was sent",
            )
        )
        return changed.rowcount


def forget_channels(store: Engine, known: Collection[str], now_us: int) -> int:
    """Give up what waits for channels that are no longer in the file; how much that was."""
    with store.begin() as connection:
        changed = connection.execute(
            update(OUTBOX)
            .where(OUTBOX.c.state.in_(_WAITING), OUTBOX.c.channel.not_in(list(known)))
            .values(state=DEAD, reason="the channel is no longer in the file of alerts", done_us=now_us)
        )
        return changed.rowcount


def is_idle(store: Engine, channel: str, now_us: int) -> bool:
    """Whether the channel has nothing to do now; asked without keeping anybody from writing."""
    with reads(store).connect() as connection:
        due = select(OUTBOX.c.number).where(*_due(channel, now_us)).limit(1)
        storm = select(STORMS.c.channel).where(STORMS.c.channel == channel, STORMS.c.digest_us <= now_us)
        return connection.execute(due).first() is None and connection.execute(storm).first() is None


def claim(store: Engine, channel: DeclaredChannel, now_us: int) -> Letter | None:
    """The next message of a channel, marked as being sent; storms begin, give digests and end here."""
    with store.begin() as connection:
        storm = _weather(connection, channel, now_us)
        states = _WAITING if storm is None else (RETRYING,)
        wanted = select(OUTBOX).where(*_due(channel.name, now_us, states))
        row = connection.execute(
            wanted.where(~_has_earlier()).order_by(OUTBOX.c.next_us, OUTBOX.c.number).limit(1)
        ).first()
        if row is None:
            return None
        connection.execute(update(OUTBOX).where(OUTBOX.c.number == row.number).values(state=SENDING))
        return Letter(row.number, row.key, row.kind, row.language, loads(row.body.encode()), row.attempts)


def finish(store: Engine, letter: Letter, outcome: Outcome, now_us: int, random: Callable[[], float]) -> str:
    """Write down what came of a message; the state it is in now: sent, waiting or dead."""
    attempts = letter.attempts + 1
    values: dict[str, Any] = {"attempts": attempts, "reason": outcome.reason}
    delay_us = retry_delay_us(attempts, random, outcome.retry_after_us) if outcome.state == AGAIN else None
    if outcome.state == ARRIVED:
        values |= {"state": SENT, "done_us": now_us}
    elif delay_us is not None:
        values |= {"state": RETRYING, "next_us": now_us + delay_us}
    else:
        values |= {"state": DEAD, "done_us": now_us}
    with store.begin() as connection:
        connection.execute(update(OUTBOX).where(OUTBOX.c.number == letter.number).values(values))
    return str(values["state"])


def dead_letters(store: Engine, rows_max: int) -> list[DeadLetter]:
    """What was given up, the newest first."""
    columns = [OUTBOX.c[name] for name in DeadLetter._fields]
    wanted = select(*columns).where(OUTBOX.c.state == DEAD).order_by(OUTBOX.c.number.desc()).limit(rows_max)
    with reads(store).connect() as connection:
        return [DeadLetter._make(row) for row in connection.execute(wanted)]


def retry_dead(store: Engine, numbers: Collection[int] | None, now_us: int) -> int:
    """Send again what was given up, all of it or these; how many there were."""
    return _change_dead(store, numbers, {"state": RETRYING, "attempts": 1, "next_us": now_us, "done_us": None})


def drop_dead(store: Engine, numbers: Collection[int] | None, now_us: int) -> int:
    """Put away what was given up, all of it or these; how many there were."""
    return _change_dead(store, numbers, {"state": DROPPED, "done_us": now_us})


def counts(store: Engine) -> dict[tuple[str, str], int]:
    """(channel, state) → messages, of those that are not done."""
    wanted = (
        select(OUTBOX.c.channel, OUTBOX.c.state, func.count())
        .where(OUTBOX.c.state.in_([*_WAITING, SENDING, DEAD]))
        .group_by(OUTBOX.c.channel, OUTBOX.c.state)
    )
    with reads(store).connect() as connection:
        return {(channel, state): count for channel, state, count in connection.execute(wanted)}


def storms(store: Engine) -> dict[str, Storm]:
    """Channel → its storm, of those that are in one."""
    with reads(store).connect() as connection:
        return {row.channel: Storm(row.since_us, row.digest_us) for row in connection.execute(select(STORMS))}


def sweep(store: Engine, now_us: int) -> int:
    """Forget messages that were done and cases that were over long ago, a bounded number at a time; how many."""
    old = (
        select(OUTBOX.c.number)
        .where(OUTBOX.c.state.in_([SENT, DIGESTED, SUPERSEDED, DROPPED]), OUTBOX.c.ready_us < now_us - KEPT_US)
        .limit(SWEPT_ROWS_MAX)
    )
    with store.begin() as connection:
        numbers = list(connection.scalars(old))
        connection.execute(delete(OUTBOX).where(OUTBOX.c.number.in_(numbers)))
        closed = select(CASES.c.discrepancy_id).where(
            CASES.c.is_open.is_(False), CASES.c.updated_us < now_us - CASE_KEPT_US
        )
        ids = list(connection.scalars(closed.limit(SWEPT_ROWS_MAX)))
        for table in (TOLD, CASES):
            connection.execute(delete(table).where(table.c.discrepancy_id.in_(ids)))
    return len(numbers) + len(ids)


def _has_earlier() -> Exists:
    """Whether an earlier message of the same channel about the same discrepancy is still under way: none overtakes it."""
    earlier = OUTBOX.alias()
    return exists().where(
        OUTBOX.c.kind != DIGEST,
        earlier.c.discrepancy_id == OUTBOX.c.discrepancy_id,
        earlier.c.channel == OUTBOX.c.channel,
        earlier.c.state.in_([*_WAITING, SENDING]),
        earlier.c.number < OUTBOX.c.number,
    )


def _due(channel: str, now_us: int, states: Collection[str] = _WAITING) -> tuple[Any, ...]:
    return OUTBOX.c.state.in_(states), OUTBOX.c.channel == channel, OUTBOX.c.next_us <= now_us


def _weather(connection: Connection, channel: DeclaredChannel, now_us: int) -> Storm | None:
    """The channel's storm after what is due was looked at; makes the digests that are due."""
    row = connection.execute(select(STORMS).where(STORMS.c.channel == channel.name)).first()
    storm = None if row is None else Storm(row.since_us, row.digest_us)
    turn = turn_of(storm, _recent(connection, channel, now_us), channel.digest_above, channel.digest_every, now_us)
    if turn.digest_now:
        while _make_digest(connection, channel.name, now_us):
            pass
    if turn.storm != storm:
        if turn.storm is None:
            connection.execute(delete(STORMS).where(STORMS.c.channel == channel.name))
        else:
            upsert(connection, STORMS, [{"channel": channel.name, **turn.storm._asdict()}])
    return turn.storm


def _recent(connection: Connection, channel: DeclaredChannel, now_us: int) -> int:
    """Alerts that came up within the channel's span, counted no further than needed."""
    wanted = (
        select(OUTBOX.c.number)
        .where(
            OUTBOX.c.channel == channel.name,
            OUTBOX.c.ready_us > now_us - channel.digest_within,
            OUTBOX.c.ready_us <= now_us,
            OUTBOX.c.kind != DIGEST,
            OUTBOX.c.state != SUPERSEDED,
        )
        .limit(channel.digest_above + 1)
    )
    return connection.scalar(select(func.count()).select_from(wanted.subquery())) or 0


def _make_digest(connection: Connection, channel: str, now_us: int) -> bool:
    """Put what waits for the channel, in one language, into a digest; False when nothing waits."""
    waiting = _due(channel, now_us, (WAITING,))
    first = connection.execute(
        select(OUTBOX.c.number, OUTBOX.c.language).where(*waiting).order_by(OUTBOX.c.number).limit(1)
    ).first()
    if first is None:
        return False
    wanted: Select[Any] = (
        select(OUTBOX.c.number, OUTBOX.c.kind, OUTBOX.c.body)
        .where(*waiting, OUTBOX.c.language == first.language)
        .order_by(OUTBOX.c.number)
        .limit(DIGEST_ROWS_MAX)
    )
    rows = connection.execute(wanted).all()
    digest = digest_of(Member(row.kind, Notice.of(loads(row.body.encode())["notice"])) for row in rows)
    last = rows[-1].number
    key = f"{DIGEST}:{channel}:{first.number}-{last}"
    connection.execute(
        update(OUTBOX)
        .where(*waiting, OUTBOX.c.language == first.language, OUTBOX.c.number <= last)
        .values(state=DIGESTED, digest_key=key, done_us=now_us)
    )
    row = waiting_row(key, channel, "", DIGEST, first.language, body_of_digest(digest), now_us)
    connection.execute(insert(OUTBOX), [row])
    return True


def _change_dead(store: Engine, numbers: Collection[int] | None, values: dict[str, Any]) -> int:
    chosen = update(OUTBOX).where(OUTBOX.c.state == DEAD)
    if numbers is not None:
        chosen = chosen.where(OUTBOX.c.number.in_(list(numbers)))
    with store.begin() as connection:
        return connection.execute(chosen.values(values)).rowcount
