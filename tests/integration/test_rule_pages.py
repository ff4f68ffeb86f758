"""Every query of docs/rules runs on the real engine, as an analyst, and shows the rows of the page's own example."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from clickhouse_connect.driver.client import Client

from clickhouse.columns import mirror_row, to_arrow
from clickhouse.migrate import migrate
from clickhouse.schema import DISCREPANCY, DISCREPANCY_EVENT, MIRRORS
from reconcile.finding import Finding
from reconcile.lifecycle import Case, discrepancy_id
from reconcile.settlement import rule_classes
from streams.messages import CaseStep, TopicNames
from streams.output import Output
from tests.integration.clickhouse_books import Server, running_server
from tests.rule_examples import RuleExample, rule_examples
from tests.rule_pages import INDEX, PAGES, queries_of
from tests.source_log import START_US, changes_of
from trueup.model.registers import PartialVersion

pytestmark = pytest.mark.integration
DATABASE = "trueup"
EXAMPLES = rule_examples()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("clickhouse")) as running:
        client = running.client()
        migrate(client, DATABASE)
        client.close()
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = server.client()
    for definition in (*MIRRORS.values(), DISCREPANCY, DISCREPANCY_EVENT):
        client.command(f"TRUNCATE TABLE {DATABASE}.{definition.name}")
    yield client
    client.close()


def write(client: Client, example: RuleExample) -> None:
    """The example's rows as the mirrors of a worker have them."""
    for change in changes_of(example.log):
        definition = MIRRORS[change.table.name]
        client.insert_arrow(definition.name, to_arrow(definition, [mirror_row(change)]), database=DATABASE)


def raise_case(client: Client, rule: str) -> Case:
    """One open discrepancy of a rule, and its history."""
    finding = Finding(
        rule, "order", 1, START_US, "", 800, 900, "USD", 9, 1, "created -> completed is no allowed step", ()
    )
    case = Case(finding, "open", 1, START_US, START_US, None, START_US, START_US, "fee-left-out", "the order's fee")
    output = Output("orders", lambda *_: None, TopicNames("public"), lambda: START_US)
    output.case_changed(0, CaseStep(case, 1, 0), PartialVersion(1, 1))
    for table, rows in output.take_rows({0: 1}).items():
        definition = {DISCREPANCY.name: DISCREPANCY, DISCREPANCY_EVENT.name: DISCREPANCY_EVENT}[table]
        client.insert_arrow(table, to_arrow(definition, rows), database=DATABASE)
    return case


@pytest.mark.parametrize("rule", PAGES)
def test_the_queries_of_a_page_show_its_example(rule: str, server: Server, client: Client) -> None:
    write(client, EXAMPLES[rule])
    if rule in rule_classes():
        raise_case(client, rule)
    with server.analyst() as analyst:
        for query, entity_id in zip(queries_of(PAGES[rule]), EXAMPLES[rule].entity_ids, strict=True):
            found = analyst.query(query, parameters={"id": str(entity_id)})
            assert found.row_count > 0, query
            assert [name for name in found.column_names if "." in name] == []


FIGURES = {
    "missing-billing": {"net": "8"},
    "wrong-billing-amount": {"net": "8", "billed": "9", "delta": "1"},
    "silent-repair": {"net_now": "6", "billed": "8"},
    "late-item": {"seconds_late": "60"},
    "wrong-payout-amount": {"paid": "8.01", "billed": "8", "delta": "0.01"},
    "wrong-payout-total": {"payout": "8.01", "lines": "2", "line_total": "8"},
    "statement-drift": {"items": "2", "amount": "7", "total": "8", "delta": "-1"},
    "orphan-statement": {"items": "1", "total": "8"},
    "rule-violation": {"amount": "8", "payment_threshold": "50"},
    "funding-short": {"released": "108", "funded": "100"},
    "release-mismatch": {"amount": "90", "payouts": "1", "payouts_amount": "100"},
}
"""What the first query of a page shows of the example that the page tells."""


@pytest.mark.parametrize("rule", FIGURES)
def test_the_figures_of_a_page_are_true(rule: str, server: Server, client: Client) -> None:
    write(client, EXAMPLES[rule])
    with server.analyst() as analyst:
        found = analyst.query(queries_of(PAGES[rule])[0], parameters={"id": str(EXAMPLES[rule].entity_ids[0])})
        (row,) = found.named_results()
    assert {name: Decimal(str(row[name])) for name in FIGURES[rule]} == {
        name: Decimal(figure) for name, figure in FIGURES[rule].items()
    }


def test_the_queries_of_the_index_show_what_is_open(server: Server, client: Client) -> None:
    case = raise_case(client, "wrong-billing-amount")
    with server.analyst() as analyst:
        by_cause, by_rule, history = queries_of(INDEX)
        (counted,) = analyst.query(by_cause).named_results()
        assert (counted["rule"], counted["cause"], counted["cases"], str(counted["delta"])) == (
            "wrong-billing-amount", "fee-left-out", 1, "1.0000",
        )  # fmt: skip
        (shown,) = analyst.query(by_rule, parameters={"rule": case.finding.rule}).named_results()
        assert (shown["entity_id"], shown["cause_detail"]) == ("1", case.cause_detail)
        identifier = discrepancy_id(case.key, 1)
        (step,) = analyst.query(history, parameters={"id": identifier}).named_results()
        assert step["status"] == "open"
