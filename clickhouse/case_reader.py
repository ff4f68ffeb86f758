"""Reading cases: pages of them by filter, some by the beginnings of their ids, and all that is known of one.

Rows come back as dictionaries by column name; amounts are Decimal in major units, times aware datetimes in UTC.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple

from clickhouse_connect.driver.client import Client

from clickhouse.case_lists import RAISED_US, STAKE_OR_LESS
from clickhouse.case_versions import LOOKED_UP, STANDING_IN, Order, Place, beyond, first_cases
from clickhouse.case_views import CASE_VIEWS
from clickhouse.client import translated_errors
from clickhouse.definition import FINAL_CLAUSE
from clickhouse.query import Query, Record
from trueup.model.errors import ConfigurationError

Sort = Literal["amount", "age", "opened"]

ID_CHARS: Final = 32
"""Hexadecimal digits of a whole id."""

IDS_MAX: Final = 500
"""Ids of one query: parameters travel in its address."""

UNSETTLED: Final = ("open", "regressed", "acknowledged", "assigned", "snoozed", "waive-requested")
"""Standings in which something is still to be done."""

STAKE: Final = "toDecimal256(stake, 4)"
"""What is in question in a row of `v_cases`, in 256 bits, so that sums of it are exact."""

AT_ONCE: Final = 1
IN_BACKGROUND: Final = 10
"""ClickHouse's `priority`: a query stands still while another with a lower number, other than 0, is running."""

_SORTS: Final[dict[str, Order]] = {
    "amount": Order(STAKE_OR_LESS, "Decimal(38, 4)", "DESC", "ASC"),
    "age": Order(RAISED_US, "Int64", "ASC", "ASC"),
    "opened": Order(RAISED_US, "Int64", "DESC", "ASC"),
}

_RAISED_IN: Final = (
    "discrepancy_id IN (SELECT discrepancy_id FROM {database}.case_wide FINAL "
    "WHERE has(occurrence_period, {{period:Date32}}))"
)
_RAISED_IN_VERSION: Final = "has(occurrence_period, {period:Date32})"
_CURSOR: Final = re.compile(r"(amount|age|opened)~(-?\d{1,34}(?:\.\d{1,4})?)~([0-9a-f]{32})")
COLUMNS: Final = tuple(column.name for column in CASE_VIEWS[0].columns)
"""All columns of `v_cases`."""

_COLUMNS: Final = ", ".join(f"`{name}`" for name in COLUMNS)


class CaseFilter(NamedTuple):
    """Which cases are meant; what is left empty does not restrict.

    `amount_from` is compared with what is in question, |actual − expected| in major units of each case's own currency, a
    missing side counting as nothing; it has at most 34 digits before its point and 4 behind it. `raised_until_us` is µs since
    the epoch. `period` is the first day of a month: cases that were raised in it, whatever became of them.
    """

    rules: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    standings: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    assignee: str = ""
    order_id: str = ""
    statement_id: str = ""
    entity_kind: str = ""
    entity_id: str = ""
    amount_from: Decimal | None = None
    raised_until_us: int | None = None
    period: date | None = None


class Page(NamedTuple):
    """Rows of `v_cases`, the cursor behind the last one, and the cursor before the first; "" where nothing more comes."""

    rows: list[Record]
    next: str
    previous: str = ""


