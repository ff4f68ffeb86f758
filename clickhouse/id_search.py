"""What an id belongs to: an order, a statement, a payout, a seller, or discrepancies by the beginning of theirs."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors
from clickhouse.query import Query

DISCREPANCIES_MAX: Final = 20
_BEGINNING: Final = re.compile(r"[0-9a-f]{4,32}")
_AFTER_EVERY_DIGIT: Final = "g"

_EXACT: Final = (
    ("order", "order_wide", "order_id"),
    ("statement", "statement_wide", "statement_id"),
    ("payout", "payout", "payout_id"),
    ("seller", "account", "shop_id"),
)
"""Kind → the table that knows it, with the id in its key, and the column."""


class Match(NamedTuple):
    """Something with the id; `kind` is order, statement, payout, seller or discrepancy."""

    kind: str
    identifier: str


def search_query(database: str, text: str) -> Query:
    """Everything that is called so: rows (kind, id), at most one of each kind but discrepancies.

    Ids must be whole; of a discrepancy four digits are enough.
    """
    exact = [
        f"(SELECT '{kind}' AS kind, {column} AS id FROM {database}.{table} WHERE {column} = {{id:String}} LIMIT 1)"
        for kind, table, column in _EXACT
    ]
    found = _BEGINNING.fullmatch(text.lower())
    first = found[0] if found else ""
    begun = (
        f"(SELECT DISTINCT 'discrepancy' AS kind, discrepancy_id AS id FROM {database}.discrepancy "
        "WHERE discrepancy_id >= {first:String} AND discrepancy_id < {behind:String} "
        f"ORDER BY id LIMIT {DISCREPANCIES_MAX})"
    )
    # Without a beginning both bounds are empty, and nothing lies between them.
    behind = first + _AFTER_EVERY_DIGIT if first else ""
    return Query(
        f"SELECT kind, id FROM ({' UNION ALL '.join([*exact, begun])})", {"id": text, "first": first, "behind": behind}
    )


def find_ids(client: Client, database: str, text: str) -> list[Match]:
    """What is called so; a discrepancy whose id only begins so counts where nothing else is.

    Errors: UnavailableError when ClickHouse does not answer.
    """
    query = search_query(database, text)
    with translated_errors(f"query of {database}"):
        rows = client.query(query.text, parameters=dict(query.parameters)).result_rows
    found = [Match(str(kind), str(identifier)) for kind, identifier in rows]
    return [match for match in found if match.identifier == text] or found
