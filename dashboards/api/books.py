"""`/api/v1/orders`, `/statements`, `/quarantine`, `/periods` and `/status`: the books as they stand."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query

from clickhouse.board_reader import cases_by_rule, money_at_risk, orders_by_verdict, watermarks
from clickhouse.case_reader import CaseFilter
from clickhouse.order_queries import LEG_VIEWS, order, order_leg_by_key, order_steps, payouts_of
from clickhouse.period_queries import period_status
from clickhouse.quarantine_queries import LIST_KEYS as REFUSED_KEYS
from clickhouse.quarantine_queries import QuarantineFilter, refused_list, refused_message, replays_of
from clickhouse.statement_queries import (
    ITEM_KEYS,
    LIST_KEYS,
    StatementFilter,
    statement,
    statement_items,
    statement_list,
    statement_payouts,
)
from dashboards.api import examples
from dashboards.api.asking import ID_CHARS_MAX, After, Limit, one_of, page_of, rows_of, text_filter
from dashboards.api.bearer import ApiViewer
from dashboards.api.documents import Document, case_row
from dashboards.web.board import Board, BoardDep
from dashboards.web.sampler import Figure
from trueup.case_choice import read_month
from trueup.model.errors import ConfigurationError
from trueup.order_trace import change_events, newest_offsets, verdict_events

router = APIRouter(prefix="/api/v1", tags=["books"])

DISCREPANCIES_MAX: Final = 200
EVENTS_SECONDS_MAX: Final = 8.0
MONTHS_SHOWN: Final = 12
STATUS_WAIT_SECONDS: Final = 5.0

Id = Annotated[str, Path(max_length=ID_CHARS_MAX)]


@router.get("/orders/{order_id}", responses=examples.ORDER)
def show_order(
    board: BoardDep,
    _account: ApiViewer,
    order_id: Id,
    events: Annotated[
        bool, Query(description="also its change events and verdicts in time order, out of Kafka")
    ] = False,
) -> Document:
    """An order with all its legs, payouts and discrepancies."""
    held = one_of(board, order(board.database, order_id), "order")
    legs = {table: rows_of(board, order_leg_by_key(board.database, table, order_id)) for table in LEG_VIEWS}
    payout_ids = sorted({line["payout_id"] for line in legs["payout_item"]})
    document: dict[str, Any] = {
        "order": held,
        "legs": legs,
        "payouts": rows_of(board, payouts_of(board.database, payout_ids)) if payout_ids else [],
        "discrepancies": _about(board, CaseFilter(order_id=order_id)),
    }
    if events:
        changes = change_events(
            board.settings, order_id, held["partition"], newest_offsets(board.settings, legs),
            seconds_max=EVENTS_SECONDS_MAX,
        )  # fmt: skip
        verdicts = verdict_events(rows_of(board, order_steps(board.database, order_id)))
        document["events"] = [event._asdict() for event in sorted([*changes.events, *verdicts])]
        document["events_are_whole"] = changes.is_whole
    return Document(document)


@router.get("/statements", responses=examples.STATEMENTS)
def list_statements(  # noqa: PLR0913 - one parameter per filter
    board: BoardDep,
    _account: ApiViewer,
    seller: Annotated[str, text_filter("shop id")] = "",
    status: Annotated[str, text_filter("open, closed, confirmed, paying, paid, failed")] = "",
    currency: Annotated[str, text_filter("ISO-4217 code")] = "",
    verdict: Annotated[str, text_filter("matched, discrepant, pending")] = "",
    period: Annotated[date | None, Query(description="a day: statements whose cycle holds it")] = None,
    only_different: Annotated[bool, Query(description="only where our totals are not upstream's")] = False,
    limit: Limit = 100,
    after: After = "",
) -> Document:
    """Statements by filter, the newest cycles first: upstream's totals beside ours."""
    chosen = StatementFilter(seller, status, currency, verdict, period, only_different)
    return Document(page_of(board, statement_list(board.database, chosen, limit, after), limit, LIST_KEYS))


