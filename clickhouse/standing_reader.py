"""Reads where discrepancies stand, many at once: for whoever only needs to know whether somebody deals with them."""

from __future__ import annotations

from collections.abc import Collection

from clickhouse_connect.driver.client import Client

from clickhouse.client import translated_errors

IDS_MAX = 500
"""Ids of one query: parameters travel in its address."""


def read_standings(client: Client, database: str, ids: Collection[str]) -> dict[str, str]:
    """Id → standing, of at most `IDS_MAX` discrepancies; those that are not known are missing.

    Errors: UnavailableError when ClickHouse does not answer, ConfigurationError when the migrations were not applied.
    """
    assert len(ids) <= IDS_MAX
    if not ids:
        return {}
    with translated_errors(f"query of {database}"):
        found = client.query(
            f"SELECT discrepancy_id, standing FROM {database}.v_cases WHERE discrepancy_id IN {{ids:Array(String)}}",
            parameters={"ids": sorted(ids)},
        )
    return {str(identifier): str(standing) for identifier, standing in found.result_rows}
