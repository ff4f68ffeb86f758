"""Reminders: what is still open and that nobody deals with is told again, at growing distances."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Final

from sqlalchemy import Engine, func, select

from dashboards.alerts.decide import Told, on_reminder
from dashboards.alerts.declared import DeclaredAlerts
from dashboards.alerts.notice import Notice
from dashboards.alerts.rows import told_of, write_decisions
from dashboards.alerts.tables import CASES, TOLD
from dashboards.store import reads
from streams.codec import loads

CASES_MAX: Final = 400
"""Cases of one look: their ids must fit one query."""

UNTOUCHED: Final = frozenset({"open", "regressed"})
"""Standings of cases that nobody deals with."""

ReadStandings = Callable[[Collection[str]], Mapping[str, str]]
"""Ids → where each stands; those that are not known yet are missing."""


def due_reminders(store: Engine, now_us: int) -> list[str]:
    """The discrepancies of which a reminder is due, the longest due first."""
    wanted = (
        select(TOLD.c.discrepancy_id)
        .where(TOLD.c.remind_us <= now_us)
        .group_by(TOLD.c.discrepancy_id)
        .order_by(func.min(TOLD.c.remind_us), TOLD.c.discrepancy_id)
        .limit(CASES_MAX)
    )
    with reads(store).connect() as connection:
        return list(connection.scalars(wanted))


def remind(
    store: Engine, alerts: DeclaredAlerts, ids: Collection[str], standings: Mapping[str, str], now_us: int
) -> int:
    """Put the reminders that are due for these discrepancies in the outbox; how many.

    A case that somebody has acknowledged, was given, lets rest or wants to accept is not reminded of; it is looked at again
    after the same distance, because a decision may lapse. So is one whose standing is not known yet.
    """
    made = 0
    with store.begin() as connection:
        notices = {
            row.discrepancy_id: Notice.of(loads(row.notice.encode()))
            for row in connection.execute(
                select(CASES.c.discrepancy_id, CASES.c.notice).where(CASES.c.discrepancy_id.in_(list(ids)))
            )
        }
        for identifier, told in told_of(connection, list(ids)).items():
            is_quiet = standings.get(identifier) not in UNTOUCHED
            for one in filter(lambda one: _is_due(one, now_us), told):
                decision = on_reminder(alerts, notices[identifier], one, is_quiet=is_quiet, now_us=now_us)
                write_decisions(connection, {identifier: decision})
                made += len(decision.entries)
    return made


def _is_due(told: Told, now_us: int) -> bool:
    return told.remind_us is not None and told.remind_us <= now_us and not told.is_over
