"""The views on cases: where each discrepancy stands now, and what each accounting period raised, resolved and left open."""

from __future__ import annotations

from typing import Final, NamedTuple

from clickhouse.definition import FINAL_CLAUSE, LABEL, MONEY, ColumnType, Definition, quoted
from clickhouse.schema import CASE_WIDE


class QueryView(NamedTuple):
    """A view that computes: its columns, and the query that gives them in this order."""

    name: str
    table: Definition
    comment: str
    columns: tuple[ColumnType, ...]
    query: str

    def ddl(self) -> str:
        """CREATE VIEW with the placeholder `{database}`; an analyst needs no right on the table below it."""
        return (
            f"CREATE VIEW IF NOT EXISTS {{database}}.{self.name}\n(\n    "
            + ",\n    ".join(
                f"`{column.name}` {column.type} COMMENT {quoted(column.comment)}" for column in self.columns
            )
            + f"\n)\nDEFINER = CURRENT_USER SQL SECURITY DEFINER\nAS {self.query}\nCOMMENT {quoted(self.comment)};\n"
        )


_HIDDEN: Final = frozenset({"partition", "version", "standing_awake", "state"})
_SHOWN: Final = tuple(
    column for column in CASE_WIDE.columns if column.name not in _HIDDEN and not column.name.startswith("occurrence_")
)
IS_AWAKE: Final = "`case_wide`.`standing` = 'snoozed' AND `case_wide`.`snoozed_until` <= now64(6)"
"""Whether the time of a snooze is over, of a row of `case_wide`."""

SHOWN_EXPRESSIONS: Final = {
    column.name: f"if({IS_AWAKE}, `case_wide`.`standing_awake`, `case_wide`.`standing`)"
    if column.name == "standing"
    else f"`{column.name}`"
    for column in _SHOWN
}
"""Column of `v_cases` → what it is in a row of `case_wide`."""

_CASES: Final = (
    "SELECT\n    "
    + ",\n    ".join(
        expression if expression == f"`{name}`" else f"{expression} AS `{name}`"
        for name, expression in SHOWN_EXPRESSIONS.items()
    )
    # Commands may come before the first verdict: until then there is nothing to show.
    + "\nFROM {database}.case_wide FINAL\nWHERE `case_wide`.`standing` != 'unknown'\n"
    + FINAL_CLAUSE
)

_PERIODS: Final = """SELECT
    month,
    currency,
    class,
    countIf(raised_month = month) AS raised,
    countIf(raised_month = month AND resolved_month = month) AS resolved_within,
    countIf(resolved_month > month) AS open_at_end,
    sumIf(stake, raised_month = month) AS raised_amount,
    sumIf(stake, raised_month = month AND resolved_month = month) AS resolved_within_amount,
    sumIf(stake, resolved_month > month) AS open_at_end_amount
FROM
(
    SELECT
        class,
        one_currency AS currency,
        coalesce(one_stake, toDecimal128(0, 4)) AS stake,
        toStartOfMonth(one_raised_at) AS raised_month,
        if(isNull(one_resolved_at), toDate32('2299-12-31'), toStartOfMonth(assumeNotNull(one_resolved_at))) AS resolved_month,
        arrayJoin(arrayMap(
            step -> addMonths(raised_month, step),
            range(toUInt32(1 + greatest(0, dateDiff('month', raised_month, least(resolved_month, toDate32(now64(6)))))))
        )) AS month
    FROM {database}.case_wide FINAL
    ARRAY JOIN
        occurrence_currency AS one_currency,
        occurrence_stake AS one_stake,
        occurrence_raised_at AS one_raised_at,
        occurrence_resolved_at AS one_resolved_at
)
GROUP BY month, currency, class"""

CASE_VIEWS: Final = (
    QueryView("v_cases", CASE_WIDE, "where each discrepancy stands now, and who deals with it", _SHOWN, _CASES),
    QueryView(
        "v_period_status",
        CASE_WIDE,
        "by accounting period: what was raised in it, resolved within it, and still open at its end",
        (
            ColumnType("month", "Date32", "first day of the accounting period, a calendar month in UTC"),
            ColumnType("currency", LABEL, "ISO-4217 code of the amounts, or empty"),
            ColumnType("class", LABEL, "one-sided, wrong-amount, mismatch"),
            ColumnType("raised", "UInt64", "occurrences raised in the period"),
            ColumnType("resolved_within", "UInt64", "of these, resolved by themselves before the period ended"),
            ColumnType(
                "open_at_end", "UInt64", "occurrences of this or an earlier period still open at its end, or now"
            ),
            ColumnType("raised_amount", MONEY, "sum of what was in question when raised: |actual − expected|"),
            ColumnType("resolved_within_amount", MONEY, "the same of those resolved within the period"),
            ColumnType("open_at_end_amount", MONEY, "the same of those open at its end"),
        ),
        _PERIODS,
    ),
)
"""Views over `case_wide` that are more than a filter."""
