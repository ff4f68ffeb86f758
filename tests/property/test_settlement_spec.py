"""The compiled settlement spec says, to the last word, what the rules written by hand say, whatever is in the books."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.hand_order_rules import judge_order, view_order
from reconcile.finding import Finding
from reconcile.settlement import settlement_rules, shipped_settlement
from reconcile.spec.model import Tolerances
from reconcile.statement_view import view_statement
from streams.merge import merge
from tests.hand_statement_rules import judge_statement
from tests.histories import PartialSpec, Step, happened, partials, steps
from tests.source_log import SECOND_US, SOURCE, changes_of
from trueup.model.change import Change
from trueup.model.registers import OrderBooks, StatementBooks

THOROUGH = settings(max_examples=settings().max_examples * 4)
STATUSES = (
    ("orders", "paid"), ("orders", "completed"), ("billing_item", "failed"), ("billing_item", "paid"),
    ("statement", "open"), ("statement", "paid"), ("payout", "ongoing"), ("payout", "created"),
)  # fmt: skip
TOLERANCES = st.builds(
    Tolerances,
    st.integers(0, 20 * SECOND_US),
    st.dictionaries(st.sampled_from(STATUSES), st.integers(0, 30 * SECOND_US)),
    st.none(),
)


def in_order(findings: list[Finding]) -> list[Finding]:
    """By rule and entity; findings of one rule about one entity stay as they are, because the first one counts."""
    return sorted(findings, key=lambda one: (one.rule, one.entity_kind, str(one.entity_id)))


def changes_in_any_order(what: list[Step], data: st.DataObject) -> list[Change]:
    changes = changes_of(happened(what))
    return list(data.draw(st.permutations(changes))) if data.draw(st.booleans()) else changes


PAID_OUT: list[Step] = [
    ("put", "orders", SOURCE, {"order_id": 1}),
    ("put", "billing_item", SOURCE, {"billing_item_id": 1}),
    ("tick", "", "", {}),
    ("put", "payout_item", SOURCE, {"payout_item_id": 1}),
    ("put", "billing_item", SOURCE, {"billing_item_id": 1, "status": "paid"}),
    ("tick", "", "", {}),
]
"""An order from which every fault is one step away."""


@THOROUGH
@given(st.sampled_from(([], PAID_OUT)), steps("orders", "billing_item", "payout_item"), TOLERANCES, st.data())
def test_orders(before: list[Step], what: list[Step], tolerances: Tolerances, data: st.DataObject) -> None:
    rules = settlement_rules(shipped_settlement(), tolerances)
    books: dict[object, OrderBooks] = {}
    for change in changes_in_any_order(before + what, data):
        merge(books.setdefault(change.key, OrderBooks(change.key)), change)
    for one in books.values():
        assert in_order(rules.judge_order(one)) == in_order(judge_order(view_order(one, tolerances)))


@THOROUGH
@given(steps("statement", "payout"), partials(), TOLERANCES, st.data())
def test_statements(what: list[Step], sent: list[PartialSpec], tolerances: Tolerances, data: st.DataObject) -> None:
    rules = settlement_rules(shipped_settlement(), tolerances)
    books: dict[object, StatementBooks] = {}
    for change in changes_in_any_order(what, data):
        merge(books.setdefault(change.key, StatementBooks(change.key)), change)
    for spec in sent:
        if spec.statement_id is not None:
            held = books.setdefault(spec.statement_id, StatementBooks(spec.statement_id))
            held.partials[spec.partition] = spec.partial
        elif spec.payout_id is not None:
            for held in books.values():
                held.strays[spec.payout_id, spec.partition] = spec.partial
    for one in books.values():
        assert in_order(rules.judge_statement(view_statement(one))) == in_order(judge_statement(one, tolerances))
