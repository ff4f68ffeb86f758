"""The discrepancies of one entity that is neither an order nor a statement, such as a payout or a release."""

from __future__ import annotations

from typing import Final

from clickhouse.query import Query

CASES_MAX: Final = 50


def cases_of_entity(database: str, kind: str, entity_id: str) -> Query:
    """Rows of `v_cases` about the entity, the newest first."""
    return Query(
        f"SELECT * FROM {database}.v_cases WHERE entity_kind = {{kind:String}} AND entity_id = {{entity_id:String}} "
        f"ORDER BY raised_at DESC, discrepancy_id LIMIT {CASES_MAX}",
        {"kind": kind, "entity_id": entity_id},
    )
