"""Rows as JSON documents: amounts as decimal text beside their currency, times in ISO 8601 and UTC. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from clickhouse.query import Record
from trueup.case_seen import seen_text
from trueup.case_story import case_document
from trueup.model.money import EXPONENTS


class Document(Response):
    """An answer in JSON, which nobody on the way may keep."""

    def __init__(self, content: Any, status_code: int = 200) -> None:
        super().__init__(content, status_code, {"Cache-Control": "no-store"}, "application/json")

    def render(self, content: Any) -> bytes:
        """The bytes of a value as `plain` makes it."""
        return orjson.dumps(plain(content))


def plain(value: Any, currency: str = "") -> Any:
    """The value with everything in it as JSON knows it; a `currency` beside an amount decides how many digits it shows."""
    if isinstance(value, Mapping):
        currency = value.get("currency") or currency
        return {str(name): plain(held, currency) for name, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held, currency) for held in value]
    if isinstance(value, Decimal):
        return amount_text(value, currency)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return value


def amount_text(amount: Decimal, currency: str) -> str:
    """An amount in major units with its currency's digits; with more where it has more, so that nothing is lost."""
    text = f"{amount:f}"
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0").ljust(EXPONENTS.get(currency, 0), "0")
    return f"{whole}.{fraction}" if fraction else whole


def case_row(case: Record) -> dict[str, Any]:
    """A row of `v_cases`, with `seen`: what a decision on it has to bring back."""
    return {**case_document(case), "seen": seen_text(case)}
