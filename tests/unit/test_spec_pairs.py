"""Pairs of two and three parties: voucher, ledger and what the bank says, each with its own key columns and counts."""

from __future__ import annotations

from typing import Any

from reconcile.finding import Finding
from reconcile.spec.load import read_spec
from reconcile.spec.model import Tolerances
from tests.spec_books import put
from trueup.model.registers import GroupBooks

LEG = """
[[group.leg]]
name = "{name}"
table = "{name}"
match = ["{key}"]
primary_key = "id"
columns = {{ id = "id", {key} = "text", amount = "money", currency = "currency" }}
"""
PRESENCE = """
[[group.rule]]
name = "{name}"
kind = "presence"
class = "one-sided"
leg = "{leg}"
in = "{other}"
direction = "{direction}"
cardinality = "{cardinality}"
grace = "0 s"
detail = "alone"
"""
SUM = """
[[group.rule]]
name = "{name}"
kind = "sum"
class = "wrong-amount"
when = "any({one}) and any({other})"
expected = "sum({one}, {one}.amount)"
actual = "sum({other}, {other}.amount)"
detail = "{{count({one})}} against {{count({other})}}"
"""
SPEC = "\n".join(
    [
        'name = "books"\nversion = 1\n[[group]]\nname = "document"\nkey = ["document"]',
        LEG.format(name="voucher", key="voucher_no"),
        LEG.format(name="ledger", key="document"),
        LEG.format(name="actual", key="reference"),
        PRESENCE.format(name="not-booked", leg="voucher", other="ledger", direction="short", cardinality="1:N"),
        PRESENCE.format(name="no-voucher", leg="ledger", other="voucher", direction="long", cardinality="N:1"),
        PRESENCE.format(name="not-received", leg="ledger", other="actual", direction="short", cardinality="N:M"),
        SUM.format(name="voucher-ledger", one="voucher", other="ledger"),
        SUM.format(name="ledger-actual", one="ledger", other="actual"),
    ]
)
Row = tuple[int, int]


def told(**rows: list[Row]) -> set[tuple[Any, ...]]:
    """(rule, entity kind, entity, expected, actual), from (id, minor units) of each leg."""
    (group,) = read_spec(SPEC, file="books.toml").groups
    books = GroupBooks(("D1",), [leg.name for leg in group.legs])
    for leg, values in rows.items():
        for identifier, amount_minor in values:
            put(books, group, leg, identifier, "D1", amount_minor, "EUR")
    return {_short(one) for one in group.judge(books, Tolerances(0, {}))}


def _short(one: Finding) -> tuple[Any, ...]:
    return one.rule, one.entity_kind, one.entity_id, one.expected_minor, one.actual_minor


def test_three_parties_that_agree() -> None:
    assert told(voucher=[(1, 300)], ledger=[(1, 100), (2, 200)], actual=[(7, 150), (8, 150)]) == set()


def test_what_one_party_lacks_is_told_for_each_row() -> None:
    assert told(voucher=[(1, 300)]) == {("not-booked", "books.voucher", 1, 300, 0)}
    assert told(ledger=[(1, 100), (2, 200)]) == {
        ("no-voucher", "books.ledger", 1, 0, 100),
        ("no-voucher", "books.ledger", 2, 0, 200),
        ("not-received", "books.ledger", 1, 100, 0),
        ("not-received", "books.ledger", 2, 200, 0),
    }


def test_each_pair_is_compared_by_itself() -> None:
    assert told(voucher=[(1, 300)], ledger=[(1, 100), (2, 199)], actual=[(7, 300)]) == {
        ("voucher-ledger", "books.document", "D1", 300, 299),
        ("ledger-actual", "books.document", "D1", 299, 300),
    }


def test_the_side_that_says_one_has_one_row() -> None:
    assert told(voucher=[(1, 100), (2, 200)], ledger=[(1, 300)], actual=[(7, 300)]) == {
        ("duplicate-voucher", "books.voucher", 2, 0, 200)
    }
