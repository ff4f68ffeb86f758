"""What the API answers, for its OpenAPI document: schemas from the columns of the views, and an example of each answer."""

from __future__ import annotations

from typing import Any, Final

from clickhouse.case_views import CASE_VIEWS
from clickhouse.definition import ColumnType
from clickhouse.views import VIEWS

Responses = dict[int | str, dict[str, Any]]

_TYPES: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("Array(", {"type": "array", "items": {}}),
    ("Decimal", {"type": "string", "format": "decimal"}),
    ("DateTime", {"type": "string", "format": "date-time"}),
    ("Date", {"type": "string", "format": "date"}),
    ("UInt", {"type": "integer"}),
    ("Int", {"type": "integer"}),
)
"""Beginning of a ClickHouse type → its JSON schema; everything else is a text."""


def schema_of(columns: tuple[ColumnType, ...]) -> dict[str, Any]:
    """The schema of a row, with the comments of its columns."""
    return {"type": "object", "properties": {column.name: _schema(column) for column in columns}}


def _schema(column: ColumnType) -> dict[str, Any]:
    kind = column.type
    is_nullable = kind.startswith("Nullable(")
    for wrapper in ("Nullable(", "LowCardinality("):
        kind = kind.removeprefix(wrapper)
    found: dict[str, Any] = next(
        (dict(schema) for beginning, schema in _TYPES if kind.startswith(beginning)), {"type": "string"}
    )
    if is_nullable:
        found["type"] = [found["type"], "null"]
    return {**found, "description": column.comment}


def _columns(view: str) -> tuple[ColumnType, ...]:
    return next(found.columns for found in VIEWS if found.name == view)


def _answer(example: Any, schema: dict[str, Any] | None = None, description: str = "as asked") -> dict[str, Any]:
    content: dict[str, Any] = {"example": example}
    if schema is not None:
        content["schema"] = schema
    return {"description": description, "content": {"application/json": content}}


def _page(row: dict[str, Any], schema: dict[str, Any]) -> Responses:
    paged = {
        "type": "object",
        "properties": {
            "rows": {"type": "array", "items": schema},
            "next": {"type": ["string", "null"], "description": "cursor of the next page; null behind the last one"},
        },
    }
    return {200: _answer({"rows": [row], "next": None}, paged)}


def _rows(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _problem(description: str, example: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"example": example}}}


PROBLEMS: Final[Responses] = {
    400: _problem(
        "a value cannot be used",
        {
            "type": "about:blank",
            "title": "This cannot be read",
            "status": 400,
            "detail": "'2x' is no span of time",
            "what": "'2x' is no span of time",
            "where": "older_than",
            "remedy": "write it as 30m, 12h, 2d or 1w",
        },
    ),
    401: {"description": "the token is missing, unknown or expired"},
    403: {"description": "the token's role may not do this"},
    429: {"description": "too many requests with this token; Retry-After says when to go on"},
    503: {"description": "a service does not answer now; Retry-After says when to ask again"},
}

_CASE_SCHEMA: Final = schema_of(CASE_VIEWS[0].columns)
_CASE_SCHEMA["properties"] |= {
    "in_question": {
        "type": ["string", "null"],
        "description": "|actual − expected|, a missing side counting as nothing",
    },
    "seen": {"type": "string", "description": "what a decision on it has to bring back, unchanged"},
}
_ID: Final = "6d0f3c1f8f0a4b7e9c2d5a1b3e4f6071"
_SEEN: Final = f"{_ID}~0~1~EUR~12.5~10"
_CASE: Final = {
    "discrepancy_id": _ID,
    "rule": "statement-total",
    "class": "wrong-amount",
    "entity_kind": "statement",
    "entity_id": "1000007",
    "currency": "EUR",
    "expected": "12.50",
    "actual": "10.00",
    "delta": "-2.50",
    "in_question": "2.50",
    "standing": "open",
    "severity": "medium",
    "revision": 0,
    "occurrences": 1,
    "raised_at": "2026-11-21T09:30:00.000000Z",
    "seen": _SEEN,
}

DISCREPANCIES: Final = _page(_CASE, _CASE_SCHEMA)
DISCREPANCY: Final[Responses] = {
    200: _answer(
        {
            **_CASE,
            "why": "the books disagree, and no decision holds",
            "cause": "late-item",
            "cause_detail": "",
            "evidence": [],
            "raises": [],
            "timeline": [],
            "comment_notes": [],
        },
        _CASE_SCHEMA,
    ),
    404: {"description": "there is no such discrepancy"},
}

