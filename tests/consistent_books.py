"""A source that never errs: after every transaction, order, item, statement, payout and lines agree."""

from __future__ import annotations

from random import Random

from tests.source_log import START_US, Row, SourceLog
from trueup.model.tables import Id

HOUR_US = 3_600_000_000
FIRST_US = START_US + HOUR_US
"""Business times lie before the first commit and every grace is over: what looked incomplete would be raised at once."""

STATEMENT_STEPS = {"open": "closed", "closed": "confirmed", "confirmed": "paying", "paying": "paid"}
ORDER_STEPS = {"created": "paid", "paid": "completed", "completed": "partially_refunded"}


def text(cents: int) -> str:
    return f"{'-' if cents < 0 else ''}{abs(cents) // 100}.{abs(cents) % 100:02d}"


class ConsistentBooks:
    """Each call of `transaction` commits one transaction, in which whatever depends on each other changes together.

    Few orders and statements are alive at a time, so that most change again before the last change is judged; what is
    settled makes room for new ones.
    """

    def __init__(self, random: Random, *, order_count: int = 2, statement_count: int = 2) -> None:
        self.log = SourceLog()
        self.log.now_us = FIRST_US
        self._random = random
        self._orders = list(range(1, order_count + 1))
        self._statements = list(range(1, statement_count + 1))
        self._item_of: dict[Id, Id] = {}
        self._serial = 0
        self._makers = (
            *(self._step_order,) * 4, *(self._amend,) * 4, self._move, self._move, self._pay, self._remove,
        )  # fmt: skip

    def transaction(self) -> None:
        """Commit something, now and then at the very time of the transaction before it."""
        self.log.now_us += self._random.choice((0, 1, 1000, 5000))
        committed = len(self.log.events)
        while len(self.log.events) == committed:
            self._random.choice(self._makers)()
            self._make_room()

    def _make_room(self) -> None:
        for place, order_id in enumerate(self._orders):
            if self._is_settled(order_id):
                self._orders[place] = 100 + self._serial_number()
        for place, statement_id in enumerate(self._statements):
            if self._status(statement_id) == "paid":
                self._statements[place] = 100 + self._serial_number()

    def _order(self, order_id: Id) -> dict[str, object] | None:
        return self.log.rows.get(("settlement", "orders", order_id))

    def _item(self, order_id: Id) -> dict[str, object] | None:
        item_id = self._item_of.get(order_id)
        return None if item_id is None else self.log.rows.get(("settlement", "billing_item", item_id))

    def _status(self, statement_id: Id) -> object:
        row = self.log.rows.get(("settlement", "statement", statement_id))
        return "open" if row is None else row["status"]

    def _is_settled(self, order_id: Id) -> bool:
        """Whether a statement that is no longer open holds an item of the order."""
        return any(
            item["order_id"] == order_id and self._status(item["statement_id"]) != "open"
            for item in self.log.live("billing_item")
        )

    def _total(self, *statement_ids: object) -> None:
        """The statements' rows say what their items sum up to."""
        for statement_id in statement_ids:
            items = [item for item in self.log.live("billing_item") if item["statement_id"] == statement_id]
            cents = sum(int(item["amount"].replace(".", "")) for item in items)
            self.log.put("statement", statement_id=statement_id, item_count=len(items), amount=text(cents))

    def _serial_number(self) -> int:
        self._serial += 1
        return self._serial

    def _step_order(self) -> None:
        order_id = self._random.choice(self._orders)
        order = self._order(order_id)
        if order is None:
            self.log.put("orders", order_id=order_id, status="created", fee_amount="1.00")
            return
        status = ORDER_STEPS.get(str(order["status"]))
        open_statements = [one for one in self._statements if self._status(one) == "open"]
        if status is None or not open_statements or self._is_settled(order_id):
            return
        if status in {"completed", "partially_refunded"}:
            statement_id = self._random.choice(open_statements)
            kind = "sale" if status == "completed" else "refund"
            cents = 900 - int(str(order["fee_amount"]).replace(".", ""))
            item_id = self._serial_number()
            self.log.put(
                "billing_item", billing_item_id=item_id, order_id=order_id, statement_id=statement_id, kind=kind,
                amount=text(cents if kind == "sale" else -100),
            )  # fmt: skip
            if kind == "sale":
                self._item_of[order_id] = item_id
            self._total(statement_id)
        self.log.put("orders", order_id=order_id, status=status)

    def _amend(self) -> None:
        """Another fee, with the bill and the statement corrected at once."""
        order_id = self._random.choice(self._orders)
        order, item = self._order(order_id), self._item(order_id)
        if order is None or item is None or self._is_settled(order_id):
            return
        fee = self._random.randrange(1, 800)
        self.log.put("orders", order_id=order_id, fee_amount=text(fee))
        self.log.put("billing_item", billing_item_id=item["billing_item_id"], amount=text(900 - fee))
        self._total(item["statement_id"])

    def _move(self) -> None:
        """A bill goes to another open statement."""
        order_id = self._random.choice(self._orders)
        item = self._item(order_id)
        target = self._random.choice(self._statements)
        if item is None or self._is_settled(order_id) or self._status(target) != "open":
            return
        former = item["statement_id"]
        self.log.put("billing_item", billing_item_id=item["billing_item_id"], statement_id=target)
        self._total(former, target)

    def _remove(self) -> None:
        """An order goes away with all that was billed for it; its id may come back."""
        order_id = self._random.choice(self._orders)
        order = self._order(order_id)
        if order is None or self._is_settled(order_id) or self._random.random() < 0.5:
            return
        items = [item for item in self.log.live("billing_item") if item["order_id"] == order_id]
        self._item_of.pop(order_id, None)
        self.log.delete("orders", order_id)
        for item in items:
            self.log.delete("billing_item", item["billing_item_id"])
        self._total(*{item["statement_id"] for item in items})

    def _pay(self) -> None:
        """A statement takes its next step; its payout and lines come with `paying`, its items are paid with `paid`."""
        statement_id = self._random.choice(self._statements)
        items = [item for item in self.log.live("billing_item") if item["statement_id"] == statement_id]
        status = STATEMENT_STEPS.get(str(self._status(statement_id)))
        if status is None or not items or self._random.random() < 0.3:
            return
        payout: Row = {"payout_id": 1000 + statement_id, "statement_id": statement_id}
        if status == "paying":
            row = self.log.rows["settlement", "statement", statement_id]
            self.log.put("payout", **payout, amount=row["amount"])
            for item in items:
                self.log.put(
                    "payout_item", payout_item_id=self._serial_number(), payout_id=payout["payout_id"],
                    order_id=item["order_id"], billing_item_id=item["billing_item_id"], amount=item["amount"],
                )  # fmt: skip
        elif status == "paid":
            self.log.put("payout", **payout, status="ongoing")
            self.log.put("payout", **payout, status="paid")
            for item in items:
                self.log.put("billing_item", billing_item_id=item["billing_item_id"], status="paid")
        closed_us = (
            FIRST_US if status == "closed" else self.log.rows["settlement", "statement", statement_id]["closed_at"]
        )
        self.log.put("statement", statement_id=statement_id, status=status, closed_at=closed_us)
