"""Who asks, and what a read-only user may ask: authentication, rights and limits."""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Mapping
from typing import Final

from trueup.embedded.clickhouse.errors import (
    ACCESS_DENIED,
    AUTHENTICATION_FAILED,
    READONLY,
    UNKNOWN_SETTING,
    EngineError,
)
from trueup.embedded.clickhouse.settings import EndpointLimits, EndpointUser
from trueup.embedded.clickhouse.sql import lex, refuse_calls, refuse_mention, refuse_shown, refuse_tables

_SETTING_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
# What an analyst may set for one query: how values are read and printed, and how FINAL and joins behave.
_ANALYST_MAY_SET = re.compile(
    r"(?:(?:input|output)_format_\w+|format_\w+|date_time_(?:in|out)put_format|session_timezone|final"
    r"|cast_string_to_dynamic_use_inference|do_not_merge_across_partitions_select_final"
    r"|join_use_nulls|group_by_use_nulls|max_block_size|limit|offset|extremes|result_overflow_mode)"
)
# The one scalar function that reads any file of the machine; no right of the engine covers it.
_READS_FILES: Final = frozenset({"file"})
_ANALYST_TABLE_FUNCTIONS: Final = frozenset(
    {"format", "generate_series", "generateseries", "null", "numbers", "numbers_mt", "primes"}
    | {"sqlstandardvalues", "values", "view", "zeros", "zeros_mt"}
)
# What clients ask of to list databases, tables and functions. The others tell of other people's queries and of the machine,
# and the engine asks for no right to read them.
_SYSTEM: Final = "system"
_SYSTEM_TABLES: Final = frozenset(
    {"aggregate_function_combinators", "build_options", "clusters", "collations", "columns", "data_skipping_indices"}
    | {"data_type_families", "databases", "dictionaries", "formats", "functions", "keywords", "macros", "numbers"}
    | {"numbers_mt", "one", "parts", "settings", "table_engines", "table_functions", "tables", "time_zones", "zeros"}
    | {"zeros_mt"}
)
_SHOWN: Final = frozenset(
    {"CREATE", "COLUMNS", "DATABASES", "DICTIONARIES", "EXTENDED", "FIELDS", "FULL", "FUNCTIONS", "INDEX", "INDEXES"}
    | {"INDICES", "KEYS", "SETTINGS", "TABLES", "TEMPORARY"}
)


def authenticate(
    users: tuple[EndpointUser, ...], headers: Mapping[str, str], parameters: Mapping[str, str]
) -> EndpointUser:
    """The user that the request proves to be, by Basic, by X-ClickHouse-User and -Key, or by URL parameters.

    Header names are in lower case.

    Raises:
        EngineError: AUTHENTICATION_FAILED, the same text for a wrong name and a wrong password.
    """
    name, password = _claimed(headers, parameters)
    proven = None
    for user in users:
        # Every user is compared, so that the time tells nothing about which names exist.
        same_name = hmac.compare_digest(user.name.encode(), name.encode())
        same_password = hmac.compare_digest(user.password.encode(), password.encode())
        if same_name and same_password:
            proven = user
    if proven is None:
        raise EngineError(
            AUTHENTICATION_FAILED,
            f"{name[:64]}: Authentication failed: password is incorrect, or there is no user with such name.",
        )
    return proven


def _claimed(headers: Mapping[str, str], parameters: Mapping[str, str]) -> tuple[str, str]:
    if headers.get("x-clickhouse-user", "") or headers.get("x-clickhouse-key", ""):
        return headers.get("x-clickhouse-user", "") or "default", headers.get("x-clickhouse-key", "")
    scheme, _, encoded = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise EngineError(AUTHENTICATION_FAILED, "Invalid authentication: the Basic header is malformed.") from None
        return name, password
    return parameters.get("user", "") or "default", parameters.get("password", "")


def settings_for(user: EndpointUser, asked: Mapping[str, str], limits: EndpointLimits) -> dict[str, str]:
    """The settings to run one query with: the bounds of the user, and what the request asks within them.

    Raises:
        EngineError: UNKNOWN_SETTING for a name that can be none, READONLY for one that the user may not set.
    """
    for name in asked:
        if not _SETTING_NAME.fullmatch(name):
            raise EngineError(UNKNOWN_SETTING, f"Unknown setting '{name[:64]}'.")
    if not user.read_only:
        return {
            "max_execution_time": str(limits.query_seconds_max),
            "max_memory_usage": str(limits.query_memory_bytes),
            **asked,
        }
    bounds = {
        "max_execution_time": limits.analyst_seconds_max,
        "max_memory_usage": limits.analyst_memory_bytes,
        "max_result_rows": limits.analyst_result_rows_max,
        "max_threads": limits.analyst_threads_max,
        "max_temporary_data_on_disk_size_for_query": limits.analyst_spill_bytes_max,
    }
    chosen = {name: str(bound) for name, bound in bounds.items()}
    for name, value in asked.items():
        if name in bounds:
            # 0 means "no limit" to ClickHouse, so it is refused like every value above the bound.
            if not (value.isascii() and value.isdigit() and 1 <= int(value) <= bounds[name]):
                raise EngineError(READONLY, f"Setting {name} should be between 1 and {bounds[name]} for {user.name}.")
        elif name == "readonly" and value in ("1", "2"):
            continue
        elif not _ANALYST_MAY_SET.fullmatch(name):
            raise EngineError(READONLY, f"Cannot modify '{name}' setting in readonly mode.")
        chosen[name] = value
    # Last and on its own: from here on the engine refuses every further change.
    chosen.pop("readonly", None)
    return chosen


def refuse_for_analyst(
    normal_text: bytes, database: str | None, *, reads_only: bool, table_functions: frozenset[str]
) -> None:
    """Refuses what a read-only user may not run, judged by the engine's own normal form of the query.

    Args:
        normal_text: the query as the engine's formatter prints it: no comments, one way of quoting.
        database: the database in which names without one are looked up, None for the default.
        reads_only: whether the engine's classifier calls it one read-only statement.
        table_functions: all table functions of the engine, in lower case.

    Raises:
        EngineError: ACCESS_DENIED.
    """
    if not reads_only:
        raise EngineError(ACCESS_DENIED, "Not enough privileges: a read-only user may only read.")
    refuse_calls(lex(normal_text), table_functions - _ANALYST_TABLE_FUNCTIONS)
    refuse_mention(lex(normal_text), _READS_FILES)
    if database is not None and database.lower() == _SYSTEM:
        raise EngineError(ACCESS_DENIED, "Not enough privileges: name the tables of system with their database.")
    refuse_tables(lex(normal_text), _SYSTEM, _SYSTEM_TABLES)
    refuse_shown(lex(normal_text), _SHOWN)