@router.get("/statements/{statement_id}", responses=examples.STATEMENT)
def show_statement(board: BoardDep, _account: ApiViewer, statement_id: Id) -> Document:
    """A statement with its running totals, payouts and discrepancies."""
    return Document(
        {
            "statement": one_of(board, statement(board.database, statement_id), "statement"),
            "payouts": rows_of(board, statement_payouts(board.database, statement_id)),
            "discrepancies": _about(board, CaseFilter(statement_id=statement_id)),
        }
    )


@router.get("/statements/{statement_id}/items", responses=examples.ITEMS)
def list_items(
    board: BoardDep, _account: ApiViewer, statement_id: Id, limit: Limit = 100, after: After = ""
) -> Document:
    """The billing items of a statement by their id."""
    return Document(page_of(board, statement_items(board.database, statement_id, limit, after), limit, ITEM_KEYS))


@router.get("/quarantine", responses=examples.QUARANTINE)
def list_quarantine(
    board: BoardDep,
    _account: ApiViewer,
    topic: Annotated[str, text_filter("Kafka topic")] = "",
    code: Annotated[str, text_filter("the reason's short name, such as malformed-json")] = "",
    only_waiting: Annotated[bool, Query(description="only what was not replayed yet")] = False,
    limit: Limit = 100,
    after: After = "",
) -> Document:
    """Messages that could not be applied, the newest first."""
    query = refused_list(board.database, QuarantineFilter(topic, code, only_waiting), limit, after)
    return Document(page_of(board, query, limit, REFUSED_KEYS))


@router.get("/quarantine/{topic}/{partition}/{offset}", responses=examples.REFUSED)
def show_refused(
    board: BoardDep,
    _account: ApiViewer,
    topic: Id,
    partition: Annotated[int, Path(ge=0, le=65_535)],
    offset: Annotated[int, Path(ge=0, le=2**63 - 1)],
) -> Document:
    """One refused message with its bytes, in hexadecimal, and its replays."""
    held = one_of(board, refused_message(board.database, topic, partition, offset), "message in quarantine")
    return Document({"message": held, "replays": rows_of(board, replays_of(board.database, topic, partition, offset))})


@router.get("/periods", responses=examples.PERIODS)
def list_periods(
    board: BoardDep,
    _account: ApiViewer,
    first: Annotated[
        str, text_filter("first month (UTC), such as 2026-01; default: eleven months before the last")
    ] = "",
    last: Annotated[str, text_filter("last month; default: this one")] = "",
) -> Document:
    """What each accounting period raised, resolved and left open."""
    until = read_month(last, "last") if last else datetime.now(UTC).date().replace(day=1)
    since = read_month(first, "first") if first else _months_before(until, MONTHS_SHOWN - 1)
    if since > until:
        raise ConfigurationError("the first month is after the last", where="first", remedy="exchange them")
    return Document({"rows": rows_of(board, period_status(board.database, since, until))})


@router.get("/status", responses=examples.STATUS)
def show_status(board: BoardDep, _account: ApiViewer) -> Document:
    """How far everything is, and what is open; each figure says when it was read."""
    queries = {
        "orders_by_verdict": orders_by_verdict(board.database),
        "discrepancies_by_rule": cases_by_rule(board.database),
        "money_at_risk": money_at_risk(board.database),
        "watermarks": watermarks(board.database),
    }
    samples = board.sampler.look(
        [Figure(query, board.cases.rows_in_background) for query in queries.values()], STATUS_WAIT_SECONDS
    )
    return Document(
        {
            name: {"rows": sample.value, "read_at": sample.read_at, "error": sample.error or None}
            for name, sample in zip(queries, samples, strict=True)
        }
    )


def _about(board: Board, chosen: CaseFilter) -> list[dict[str, Any]]:
    """Every discrepancy of an entity, the newest first, however it stands."""
    return [case_row(case) for case in board.cases.page(chosen, DISCREPANCIES_MAX).rows]


def _months_before(month: date, count: int) -> date:
    number = month.year * 12 + month.month - 1 - count
    return date(max(1, number // 12), number % 12 + 1, 1)
