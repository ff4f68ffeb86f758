"""Copies of `case_wide` in the orders of lists. ClickHouse keeps them with every part and chooses one of them by itself.

A copy (a projection) holds what lists compare and sort by, every version of every case. A query without FINAL that needs
nothing else reads the first rows of a copy instead of all rows of the table.
"""

from __future__ import annotations

from typing import Final, NamedTuple

STAKE_OR_LESS: Final = "coalesce(stake, toDecimal128(-1, 4))"
RAISED_US: Final = "toUnixTimestamp64Micro(assumeNotNull(raised_at))"
"""What lists are sorted by. Expressions that are never null: only so can a copy be read backwards."""

COMPARED: Final = (
    "partition", "discrepancy_id", "version", "rule", "class", "shop_id", "currency", "order_id", "statement_id", "stake",
    "standing", "standing_awake", "assignee", "snoozed_until", "severity", "raised_at", "occurrence_period",
)  # fmt: skip
"""Columns of a copy: with one more in a condition, a query reads the whole table again."""


class SortedCopy(NamedTuple):
    """A projection: its name, and the expressions that it is sorted by."""

    name: str
    order: tuple[str, ...]

    def ddl(self) -> tuple[str, str]:
        """Statements with the placeholder `{database}` that add it, and that make it of the rows that are there."""
        columns = ", ".join(f"`{name}`" for name in COMPARED)
        query = f"(\n    SELECT {columns}\n    ORDER BY {', '.join(self.order)}\n)"
        return (
            f"ALTER TABLE {{database}}.case_wide ADD PROJECTION IF NOT EXISTS {self.name}\n{query}",
            f"ALTER TABLE {{database}}.case_wide MATERIALIZE PROJECTION {self.name}",
        )


COPIES: Final = (
    SortedCopy("by_raised_at", (RAISED_US,)),
    SortedCopy("by_seller", ("shop_id", RAISED_US)),
    SortedCopy("by_stake", (STAKE_OR_LESS,)),
)

REBUILT_BY_MERGES: Final = (
    "ALTER TABLE {database}.case_wide MODIFY SETTING deduplicate_merge_projection_mode = 'rebuild'"
)
"""What a merge drops from the table it drops from the copies too."""
