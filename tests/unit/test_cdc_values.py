"""How the text of Postgres becomes JSON, type by type."""

from __future__ import annotations

import orjson
import pytest

from cdc.values import fragment_of

BOOL, BYTEA, INT8, TEXT, FLOAT8, JSONB, NUMERIC = 16, 17, 20, 25, 701, 3802, 1700
DATE, TIME, TIMESTAMP, TIMESTAMPTZ, UUID, TEXT_ARRAY, TIMETZ, MONEY = 1082, 1083, 1114, 1184, 2950, 1009, 1266, 790


@pytest.mark.parametrize(
    ("type_oid", "text", "value"),
    [
        (BOOL, "t", True),
        (BOOL, "f", False),
        (INT8, "-9223372036854775808", -(2**63)),
        (NUMERIC, "12.3400", "12.3400"),
        (NUMERIC, "NaN", "NaN"),
        (NUMERIC, "-Infinity", "-Infinity"),
        (FLOAT8, "1e+20", 1e20),
        (FLOAT8, "NaN", "NaN"),
        (FLOAT8, "-Infinity", "-Infinity"),
        (TEXT, 'a "quoted" \\ line\n', 'a "quoted" \\ line\n'),
        (TEXT, "", ""),
        (TEXT, "对账 🧾", "对账 🧾"),
        (JSONB, '{"a": 1}', '{"a": 1}'),
        (TIMESTAMPTZ, "2026-11-20 11:37:38.12+00", "2026-11-20T11:37:38.12Z"),
        (TIMESTAMPTZ, "2026-11-20 11:37:38+00", "2026-11-20T11:37:38Z"),
        (TIMESTAMPTZ, "infinity", "infinity"),
        (TIMESTAMPTZ, "0044-03-15 00:00:00+00 BC", "0044-03-15 00:00:00+00 BC"),
        (TIMESTAMP, "1970-01-02 00:00:00.000001", 86_400_000_001),
        (TIMESTAMP, "1969-12-31 23:59:59", -1_000_000),
        (TIMESTAMP, "-infinity", "-infinity"),
        (DATE, "1970-01-01", 0),
        (DATE, "2026-11-20", 20_777),
        (DATE, "10000-01-01", "10000-01-01"),
        (TIME, "01:00:00.5", 3_600_500_000),
        (TIME, "24:00:00", "24:00:00"),
        (TIMETZ, "13:04:05.5+02", "11:04:05.5Z"),
        (TIMETZ, "01:00:00+05:30", "19:30:00Z"),
        (TIMETZ, "24:00:00+00", "24:00:00+00"),
        (MONEY, "$1,000.00", "$1,000.00"),
        (UUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
        (BYTEA, "\\x00ff", "AP8="),
        (TEXT_ARRAY, '{a,"b c"}', '{a,"b c"}'),
    ],
)
def test_values(type_oid: int, text: str, value: object) -> None:
    decoded = orjson.loads(fragment_of(type_oid)(text.encode()))
    assert decoded == value
    assert type(decoded) is type(value)


def test_bytes_that_are_no_utf8_are_an_error() -> None:
    with pytest.raises(UnicodeDecodeError):
        fragment_of(TEXT)(b"\xff")
