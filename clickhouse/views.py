"""The views that analysts query: no FINAL, no deleted rows, no inner columns; every column carries its comment."""

from __future__ import annotations

from typing import Final, NamedTuple

from clickhouse.audit_table import AUDIT_LOG
from clickhouse.case_views import CASE_VIEWS, QueryView
from clickhouse.definition import FINAL_CLAUSE, ColumnType, Definition, quoted
from clickhouse.release_table import RELEASE_WIDE
from clickhouse.schema import (
    DISCREPANCY,
    DISCREPANCY_EVENT,
    GROUP_WIDE,
    MIRRORS,
    ORDER_WIDE,
    QUARANTINE,
    QUARANTINE_REPLAY,
    STATEMENT_PARTIAL,
    STATEMENT_WIDE,
    WATERMARK,
)

_INNER: Final = frozenset(
    {"partition", "month", "version", "is_deleted", "kafka_partition", "kafka_offset", "state", "step_id", "order_key"}
)
"""Columns that serve the machinery; contributions to statements are left out as well."""


class View(NamedTuple):
    """A view over one table, `where` an additional filter."""

    name: str
    table: Definition
    comment: str
    where: str = ""
    shown: frozenset[str] = frozenset()
    """Inner columns that this view does show."""

    @property
    def columns(self) -> tuple[ColumnType, ...]:
        """The columns that it shows, in their order."""
        return tuple(
            column
            for column in self.table.columns
            if (column.name not in _INNER or column.name in self.shown) and not column.name.startswith("contribution_")
        )

    def ddl(self) -> str:
        """CREATE VIEW with the placeholder `{database}`.

        SQL SECURITY DEFINER lets an analyst read the view without any right on the table below it.
        """
        columns = self.columns
        live = "is_deleted = 0" if any(column.name == "is_deleted" for column in self.table.columns) else ""
        where = " AND ".join(filter(None, (live, self.where)))
        return (
            f"CREATE VIEW IF NOT EXISTS {{database}}.{self.name}\n(\n    "
            + ",\n    ".join(f"`{column.name}` {column.type} COMMENT {quoted(column.comment)}" for column in columns)
            + "\n)\nDEFINER = CURRENT_USER SQL SECURITY DEFINER\nAS SELECT\n    "
            + ",\n    ".join(f"`{column.name}`" for column in columns)
            + f"\nFROM {{database}}.{self.table.name} FINAL\n"
            + (f"WHERE {where}\n" if where else "")
            + f"{FINAL_CLAUSE}\nCOMMENT {quoted(self.comment)};\n"
        )


_POSITION: Final = frozenset({"partition", "kafka_partition", "kafka_offset"})
_PROVENANCE: Final = frozenset({"version", "kafka_partition", "kafka_offset"})

VIEWS: Final[tuple[View | QueryView, ...]] = (
    View("v_orders", ORDER_WIDE, "orders with all their legs joined, and the verdict on them", shown=_POSITION),
    View("v_groups", GROUP_WIDE, "match keys of users' own specs: what their legs hold, and the verdict on them"),
    View("v_statements", STATEMENT_WIDE, "statements: upstream's total beside ours, their payouts, and the verdict"),
    View(
        "v_statement_partials",
        STATEMENT_PARTIAL,
        "what the orders of each Kafka partition add to a statement",
        shown=_POSITION,
    ),
    View("v_releases", RELEASE_WIDE, "releases: upstream's count and amount beside ours, and the verdict"),
    View("v_discrepancies", DISCREPANCY, "everything on which the books disagree or once disagreed"),
    View(
        "v_open_discrepancies", DISCREPANCY, "what the books disagree on now", where="status IN ('open', 'regressed')"
    ),
    View("v_discrepancy_events", DISCREPANCY_EVENT, "history of the discrepancies", shown=frozenset({"version"})),
    View("v_quarantine", QUARANTINE, "messages that could not be decoded or applied", shown=_POSITION),
    View(
        "v_quarantine_replays",
        QUARANTINE_REPLAY,
        "refused messages that were put on their topic again",
        shown=_POSITION,
    ),
    View("v_watermarks", WATERMARK, "how far in source time each stage has seen everything", shown=_POSITION),
    View("v_audit_log", AUDIT_LOG, "every verdict and command, and what came of it", shown=_POSITION),
    *CASE_VIEWS,
    *(
        View(f"v_{name}", MIRRORS[table], f"live rows of the source table {table}", shown=_PROVENANCE)
        for name, table in (
            ("source_orders", "orders"),
            ("billing_items", "billing_item"),
            ("payout_items", "payout_item"),
            ("source_statements", "statement"),
            ("payouts", "payout"),
            ("accounts", "account"),
            ("rules", "rule"),
            ("fundings", "funding"),
            ("release_summaries", "release_summary"),
        )
    ),
)