class CaseReader:
    """Reads cases; every query binds its parameters.

    Errors of every method: UnavailableError when ClickHouse does not answer, ConfigurationError when the migrations were
    not applied.

    Args:
        client: from `clickhouse.client.connect`.
        database: name of the database.
    """

    def __init__(self, client: Client, database: str) -> None:
        self._client = client
        self._database = database
        self._raised_in = _RAISED_IN.format(database=database)

    def page(
        self, chosen: CaseFilter, rows_max: int, *, sort: Sort = "opened", after: str = "", before: str = "",
        columns: Sequence[str] = COLUMNS,
    ) -> Page:  # fmt: skip
        """At most `rows_max` cases: the largest amounts, the longest standing or the newest first.

        `after` is the cursor `next` of a page, `before` the cursor `previous` of one; only one of them may be given, and the
        page must have been sorted in the same way: ConfigurationError otherwise. `columns` must hold `discrepancy_id`.
        """
        rows = self.page_rows(chosen, rows_max + 1, sort=sort, after=after, before=before, columns=columns)
        has_more = len(rows) > rows_max
        del rows[rows_max:]
        if before:
            rows.reverse()
        cursors = [f"{sort}~{row.pop('sort_value')}~{row['discrepancy_id']}" for row in rows]
        if not rows:
            return Page(rows, "")
        return Page(
            rows, cursors[-1] if has_more or before else "", cursors[0] if after or (before and has_more) else ""
        )

    def page_query(
        self, chosen: CaseFilter, rows_max: int, *, sort: Sort = "opened", after: str = "", before: str = ""
    ) -> Query:
        """The rows of a page, and `sort_value` of each; with `before` they come in the opposite order."""
        order, place = _place(sort, after, before)
        parts, bound = _conditions(chosen, self._raised_in)
        if place is not None:
            condition, values = beyond(order, place)
            parts.append(condition)
            bound |= values
        return Query(
            f"SELECT {_COLUMNS}, {order.value} AS sort_value FROM {self._database}.v_cases "
            f"WHERE {' AND '.join(parts) or '1'} "
            f"ORDER BY {order.value} {order.direction}, discrepancy_id {order.id_direction} LIMIT {{rows:UInt32}}",
            {**bound, "rows": rows_max},
        )

    def page_rows(
        self, chosen: CaseFilter, rows_max: int, *, sort: Sort = "opened", after: str = "", before: str = "",
        columns: Sequence[str] = COLUMNS,
    ) -> list[Record]:  # fmt: skip
        """What `page_query` gives, these columns of it, by a faster way."""
        order, place = _place(sort, after, before)
        if chosen.order_id or chosen.statement_id or chosen.entity_id:
            order = order._replace(settings=LOOKED_UP)
        parts, bound = _conditions(chosen, _RAISED_IN_VERSION, STANDING_IN)
        return first_cases(self.rows, self._database, parts, bound, order, rows_max, place, columns)

    def standings_query(self, chosen: CaseFilter) -> Query:
        """standing, cases: how many there are in each, whatever standings the filter names."""
        parts, bound = _conditions(chosen._replace(standings=()), self._raised_in)
        return Query(
            f"SELECT standing, count() AS cases FROM {self._database}.v_cases WHERE {' AND '.join(parts) or '1'} "
            "GROUP BY standing ORDER BY standing",
            bound,
        )

    def sums_query(self, chosen: CaseFilter) -> Query:
        """currency, cases, amount: how many the filter means, and what is in question in them altogether."""
        parts, bound = _conditions(chosen, self._raised_in)
        return Query(
            f"SELECT currency, count() AS cases, sum({STAKE}) AS amount FROM {self._database}.v_cases "
            f"WHERE {' AND '.join(parts) or '1'} GROUP BY currency ORDER BY cases DESC, currency",
            bound,
        )

    def list_query(self, chosen: CaseFilter, columns: Sequence[str], rows_max: int, *, sort: Sort = "opened") -> Query:
        """These columns of `v_cases` for all that the filter means, in the order of the list, at most `rows_max`."""
        order = _SORTS[sort]
        parts, bound = _conditions(chosen, self._raised_in)
        return Query(
            f"SELECT {', '.join(columns)} FROM {self._database}.v_cases WHERE {' AND '.join(parts) or '1'} "
            f"ORDER BY {order.value} {order.direction}, discrepancy_id LIMIT {{rows:UInt32}}",
            {**bound, "rows": rows_max},
        )

    def beginning_with(self, prefixes: Sequence[str]) -> list[Record]:
        """The cases whose ids begin with one of these, each once, by id."""
        found: dict[str, Record] = {}
        for part in _portions(prefixes):
            ids = [text for text in part if len(text) == ID_CHARS]
            cut = [text for text in part if len(text) < ID_CHARS]
            # Apart, because whole ids are looked up, and only what was cut is compared with every id.
            for condition, texts in (
                ("discrepancy_id IN {texts:Array(String)}", ids),
                ("arrayExists(text -> startsWith(discrepancy_id, text), {texts:Array(String)})", cut),
            ):
                if texts:
                    rows = self._query(
                        f"SELECT {_COLUMNS} FROM {self._database}.v_cases WHERE {condition}", {"texts": texts}
                    )
                    found |= {row["discrepancy_id"]: row for row in rows}
        return [found[identifier] for identifier in sorted(found)]

    def rules(self) -> list[str]:
        """The rules that have found something."""
        return [
            row["rule"] for row in self._query(f"SELECT DISTINCT rule FROM {self._database}.v_cases ORDER BY 1", {})
        ]

    def occurrences(self, discrepancy_id: str) -> list[Record]:
        """Every time it was raised, oldest first: number, raised_at, period, resolved_at, currency, stake."""
        return self._query(
            "SELECT number, raised_at, period, resolved_at, currency, stake FROM "
            # Joined behind the lookup: the condition does not pass an ARRAY JOIN, and every case would be read.
            f"(SELECT COLUMNS('^occurrence_') FROM {self._database}.case_wide FINAL WHERE discrepancy_id = {{id:String}} {FINAL_CLAUSE}) "
            "ARRAY JOIN occurrence_number AS number, occurrence_raised_at AS raised_at, occurrence_period AS period, "
            "occurrence_resolved_at AS resolved_at, occurrence_currency AS currency, occurrence_stake AS stake "
            "ORDER BY number",
            {"id": discrepancy_id},
        )

    def finding(self, discrepancy_id: str) -> Record | None:
        """What the judge knows beyond the case: spec, rule_version, cause, cause_detail, and evidence as JSON."""
        rows = self._query(
            f"SELECT spec, rule_version, cause, cause_detail, evidence FROM {self._database}.v_discrepancies "
            "WHERE discrepancy_id = {id:String}",
            {"id": discrepancy_id},
        )
        return rows[0] if rows else None

    def steps(self, discrepancy_id: str) -> list[Record]:
        """Its rows of the audit log in time order: verdicts and commands, also refused ones."""
        return self._query(
            f"SELECT at, kind, actor, outcome, reason, revision, note, body FROM {self._database}.v_audit_log "
            "WHERE discrepancy_id = {id:String} ORDER BY at, topic, kafka_offset",
            {"id": discrepancy_id},
        )

    def _query(self, text: str, parameters: dict[str, Any]) -> list[Record]:
        return self.rows(Query(text, parameters))

    def rows(self, query: Query) -> list[Record]:
        """The rows of any query."""
        return self._rows(query, AT_ONCE)

    def rows_in_background(self, query: Query) -> list[Record]:
        """The rows of a query that nobody waits for: it gives way to those that somebody does."""
        return self._rows(query, IN_BACKGROUND)

    def _rows(self, query: Query, priority: int) -> list[Record]:
        with translated_errors(f"query of {self._database}"):
            result = self._client.query(query.text, parameters=dict(query.parameters), settings={"priority": priority})
            return list(result.named_results())