_DECISION: Final = {"id": "7b0c2f0e-5a59-4c3e-9d0c-0f6a7c1d2e3f", "kind": "acknowledge", "seen": [_SEEN]}
DECISION_GIVEN: Final[dict[str, Any]] = {
    "acknowledge": {"value": _DECISION},
    "waive": {"value": {**_DECISION, "kind": "waive", "note": "agreed with the seller"}},
    "snooze": {"value": {**_DECISION, "kind": "snooze", "until": "3d", "condition": "amount-changed"}},
}
_DECIDED: Final = {
    "id": _DECISION["id"],
    "kind": "acknowledge",
    "applied": 1,
    "of": 1,
    "outcomes": [
        {
            "command_id": "1f4c0f9a-0f2a-5d5e-8a53-1c8f0a9b7d6e",
            "discrepancy_id": _ID,
            "result": "applied",
            "reason": "",
            "revision": 1,
            "case": {**_CASE, "standing": "acknowledged", "revision": 1},
        }
    ],
}
DECISIONS: Final[Responses] = {
    200: _answer(_DECIDED, description="all were applied"),
    202: {"description": "not all are answered yet; ask again with the same id"},
    207: {"description": "some were applied"},
    409: {"description": "none was applied; `result` is stale, refused or unknown, `case` is how each stands now"},
}

_ORDER_SCHEMA: Final = schema_of(_columns("v_orders"))
ORDER: Final[Responses] = {
    200: _answer(
        {
            "order": {"order_id": "1000042", "currency": "EUR", "net_amount": "87.20", "verdict": "matched"},
            "legs": {"orders": [], "billing_item": [], "payout_item": []},
            "payouts": [],
            "discrepancies": [],
        },
        {
            "type": "object",
            "properties": {
                "order": _ORDER_SCHEMA,
                "legs": {"type": "object", "description": "rows of each source table"},
                "payouts": _rows(schema_of(_columns("v_payouts"))),
                "discrepancies": _rows(_CASE_SCHEMA),
            },
        },
    ),
    404: {"description": "there is no such order"},
}

_STATEMENT_SCHEMA: Final = schema_of(_columns("v_statements"))
_STATEMENT: Final = {
    "statement_id": "1000007",
    "shop_id": "77",
    "currency": "EUR",
    "status": "closed",
    "upstream_amount": "1200.00",
    "running_amount": "1197.50",
    "delta_amount": "-2.50",
    "verdict": "discrepant",
}
STATEMENTS: Final = _page(_STATEMENT, _STATEMENT_SCHEMA)
STATEMENT: Final[Responses] = {
    200: _answer(
        {"statement": _STATEMENT, "payouts": [], "discrepancies": [_CASE]},
        {
            "type": "object",
            "properties": {
                "statement": _STATEMENT_SCHEMA,
                "payouts": _rows(schema_of(_columns("v_payouts"))),
                "discrepancies": _rows(_CASE_SCHEMA),
            },
        },
    ),
    404: {"description": "there is no such statement"},
}
ITEMS: Final = _page(
    {"billing_item_id": "5000001", "order_id": "1000042", "amount": "12.50", "currency": "EUR", "status": "billed"},
    schema_of(_columns("v_billing_items")),
)
_REFUSED: Final = {
    "topic": "settlement.public.orders",
    "kafka_partition": 3,
    "kafka_offset": 4711,
    "stage": "orders",
    "code": "malformed-json",
    "reason": "not JSON: unexpected end of data",
    "quarantined_at": "2026-11-21T09:30:00.000000Z",
}
QUARANTINE: Final = _page(_REFUSED, schema_of(_columns("v_quarantine")))
REFUSED: Final[Responses] = {
    200: _answer({"message": {**_REFUSED, "key_hex": "7B7D", "value_hex": "7B"}, "replays": []}),
    404: {"description": "there is no such message in quarantine"},
}
PERIODS: Final[Responses] = {
    200: _answer(
        {"rows": [{"month": "2026-11-01", "currency": "EUR", "class": "wrong-amount", "raised": 12, "open_at_end": 2}]},
        {"type": "object", "properties": {"rows": _rows(schema_of(CASE_VIEWS[1].columns))}},
    )
}
STATUS: Final[Responses] = {
    200: _answer(
        {
            "orders_by_verdict": {
                "rows": [{"verdict": "matched", "orders": 120000}],
                "read_at": "2026-11-21T09:30:00.000000Z",
                "error": None,
            },
            "discrepancies_by_rule": {"rows": [], "read_at": "2026-11-21T09:30:00.000000Z", "error": None},
            "money_at_risk": {"rows": [], "read_at": "2026-11-21T09:30:00.000000Z", "error": None},
            "watermarks": {"rows": [], "read_at": "2026-11-21T09:30:00.000000Z", "error": None},
        }
    )
}
