"""Knows the answer: running totals and open findings from the source database alone, by SQL that shares no code with rules.

Every function reads one snapshot, changes nothing, and leaves no transaction open that it did not find open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

import orjson
from psycopg2.extensions import TRANSACTION_STATUS_IDLE
from psycopg2.extensions import connection as Connection  # noqa: N812  # a class, whatever its name looks like

from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS, minor_units
from trueup.model.tables import TABLES
from trueup.upstream.audit_sql import EXPECTED_FINDINGS, TOTALS

WATCHED_TABLES: Final = ("orders", "billing_item", "statement", "payout")
"""Tables that know since when a row is in its state."""


class StatementTotal(NamedTuple):
    """Running total of one statement in one currency: its items, whatever their status."""

    statement_id: int
    currency: str
    item_count: int
    amount_minor: int


class ExpectedFinding(NamedTuple):
    """A finding that must be open; amounts and their currency are None where the rule compares none."""

    rule: str
    entity_kind: str
    entity_id: str
    expected_minor: int | None
    actual_minor: int | None
    currency: str | None


class PlantedExpectation(NamedTuple):
    """A finding that a planted fault must lead to; `delta_minor` = actual − expected, None without amounts."""

    rule: str
    entity_kind: str
    entity_id: str
    delta_minor: int | None
    currency: str | None
    must_stay_open: bool


class PlantedFault(NamedTuple):
    """A planted fault with its primary findings; findings that follow from it are left to `expected_findings`."""

    fault_id: str
    kind: str
    planted_at: datetime
    note: str
    expected: tuple[PlantedExpectation, ...]


class PlantedTrap(NamedTuple):
    """What must not stay open; `expectation` is `never-raised` or `raised-then-resolved`.

    A watcher that lags so far that it reads the late item before it knows that the item was due need not raise it.
    """

    trap_id: str
    kind: str
    note: str
    rule: str
    entity_kind: str
    entity_id: str
    expectation: str


def totals(connection: Connection) -> list[StatementTotal]:
    """Running totals by statement and currency, in that order."""
    return [
        StatementTotal(statement_id, currency, item_count, minor_units(amount, currency))
        for statement_id, currency, item_count, amount in _query(connection, TOTALS)
    ]


def expected_findings(
    connection: Connection, grace_seconds: float, stuck_seconds: Mapping[str, float]
) -> set[ExpectedFinding]:
    """The findings that must be open at the database's present time.

    Args:
        connection: to the source database, at rest.
        grace_seconds: how long a leg may be late.
        stuck_seconds: `table.status` → how long a row may stay in the status.

    Raises:
        ConfigurationError: a limit names a table that does not know how long its rows are in a state.
    """
    unknown = sorted(state for state in stuck_seconds if state.partition(".")[0] not in WATCHED_TABLES)
    if unknown:
        raise ConfigurationError(
            f"no time limit can be watched for {', '.join(unknown)}", remedy=f"use {', '.join(WATCHED_TABLES)}"
        )
    rows = _query(
        connection,
        EXPECTED_FINDINGS,
        {
            "grace": grace_seconds,
            "limits": orjson.dumps(dict(stuck_seconds)).decode(),
            "currencies": list(EXPONENTS),
            "factors": [Decimal(10**digits) for digits in EXPONENTS.values()],
        },
    )
    return {
        ExpectedFinding(rule, kind, str(entity_id), _minor(expected, currency), _minor(actual, currency), currency)
        for rule, kind, entity_id, expected, actual, currency in rows
    }


def planted(connection: Connection) -> list[PlantedFault]:
    """Every planted fault, in the order of planting."""
    rows = _query(
        connection,
        "SELECT f.fault_id, f.kind, f.planted_at, f.note, e.rule, e.entity_kind, e.entity_id, e.delta_minor, e.currency,"
        " e.must_stay_open FROM truth.fault f JOIN truth.expected e ON e.fault_id = f.fault_id"
        " ORDER BY f.planted_at, f.fault_id, e.rule, e.entity_kind, e.entity_id",
    )
    expected: defaultdict[tuple[str, str, datetime, str], list[PlantedExpectation]] = defaultdict(list)
    for fault_id, kind, planted_at, note, rule, entity_kind, entity_id, delta, currency, must_stay_open in rows:
        delta_minor = None if delta is None else int(delta)
        expected[fault_id, kind, planted_at, note].append(
            PlantedExpectation(rule, entity_kind, entity_id, delta_minor, currency, must_stay_open)
        )
    return [PlantedFault(*fault, tuple(findings)) for fault, findings in expected.items()]


def traps(connection: Connection) -> list[PlantedTrap]:
    """Every trap that was set."""
    rows = _query(
        connection,
        "SELECT trap_id, kind, note, rule, entity_kind, entity_id, expectation FROM truth.trap"
        " ORDER BY trap_id, rule, entity_kind, entity_id",
    )
    return [PlantedTrap(*row) for row in rows]


def row_counts(connection: Connection) -> dict[str, int]:
    """How many rows each source table has, by table name."""
    counts = " UNION ALL ".join(f"SELECT '{name}', count(*) FROM public.{name}" for name in TABLES)
    return dict(_query(connection, counts))


def primary_keys(connection: Connection) -> set[tuple[str, int]]:
    """(table, primary key) of every row of every source table."""
    keys = " UNION ALL ".join(
        f"SELECT '{name}', {table.primary_key} FROM public.{name}" for name, table in TABLES.items()
    )
    return set(_query(connection, keys))


def _minor(amount: Decimal | int | None, currency: str | None) -> int | None:
    return None if amount is None or currency is None else minor_units(amount, currency)


def _query(connection: Connection, statement: str, arguments: Mapping[str, object] | None = None) -> list[Any]:
    was_idle = connection.info.transaction_status == TRANSACTION_STATUS_IDLE
    with connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        rows = cursor.fetchall()
    if was_idle and not connection.autocommit:
        connection.rollback()
    return rows
