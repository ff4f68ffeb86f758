"""What connectors send beside plain changes of rows: each kind is taken, skipped, or refused with its reason."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from cdc.decode import ChangeDecoder
from cdc.dialect import UNAVAILABLE
from tests.source_log import START_US, row_of
from trueup.model.change import Change, Decoded, Incomplete, Truncation
from trueup.model.errors import InvalidRecord
from trueup.model.tables import ORDERS, STATEMENT

ORDER = row_of("orders", factors='{"tier": 2}')
POSTGRES = {"connector": "postgresql", "name": "settlement", "lsn": 7, "ts_ms": START_US // 1000, "ts_us": START_US}
MYSQL = {
    "connector": "mysql", "name": "settlement", "ts_ms": START_US // 1000, "file": "binlog.000002", "pos": 154, "row": 0,
    "gtid": None,
}  # fmt: skip
TICDC = {**MYSQL, "connector": "TiCDC", "file": "", "pos": 0, "commit_ts": 7, "cluster_id": "settlement"}
TICDC_TRUNCATES = {
    "source": TICDC, "ts_ms": 1, "databaseName": "d", "schemaName": None, "ddl": "TRUNCATE TABLE `orders`",
    "tableChanges": [],
}  # fmt: skip
TRUNCATED = Truncation(ORDERS, "settlement", 7, START_US, 3, 9)


def decoded(fields: dict[str, Any]) -> Decoded:
    return ChangeDecoder(ORDERS).decode(orjson.dumps(fields), 3, 9)


def event(op: str, source: dict[str, Any], before: Any = None, after: Any = None) -> dict[str, Any]:
    return {"before": before, "after": after, "source": source, "op": op, "ts_ms": 1, "transaction": None}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (event("t", POSTGRES), TRUNCATED),
        ({"schema": {"type": "struct"}, "payload": event("t", POSTGRES)}, TRUNCATED),
        ({"payload": event("t", POSTGRES), "schema": {"type": "struct"}}, TRUNCATED),
        (event("t", MYSQL), TRUNCATED._replace(version=(2 << 32 | 154) << 14)),
        ({"payload": TICDC_TRUNCATES}, TRUNCATED),
        ({"payload": {**TICDC_TRUNCATES, "ddl": " truncate orders"}}, TRUNCATED),
        ({"payload": {**TICDC_TRUNCATES, "ddl": "ALTER TABLE orders ADD note TEXT"}}, None),
        ({"payload": {**TICDC_TRUNCATES, "source": MYSQL}}, None),
        ({"payload": {"source": TICDC, "op": "m", "ts_ms": 1}}, None),
        ({"schema": None, "payload": None}, None),
    ],
)
def test_what_is_no_change_of_a_row(fields: dict[str, Any], said: Decoded) -> None:
    assert decoded(fields) == said


@pytest.mark.parametrize("connector", [POSTGRES, MYSQL, TICDC])
def test_rows_of_every_connector(connector: dict[str, Any]) -> None:
    for op in "cr":
        change = decoded(event(op, connector, None, ORDER))
        assert isinstance(change, Change)
        assert (change.commit_us, change.row and change.row[6]) == (START_US, '{"tier": 2}')


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (event("m", POSTGRES), "unknown-operation"),
        (event("t", {**POSTGRES, "lsn": None}), "missing-field"),
        ({"source": POSTGRES, "status": "BEGIN", "id": "571"}, "unknown-operation"),
        ({"ts_ms": 1767225600000}, "missing-field"),
        (event("c", TICDC, None, {**ORDER, "gross_amount": 10.5}), "float-amount"),
        (event("c", TICDC, None, {**ORDER, "gross_amount": 2**53}), "float-amount"),
        (event("c", {**MYSQL, "file": ""}, None, ORDER), "missing-field"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], code: str) -> None:
    with pytest.raises(InvalidRecord) as refused:
        decoded(fields)
    assert refused.value.code == code


def test_whole_amounts_that_a_float_holds_exactly_are_taken_from_ticdc() -> None:
    change = decoded(event("c", TICDC, None, {**ORDER, "gross_amount": 12}))
    assert isinstance(change, Change)
    assert change.row is not None
    assert change.row[3] == 1200


@pytest.mark.parametrize("before", [None, {"order_id": 1}, {**dict.fromkeys(ORDER), "order_id": 1}])
def test_a_value_that_nobody_sent_leaves_the_change_incomplete(before: Any) -> None:
    said = decoded(event("u", POSTGRES, before, {**ORDER, "factors": UNAVAILABLE}))
    assert isinstance(said, Incomplete)
    assert said.holes == (ORDERS.place("factors"),)
    assert said.change.key == 1


def test_dates_as_text_without_a_schema() -> None:
    source = {**POSTGRES, "table": "statement"}
    row = row_of("statement", period_start="2026-01-01Z", updated_at="2026-01-01T00:00:00Z")
    change = ChangeDecoder(STATEMENT).decode(orjson.dumps(event("c", source, None, row)), 0, 0)
    assert isinstance(change, Change)
    assert change.row is not None
    assert change.row[STATEMENT.place("period_start")] == 20_454
