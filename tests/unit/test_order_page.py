"""The page of one order: how its fees came about, and its steps where Kafka answers and where it does not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from clickhouse.query import Query
from dashboards.access.account import Role
from dashboards.pages import orders
from tests.access_stand import Browser, Stand
from trueup.change_events import Changes, Event
from trueup.model.errors import UnavailableError
from trueup.settings import ChargingSettings

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
FACTORS = '{"service": "delivery", "vehicle": "van", "stops": 22, "km": "62.5", "weight_t": "0.6"}'
ROW = {
    "order_id": "7", "shop_id": "carrier", "currency": "CNY", "status": "completed", "gross_amount": Decimal(1000),
    "tax_amount": Decimal(0), "fee_amount": Decimal(0), "net_amount": Decimal(1000), "billed_amount": Decimal(1000),
    "paid_out_amount": Decimal(0), "completed_at": AT, "updated_at": AT, "factors": FACTORS, "source": "settlement",
    "kafka_partition": 3, "kafka_offset": 41, "partition": 3, "verdict": "matched", "open_rules": [],
}  # fmt: skip


class OneOrder:
    """Reads an order without items, lines or discrepancies."""

    def __init__(self) -> None:
        self.row: dict[str, Any] = dict(ROW)

    def rows(self, query: Query) -> list[dict[str, Any]]:
        return [self.row] if ".v_orders" in query.text or ".v_source_orders" in query.text else []

    def page_rows(self, *_given: object, **_named: object) -> list[dict[str, Any]]:
        return []

    def page_query(self, *_given: object, **_named: object) -> Query:
        return Query("SELECT 1")


@pytest.fixture
def reader() -> OneOrder:
    return OneOrder()


@pytest.fixture
def browser(tmp_path: Path, reader: OneOrder) -> Iterator[Browser]:
    stand = Stand(tmp_path, parts={"cases": reader})
    charged = stand.settings.model_copy(update={"charging": ChargingSettings(spec="carrier")})
    object.__setattr__(stand.board, "settings", charged)
    yield stand.signed_in("vera", Role.VIEWER)
    stand.close()


def test_every_fee_is_shown_with_its_steps(browser: Browser) -> None:
    text = browser.get("/orders/7").text
    assert "How the fees came about" in text
    assert "carrier · version 1" in text
    assert '<ul class="steps">' in text
    assert "weight_t" in text


def test_factors_that_cannot_be_charged_are_told(browser: Browser, reader: OneOrder) -> None:
    reader.row["factors"] = '{"km": 12.5}'
    answer = browser.get("/orders/7")
    assert answer.status_code == 200
    assert "The charging spec gives no amounts for this order." in answer.text


def test_an_order_without_factors_has_no_charge(browser: Browser, reader: OneOrder) -> None:
    reader.row["factors"] = None
    assert "How the fees came about" not in browser.get("/orders/7").text


def test_steps_are_in_time_order_and_say_what_is_missing(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def read(_settings: object, *given: Any, **_named: Any) -> Changes:
        asked.append(given)
        return Changes([Event(AT, "insert orders", "<b>status=created</b>", is_bad=False)], is_whole=False)

    monkeypatch.setattr(orders, "change_events", read)
    text = browser.get("/orders/7/steps").text
    assert asked == [("7", 3, {"settlement.public.orders": 41})]
    assert "&lt;b&gt;status=created" in text
    assert "Older change events may be missing" in text


def test_without_kafka_the_page_says_so(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object, **_named: object) -> Changes:
        raise UnavailableError("the broker does not answer", where="127.0.0.1:9092")

    monkeypatch.setattr(orders, "change_events", refuse)
    answer = browser.get("/orders/7/steps")
    assert answer.status_code == 200
    assert "the broker does not answer" in answer.text