def _conditions(
    chosen: CaseFilter, raised_in: str, standing_in: str = "standing IN {standings:Array(String)}"
) -> tuple[list[str], dict[str, Any]]:
    """SQL conditions with the values that they bind; given are the one for the period, and that for standings."""
    held: dict[str, tuple[str, Any]] = {
        "rules": ("rule IN {rules:Array(String)}", list(chosen.rules)),
        "classes": ("class IN {classes:Array(String)}", list(chosen.classes)),
        "standings": (standing_in, list(chosen.standings)),
        "sellers": ("shop_id IN {sellers:Array(String)}", list(chosen.sellers)),
        "currencies": ("currency IN {currencies:Array(String)}", list(chosen.currencies)),
        "severities": ("severity IN {severities:Array(String)}", list(chosen.severities)),
        "assignee": ("assignee = {assignee:String}", chosen.assignee),
        "order_id": ("order_id = {order_id:String}", chosen.order_id),
        "statement_id": ("statement_id = {statement_id:String}", chosen.statement_id),
        "entity_kind": ("entity_kind = {entity_kind:String}", chosen.entity_kind),
        "entity_id": ("entity_id = {entity_id:String}", chosen.entity_id),
        "amount_from": ("stake >= {amount_from:Decimal(38, 4)}", chosen.amount_from),
        "raised_until_us": (
            f"{RAISED_US} <= {{raised_until_us:Int64}}",
            chosen.raised_until_us,
        ),
        "period": (raised_in, chosen.period),
    }
    given = {name: pair for name, pair in held.items() if pair[1] is not None and pair[1] not in ([], "")}
    return [condition for condition, _ in given.values()], {name: value for name, (_, value) in given.items()}


def _place(sort: Sort, after: str, before: str) -> tuple[Order, Place | None]:
    """The order of a page, and behind which place its rows come; before a cursor the list runs the other way."""
    order = _SORTS[sort]
    if after and before:
        raise ConfigurationError("a page is after or before another", remedy="give one cursor")
    if before:
        order = order._replace(direction="ASC" if order.direction == "DESC" else "DESC", id_direction="DESC")
    return order, _read_cursor(after or before, sort) if after or before else None


def _read_cursor(cursor: str, sort: Sort) -> Place:
    """Where the last row stands."""
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ConfigurationError(
            f"{cursor[:100]!r} is no cursor", where="the cursor of a page", remedy="give what the page before printed"
        )
    if found[1] != sort:
        raise ConfigurationError(
            f"the cursor is of a list sorted by {found[1]}",
            where="the cursor of a page",
            remedy=f"sort by {found[1]} again",
        )
    return Place(found[2], found[3])


def _portions(values: Sequence[str]) -> Iterator[list[str]]:
    for at in range(0, len(values), IDS_MAX):
        yield list(values[at : at + IDS_MAX])
