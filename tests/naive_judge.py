"""The findings that `docs/rules.md` asks for, computed from final rows and their history: slow, small, obviously right.

For one source whose grace and time limits have all passed. Shares no code with the rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from tests.source_log import Row, SourceLog, Version
from trueup.model.tables import Id

Expected = tuple[tuple[str, str, Id], int | None, int | None, str]
"""(rule, entity kind, entity id), expected, actual, currency ("" where no amounts are compared)."""

FACTORS = {"USD": 100, "JPY": 1, "KWD": 1000}
"""Minor units of a major unit."""
BILLED = {"completed", "refunded", "partially_refunded"}
REFUNDED = {"refunded", "partially_refunded"}
KINDS = {"orders": "order"}
STEPS = {
    "orders": "created>paid paid>completed completed>refunded completed>partially_refunded created>cancelled",
    "billing_item": "statemented>paid statemented>failed failed>statemented",
    "statement": "open>closed closed>confirmed confirmed>paying paying>paid paying>failed",
    "payout": "created>ongoing ongoing>paid ongoing>failed ongoing>failed_no_retry failed>created",
}


def minor(row: Row, column: str = "amount") -> int:
    """An amount of the row in minor units of its currency."""
    number = Fraction(row[column]) * FACTORS[row["currency"]]
    assert number.denominator == 1
    return number.numerator


def net(order: Row) -> int:
    return minor(order, "gross_amount") - minor(order, "tax_amount") - minor(order, "fee_amount")


def lowest_first(identifier: Id) -> tuple[int, int, str]:
    return (0, identifier, "") if isinstance(identifier, int) else (1, 0, identifier)


def totals_of(items: list[Row]) -> dict[tuple[Id, str], tuple[int, int]]:
    """(statement, currency) → count and sum of its live items."""
    totals: dict[tuple[Id, str], tuple[int, int]] = {}
    for item in items:
        count, amount = totals.get((item["statement_id"], item["currency"]), (0, 0))
        totals[item["statement_id"], item["currency"]] = count + 1, amount + minor(item)
    return totals


class NaiveJudge:
    """Judges the final rows of a source."""

    def __init__(self, log: SourceLog, limits: set[tuple[str, str]]) -> None:
        self.log = log
        self.limits = limits
        self.orders = {row["order_id"]: row for row in log.live("orders")}
        self.items = sorted(log.live("billing_item"), key=lambda row: lowest_first(row["billing_item_id"]))
        self.lines = sorted(log.live("payout_item"), key=lambda row: lowest_first(row["payout_item_id"]))
        self.statements = {row["statement_id"]: row for row in log.live("statement")}
        self.payouts = log.live("payout")

    def findings(self) -> set[Expected]:
        """Everything that must be open."""
        return {
            *self.of_orders(), *self.of_items(), *self.of_lines(), *self.of_statements(), *self.of_payouts(),
            *self.of_rows(), *self.of_repairs(),
        }  # fmt: skip

    def items_of(self, order_id: Id) -> list[Row]:
        return [item for item in self.items if item["order_id"] == order_id]

    def counted(self, order: Row) -> list[Row]:
        """The items whose sum must be net."""
        items = self.items_of(order["order_id"])
        has_refund = any(item["kind"] == "refund" for item in items)
        counted: list[Row] = []
        for item in items:
            stands_in = item["kind"] == "adjustment" and order["status"] in REFUNDED and not has_refund
            again = any((one["kind"], one["source_no"]) == (item["kind"], item["source_no"]) for one in counted)
            if item["kind"] != "refund" and not stands_in and not again:
                counted.append(item)
        return counted

    def repairs(self, order: Row) -> list[Version]:
        """Changes of the order's amounts after the first commit of a live sale item, oldest first."""
        sales = [item for item in self.items_of(order["order_id"]) if item["kind"] == "sale"]
        billed_us = min(self.log.first_commit_us("billing_item", sale) for sale in sales)
        fields = ("gross_amount", "tax_amount", "fee_amount")
        return [
            version
            for version in self.log.history
            if version.table == "orders" and version.primary_key == order["order_id"]
            and version.before is not None and version.after is not None and version.commit_us > billed_us
            and any(minor(version.before, field) != minor(version.after, field) for field in fields)
        ]  # fmt: skip

    def of_orders(self) -> Iterator[Expected]:
        for order_id, order in self.orders.items():
            items = self.items_of(order_id)
            owed, currency = net(order), order["currency"]
            if order["status"] in REFUNDED and not any(item["kind"] in {"refund", "adjustment"} for item in items):
                yield ("status-mismatch", "order", order_id), None, None, ""
            if not any(item["kind"] == "sale" for item in items):
                if order["status"] in BILLED and order["completed_at"] is not None:
                    yield ("missing-billing", "order", order_id), owed, 0, currency
                continue
            counted = self.counted(order)
            if any(item["currency"] != currency for item in counted):
                continue
            billed = sum(minor(item) for item in counted)
            repairs = self.repairs(order)
            as_billed = owed
            if repairs:
                assert repairs[0].before is not None
                as_billed = net(repairs[0].before)
            if repairs and billed != owed:
                yield ("silent-repair", "order", order_id), owed, billed, currency
            if billed not in (owed, as_billed):
                yield ("wrong-billing-amount", "order", order_id), owed, billed, currency

    def of_items(self) -> Iterator[Expected]:
        for item in self.items:
            key, amount, currency = item["billing_item_id"], minor(item), item["currency"]
            order = self.orders.get(item["order_id"])
            if order is None:
                yield ("orphan-billing", "billing_item", key), 0, amount, currency
            elif order["currency"] != currency:
                yield ("currency-mismatch", "billing_item", key), None, None, ""
            if order is not None and order["shop_id"] != item["shop_id"]:
                yield ("party-mismatch", "billing_item", key), None, None, ""
            same = [
                one for one in self.items_of(item["order_id"])
                if (one["kind"], one["source_no"]) == (item["kind"], item["source_no"])
            ]  # fmt: skip
            if same[0] is not item:
                yield ("duplicate-billing", "billing_item", key), 0, amount, currency
            named = [
                line for line in self.lines if line["order_id"] == item["order_id"] and line["billing_item_id"] == key
            ]
            if item["status"] == "paid" and not named:
                yield ("missing-payout", "billing_item", key), amount, 0, currency
            statement = self.statements.get(item["statement_id"])
            if statement and statement["closed_at"] is not None and item["created_at"] > statement["closed_at"]:
                yield ("late-item", "billing_item", key), 0, amount, currency

    def of_lines(self) -> Iterator[Expected]:
        for line in self.lines:
            key, amount, currency = line["payout_item_id"], minor(line), line["currency"]
            item = next((one for one in self.items_of(line["order_id"])
                         if one["billing_item_id"] == line["billing_item_id"]), None)  # fmt: skip
            same = [
                one for one in self.lines if all(one[name] == line[name] for name in ("order_id", "billing_item_id"))
            ]
            if same[0] is not line:
                yield ("duplicate-payout", "payout_item", key), 0, amount, currency
            elif item is None:
                yield ("orphan-payout", "payout_item", key), 0, amount, currency
            elif item["currency"] == currency and minor(item) != amount:
                yield ("wrong-payout-amount", "payout_item", key), minor(item), amount, currency
            if item is not None and item["currency"] != currency:
                yield ("currency-mismatch", "payout_item", key), None, None, ""

    def of_statements(self) -> Iterator[Expected]:
        totals = totals_of(self.items)
        for key, statement in self.statements.items():
            running = totals.get((key, statement["currency"]), (0, 0))[1]
            count = sum(1 for item in self.items if item["statement_id"] == key)
            if running != minor(statement) or count != statement["item_count"]:
                yield ("statement-drift", "statement", key), running, minor(statement), statement["currency"]
        for key in {item["statement_id"] for item in self.items} - set(self.statements):
            currency = min(one for statement, one in totals if statement == key)
            yield ("orphan-statement", "statement", key), 0, totals[key, currency][1], currency

    def of_payouts(self) -> Iterator[Expected]:
        for payout in self.payouts:
            key, amount, currency = payout["payout_id"], minor(payout), payout["currency"]
            lines = sum(minor(line) for line in self.lines if line["payout_id"] == key and line["currency"] == currency)
            statement = self.statements.get(payout["statement_id"])
            if lines != amount:
                yield ("wrong-payout-total", "payout", key), lines, amount, currency
            elif statement and (statement["currency"], minor(statement)) != (currency, amount):
                expected = minor(statement) if statement["currency"] == currency else None
                yield ("wrong-payout-total", "payout", key), expected, amount, currency
            waiting = [
                item for item in self.items
                if item["statement_id"] == payout["statement_id"] and item["status"] == "statemented"
            ]  # fmt: skip
            if payout["status"] == "paid" and waiting:
                yield ("status-mismatch", "payout", key), None, None, ""

    def of_rows(self) -> Iterator[Expected]:
        for (_source, table, key), row in self.log.rows.items():
            if (table, row.get("status")) in self.limits:
                yield ("stuck", KINDS.get(table, table), key), None, None, ""
        for version in self.log.history:
            if version.table in STEPS and version.before and version.after:
                step = f"{version.before['status']}>{version.after['status']}"
                if version.before["status"] != version.after["status"] and step not in STEPS[version.table].split():
                    yield (
                        ("illegal-transition", KINDS.get(version.table, version.table), version.primary_key),
                        None,
                        None,
                        "",
                    )

    def of_repairs(self) -> Iterator[Expected]:
        """Billing items that changed after they were paid, and do not have their former amount."""
        watched = ("amount", "currency", "shop_id", "statement_id")
        for item in self.items:
            changes = [
                version for version in self.log.history
                if version.table == "billing_item" and version.primary_key == item["billing_item_id"]
                and version.before and version.after and version.before["status"] == "paid"
                and any(version.before[name] != version.after[name] for name in watched)
            ]  # fmt: skip
            if changes and changes[0].before and minor(changes[0].before) != minor(item):
                key = ("silent-repair", "billing_item", item["billing_item_id"])
                yield key, minor(changes[0].before), minor(item), item["currency"]
