"""The reference settlement system on a real PostgreSQL: what it leaves behind, and that the auditor knows it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime
from itertools import count
from typing import Any

import psycopg2
import pytest
from psycopg2.extensions import connection as Connection  # noqa: N812
from psycopg2.extensions import make_dsn

from trueup.embedded.ports import free_port
from trueup.embedded.postgres import Postgres
from trueup.embedded.supervisor import Supervisor
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.tables import TABLES
from trueup.upstream import auditor, schema
from trueup.upstream.carrier import RUN_FAULT_KINDS
from trueup.upstream.faults import FAULT_KINDS
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.session import WorkloadProgress
from trueup.upstream.traps import record_stall_window
from trueup.upstream.workload import WorkloadResult, run

pytestmark = pytest.mark.integration

GRACE_SECONDS = 5.0
STUCK_SECONDS = {"payout.ongoing": 0.5, "orders.created": 0.5, "orders.paid": 0.5, "statement.confirmed": 0.5}
NUMBERS = count(1)

Finding = auditor.ExpectedFinding


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    postgres = Postgres(tmp_path_factory.mktemp("upstream"), free_port(), durable=False)
    supervisor = Supervisor(postgres.data_dir, [postgres.service()])
    supervisor.start()
    yield postgres.dsn()
    supervisor.stop()


def new_database(server: str) -> str:
    """A database with the empty schema; returns where it is."""
    name = f"settlement_{next(NUMBERS)}"
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f"CREATE DATABASE {name}")
    dsn = make_dsn(server, dbname=name)
    with closing(psycopg2.connect(dsn)) as connection:
        schema.create(connection)
    return dsn


@pytest.fixture
def dsn(server: str) -> str:
    return new_database(server)


@pytest.fixture
def connection(dsn: str) -> Iterator[Connection]:
    with closing(psycopg2.connect(dsn)) as connection:
        yield connection


@pytest.fixture(scope="module")
def faulty(server: str) -> tuple[str, WorkloadResult]:
    """A finished run with faults, older than all its due times; read only."""
    dsn = new_database(server)
    result = run(dsn, WorkloadPlan(2_000, seed=3, faults=True, grace_seconds=GRACE_SECONDS))
    time.sleep(GRACE_SECONDS + 0.5)
    return dsn, result


@pytest.fixture
def books(faulty: tuple[str, WorkloadResult]) -> Iterator[Connection]:
    with closing(psycopg2.connect(faulty[0])) as connection:
        yield connection


def query(connection: Connection, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, arguments)
        return cursor.fetchall() if cursor.description else []


def findings(connection: Connection, grace_seconds: float = GRACE_SECONDS) -> set[Finding]:
    return auditor.expected_findings(connection, grace_seconds, STUCK_SECONDS)


def test_the_schema_is_the_model(connection: Connection) -> None:
    schema.create(connection)
    for name, table in TABLES.items():
        columns = query(
            connection,
            "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s"
            " ORDER BY ordinal_position",
            name,
        )
        assert [column for (column,) in columns] == [column.name for column in table.columns]
        assert query(connection, "SELECT relreplident FROM pg_class WHERE oid = %s::regclass", f"public.{name}") == [
            ("f",)
        ]


def test_clean_business_ends_settled_and_without_findings(dsn: str, connection: Connection) -> None:
    seen: list[WorkloadProgress] = []
    result = run(dsn, WorkloadPlan(1_500, grace_seconds=0.0), seen.append)
    assert (result.orders, result.faults, result.traps, result.stopped) == (1_500, 0, 0, False)
    assert [each.changes for each in seen] == sorted(each.changes for each in seen)
    assert seen[-1].changes == result.changes
    assert findings(connection, 0.0) == set()
    assert query(connection, "SELECT DISTINCT status FROM statement UNION SELECT status FROM payout") == [("paid",)]
    assert query(connection, "SELECT DISTINCT status FROM billing_item") == [("paid",)]
    assert {status for (status,) in query(connection, "SELECT DISTINCT status FROM orders")} == {
        "completed",
        "refunded",
        "partially_refunded",
        "cancelled",
    }
    assert query(connection, "SELECT DISTINCT status FROM funding") == [("funded",)]
    assert query(connection, "SELECT DISTINCT status FROM release_summary") == [("released",)]
    assert query(
        connection,
        "SELECT payment_method, currency, sum(amount) FROM funding GROUP BY 1, 2 ORDER BY 1, 2",
    ) == query(connection, "SELECT payment_method, currency, sum(amount) FROM payout GROUP BY 1, 2 ORDER BY 1, 2")


def test_totals_are_those_of_upstream(dsn: str, connection: Connection) -> None:
    run(dsn, WorkloadPlan(500))
    totals = auditor.totals(connection)
    assert {(each.statement_id, each.currency, each.item_count) for each in totals} == set(
        query(connection, "SELECT statement_id, currency, item_count FROM statement")
    )
    first = totals[0]
    ((amount,),) = query(connection, "SELECT amount FROM statement WHERE statement_id = %s", first.statement_id)
    assert type(first.amount_minor) is int
    assert first.amount_minor == amount * 100
    assert sum(each.item_count for each in totals) == auditor.row_counts(connection)["billing_item"]


def test_every_planted_fault_is_expected(books: Connection, faulty: tuple[str, WorkloadResult]) -> None:
    found = {each[:3]: each for each in findings(books)}
    planted = auditor.planted(books)
    assert Counter(fault.kind for fault in planted) == dict.fromkeys(FAULT_KINDS, 3)
    assert len(planted) == faulty[1].faults
    for fault in planted:
        for expected in fault.expected:
            finding = found[expected[:3]]
            assert expected.must_stay_open
            assert (finding.currency is None) == (expected.delta_minor is None)
            if finding.actual_minor is not None and finding.expected_minor is not None:
                assert finding.actual_minor - finding.expected_minor == expected.delta_minor
                assert finding.currency == expected.currency


def test_nothing_else_is_expected_but_payouts_that_differ_with_a_fault(books: Connection) -> None:
    planted = {expected[:3] for fault in auditor.planted(books) for expected in fault.expected}
    others = {each for each in findings(books) if each[:3] not in planted}
    hosts = {
        entity_id
        for (entity_id,) in query(
            books,
            """
            SELECT p.payout_id::text FROM payout p JOIN payout_item l USING (payout_id) JOIN truth.expected e
              ON e.rule IN ('wrong-payout-amount', 'orphan-payout') AND e.entity_id = l.payout_item_id::text
            UNION SELECT p.payout_id::text FROM payout p JOIN billing_item b USING (statement_id) JOIN truth.expected e
              ON e.rule = 'missing-payout' AND e.entity_id = b.billing_item_id::text
            UNION SELECT p.payout_id::text FROM payout p JOIN truth.expected e
              ON e.rule = 'statement-drift' AND e.entity_id = p.statement_id::text
            """,
        )
    }
    assert {(each.rule, each.entity_id) for each in others} == {("wrong-payout-total", payout) for payout in hosts}
    assert len(hosts) == 4 * 3


def test_runs_are_expected_to_be_charged_as_agreed(dsn: str, connection: Connection) -> None:
    run(dsn, WorkloadPlan(2_000, seed=4, faults=True, traps=False, charging=True, grace_seconds=0.0))
    planted = [fault.expected[0] for fault in auditor.planted(connection) if fault.kind in RUN_FAULT_KINDS]
    found = {each[:3]: each for each in findings(connection, 0.0)}
    assert sorted(expected.rule for expected in planted) == ["silent-repair"] * 3 + ["wrong-charge"] * 3
    assert {key for key in found if key[0] == "wrong-charge"} <= {expected[:3] for expected in planted}
    for expected in planted:
        finding = found[expected[:3]]
        assert finding.actual_minor is not None
        assert finding.expected_minor is not None
        assert finding.actual_minor - finding.expected_minor == expected.delta_minor


def test_the_auditor_leaves_no_transaction_open(books: Connection) -> None:
    findings(books)
    auditor.totals(books)
    assert books.info.transaction_status == psycopg2.extensions.TRANSACTION_STATUS_IDLE


def test_traps_tell_what_really_happened(books: Connection) -> None:
    traps = auditor.traps(books)
    assert Counter(trap.kind for trap in traps) == {"late-within-grace": 3, "late-beyond-grace": 3, "rolled-back": 6}
    raised = {each[:3] for each in findings(books)}
    for trap in traps:
        assert (trap.rule, trap.entity_kind, trap.entity_id) not in raised
        delays = query(
            books,
            "SELECT extract(epoch FROM b.created_at - o.completed_at) FROM orders o JOIN billing_item b USING (order_id)"
            " WHERE order_id = %s AND b.kind = 'sale'",
            int(trap.entity_id),
        )
        if trap.kind == "late-beyond-grace":
            assert trap.expectation == "raised-then-resolved"
            assert delays[0][0] > GRACE_SECONDS + 1
        else:
            assert trap.expectation == "never-raised"
            assert not delays or delays[0][0] < GRACE_SECONDS


def test_a_finding_falls_due_with_the_grace(books: Connection) -> None:
    due_later = {"missing-billing", "orphan-billing", "missing-payout", "orphan-payout", "status-mismatch"}
    rules = {each.rule for each in findings(books)}
    assert rules - {each.rule for each in findings(books, 3_600)} == due_later
    assert "stuck" not in {each.rule for each in auditor.expected_findings(books, 0, {"payout.ongoing": 3_600})}


def test_a_limit_that_cannot_be_watched_is_refused(books: Connection) -> None:
    with pytest.raises(ConfigurationError, match=r"funding\.created"):
        auditor.expected_findings(books, 0, {"funding.created": 1})


def test_findings_by_hand_have_exact_amounts(dsn: str, connection: Connection) -> None:
    """Faults beyond the planted ones, each changed by one statement in clean books."""
    run(dsn, WorkloadPlan(300, shops=4))
    ((line_id, item_id),) = query(
        connection, "SELECT payout_item_id, billing_item_id FROM payout_item ORDER BY 1 LIMIT 1"
    )
    ((lost_id,),) = query(connection, "SELECT max(statement_id) FROM statement")
    query(connection, "UPDATE payout_item SET currency = 'CHF' WHERE payout_item_id = %s", line_id)
    query(connection, "DELETE FROM statement WHERE statement_id = %s", lost_id)
    total = next(each for each in auditor.totals(connection) if each.statement_id == lost_id)
    found = findings(connection, 0.0)
    assert Finding("currency-mismatch", "payout_item", str(line_id), None, None, None) in found
    assert Finding("orphan-statement", "statement", str(lost_id), 0, total.amount_minor, total.currency) in found
    assert {each.rule for each in found} == {"currency-mismatch", "orphan-statement", "wrong-payout-total"}
    query(connection, "UPDATE payout SET status = 'paid'")
    query(connection, "UPDATE billing_item SET status = 'statemented' WHERE billing_item_id = %s", item_id)
    assert ("status-mismatch", "payout") in {each[:2] for each in findings(connection, 0.0)}


CONTENT = """
SELECT 'order', order_id, shop_id, currency, gross_amount, fee_amount, status FROM orders
UNION ALL
SELECT 'item', billing_item_id, order_id, currency, amount, statement_id, status || kind FROM billing_item
UNION ALL
SELECT 'line', payout_item_id, order_id, currency, amount, payout_id, NULL FROM payout_item
UNION ALL
SELECT 'statement', statement_id, shop_id, currency, amount, item_count, status FROM statement
UNION ALL
SELECT 'payout', payout_id, shop_id, currency, amount, statement_id, status FROM payout
ORDER BY 1, 2
"""


def test_a_seed_decides_what_is_in_the_database(server: str) -> None:
    contents = []
    for connections, seed in ((2, 8), (3, 8), (2, 9)):
        dsn = new_database(server)
        run(dsn, WorkloadPlan(400, seed=seed, connections=connections))
        with closing(psycopg2.connect(dsn)) as connection:
            contents.append(query(connection, CONTENT))
    assert contents[0] == contents[1]
    assert contents[0] != contents[2]


def test_runs_follow_each_other_in_one_database(dsn: str, connection: Connection) -> None:
    first = run(dsn, WorkloadPlan(200))
    second = run(dsn, WorkloadPlan(200))
    assert (first.orders, second.orders) == (200, 200)
    keys = auditor.primary_keys(connection)
    counts = auditor.row_counts(connection)
    assert counts["orders"] == 400
    assert Counter(table for table, _ in keys) == counts
    assert findings(connection, 0.0) == set()


def test_the_rate_is_held(dsn: str) -> None:
    result = run(dsn, WorkloadPlan(300, rate_per_second=500, connections=2))
    assert 500 * 0.5 < result.changes / result.elapsed_seconds < 500 * 1.15


def test_a_stopped_run_leaves_books_that_agree(dsn: str, connection: Connection) -> None:
    stop = threading.Event()

    def watch(progress: WorkloadProgress) -> None:
        if progress.orders > 700:
            stop.set()

    plan = WorkloadPlan(4_000, faults=True, grace_seconds=3_600, fault_copies=1)
    result = run(dsn, plan, watch, stop)
    assert result.stopped
    assert 700 < result.orders < 4_000
    planted = {expected[:3] for fault in auditor.planted(connection) for expected in fault.expected}
    found = {each[:3] for each in auditor.expected_findings(connection, 0.0, {})}
    assert {rule for rule, _, _ in found - planted} <= {"wrong-payout-total"}
    assert not {trap[3:6] for trap in auditor.traps(connection)} & found


def test_orders_of_a_stall_are_recorded(dsn: str, connection: Connection) -> None:
    ((began_at,),) = query(connection, "SELECT clock_timestamp()")
    run(dsn, WorkloadPlan(300))
    ((ended_at,),) = query(connection, "SELECT clock_timestamp()")
    assert isinstance(began_at, datetime)
    recorded = record_stall_window(connection, began_at, ended_at, 300.0, "first")
    assert recorded == 200
    assert {(trap.kind, trap.rule, trap.expectation) for trap in auditor.traps(connection)} == {
        ("source-stalled", "missing-billing", "never-raised")
    }
    assert record_stall_window(connection, ended_at, ended_at, 300.0, "second") == 0


def test_a_database_that_is_not_ready_is_told(server: str) -> None:
    with pytest.raises(ConfigurationError, match="create the schema"):
        run(server, WorkloadPlan(10))
    with pytest.raises(UnavailableError):
        run(make_dsn(server, port=free_port()), WorkloadPlan(10))
