"""Writes down what was planted, in the transaction that plants it, so that truth and books cannot part."""

from __future__ import annotations

from collections.abc import Iterable

from psycopg2.extensions import cursor as Cursor  # noqa: N812  # a class, whatever its name looks like

from trueup.upstream.plan import Fault, Trap


def record_faults(cursor: Cursor, faults: Iterable[Fault]) -> int:
    """Write the faults with the findings they must lead to; returns how many they were."""
    count = 0
    for fault in faults:
        count += 1
        cursor.execute(
            "INSERT INTO truth.fault (fault_id, kind, note) VALUES (%s, %s, %s)",
            (fault.fault_id, fault.kind, fault.note),
        )
        for expected in fault.expected:
            cursor.execute(
                "INSERT INTO truth.expected (fault_id, rule, entity_kind, entity_id, delta_minor, currency, must_stay_open)"
                " VALUES (%s, %s, %s, %s, %s, %s, true)",
                (
                    fault.fault_id,
                    expected.rule,
                    expected.entity_kind,
                    str(expected.entity_id),
                    expected.delta_minor,
                    expected.currency,
                ),
            )
    return count


def record_traps(cursor: Cursor, traps: Iterable[Trap]) -> int:
    """Write the traps; returns how many rows they were."""
    count = 0
    for trap in traps:
        count += 1
        cursor.execute(
            "INSERT INTO truth.trap (trap_id, kind, note, rule, entity_kind, entity_id, expectation)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s)",
            (*trap[:5], str(trap.entity_id), trap.expectation),
        )
    return count
