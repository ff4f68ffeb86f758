"""However a connector is set up, its messages read as the same change."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cdc.decode import ChangeDecoder
from cdc.dialect import Unit, declared_dialect
from tests.connector_writer import DIGITS, SCALE, Mode, message, position
from tests.source_log import START_US
from trueup.model.change import Change
from trueup.model.tables import BILLING_ITEM, STATEMENT, Table

UNITS: dict[str, Unit] = {"micros": "us", "millis": "ms", "connect": "ms", "nanos": "ns", "iso": "us"}
CURRENCIES = st.sampled_from(sorted(DIGITS))
IDS = st.integers(1, 2**53) | st.text(min_size=1, max_size=8)
MINOR = st.integers(-(10**24), 10**24)
TIMES = st.integers(-2_000_000_000_000, 9_000_000_000_000).map(lambda millis: millis * 1000)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
ITEMS = st.fixed_dictionaries({
    "billing_item_id": IDS, "order_id": IDS, "shop_id": IDS, "statement_id": IDS, "kind": TEXTS, "source_no": TEXTS,
    "amount": MINOR, "currency": CURRENCIES, "status": TEXTS, "created_at": TIMES, "updated_at": TIMES,
})  # fmt: skip
STATEMENTS = st.fixed_dictionaries({
    "statement_id": IDS, "shop_id": IDS, "cycle": TEXTS, "period_start": st.integers(-25_000, 120_000),
    "period_end": st.integers(-25_000, 120_000), "currency": CURRENCIES, "item_count": st.integers(0, 2**40),
    "amount": MINOR, "status": TEXTS, "closed_at": st.none() | TIMES, "updated_at": TIMES,
})  # fmt: skip
ROWS: st.SearchStrategy[tuple[Table, dict[str, Any]]] = st.one_of(
    st.tuples(st.just(BILLING_ITEM), ITEMS), st.tuples(st.just(STATEMENT), STATEMENTS)
)


@st.composite
def modes(draw: Any) -> Mode:
    """What can be set up: without a schema nobody says of which scale a decimal is; TiCDC sends none of them exactly."""
    schema = draw(st.sampled_from(("none", "first", "last")))
    connector = draw(st.sampled_from(("postgresql", "mysql", "mariadb", "TiCDC")))
    decimals = ("string",) if connector == "TiCDC" else ("string", "precise", "variable")
    return Mode(
        schema,
        draw(st.sampled_from(decimals[: 2 if schema == "none" else 3])),
        draw(st.sampled_from(sorted(UNITS))),
        connector,
        draw(st.sampled_from((None, "", "source_"))),
        draw(st.booleans()),
    )


@given(ROWS, modes(), st.sampled_from("cudr"), st.integers(1, 2**31), st.integers(0, 10**12))
def test_every_form_reads_as_the_same_change(
    given_row: tuple[Table, dict[str, Any]], mode: Mode, operation: str, number: int, later_ms: int
) -> None:
    table, row = given_row
    commit_us = START_US + later_ms * 1000
    scale = SCALE if mode.decimals == "precise" else None
    decoder = ChangeDecoder(table, declared_dialect(table, scale, UNITS[mode.times]))
    value = message(table, row, operation, number, commit_us, mode)
    assert decoder.decode(value, 3, 9) == Change(
        table, "settlement", row[table.topic_key], row[table.primary_key], position(mode.connector, number)[1],
        commit_us, operation == "d", tuple(row[column.name] for column in table.columns), (), 3, 9,
    )  # fmt: skip
