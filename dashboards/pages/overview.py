"""The overview: what is matched, open and at risk, how fast it is found, how far the stages are, and what came last."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from typing import Any, Final

from fastapi import APIRouter
from fastapi.responses import HTMLResponse
from starlette.requests import Request

from clickhouse import board_reader
from clickhouse.case_reader import CaseFilter
from dashboards.pages.case_view import ROW_COLUMNS, View, difference
from dashboards.pipeline import JUDGING_STAGES
from dashboards.web.board import Board, BoardDep
from dashboards.web.guard import Viewer
from dashboards.web.language import translator
from dashboards.web.page import language_of, render
from dashboards.web.sampler import Figure, Sample
from reconcile.cases.policy import SEVERITIES
from trueup.case_choice import ALL, STANDINGS, Choice

router = APIRouter()

LATEST: Final = 8
CURRENCIES_SHOWN: Final = 4
"""Tiles of money at risk; the table has all currencies."""

_FIGURES: Final = {
    "orders": board_reader.orders_by_verdict,
    "rules": board_reader.cases_by_rule,
    "risk": board_reader.money_at_risk,
    "latency": board_reader.latency,
    "histogram": board_reader.latency_histogram,
    "flow": board_reader.flow_by_minute,
    "trend": board_reader.risk_by_day,
    "watermarks": board_reader.watermarks,
    "written": board_reader.written_by_table,
}

_EXACT: Final = Context(prec=80)
"""More digits than any sum of amounts has: the usual 28 would round it."""

_MIRRORS: Final = ("orders", "billing_item", "payout_item", "statement", "payout")
"""Tables whose rows are the changes that come in."""


@router.get("/")
def show(request: Request, board: BoardDep, _account: Viewer, currency: str = "") -> HTMLResponse:
    """The whole page; figures that were never read say so, and follow."""
    return render(request, "overview.html", **_figures(request, board, currency), latest=_latest(board))


@router.get("/overview/tiles")
def show_tiles(request: Request, board: BoardDep, _account: Viewer, currency: str = "") -> HTMLResponse:
    """The tiles and the data of the charts alone, for a page that is open."""
    return render(request, "_overview_tiles.html", **_figures(request, board, currency))


@router.get("/overview/tables")
def show_tables(request: Request, board: BoardDep, _account: Viewer, currency: str = "") -> HTMLResponse:
    """The tables alone."""
    return render(request, "_overview_tables.html", **_figures(request, board, currency))


@router.get("/overview/latest")
def show_latest(request: Request, board: BoardDep, _account: Viewer) -> HTMLResponse:
    """The rows of the latest discrepancies alone."""
    return render(request, "_overview_latest.html", latest=_latest(board))


def _latest(board: Board) -> list[dict[str, Any]]:
    page = board.cases.page(CaseFilter(standings=STANDINGS), LATEST, columns=ROW_COLUMNS)
    return [{**case, "difference": difference(case)} for case in page.rows]


def _figures(request: Request, board: Board, currency: str) -> dict[str, Any]:
    samples = dict(
        zip(
            _FIGURES,
            board.sampler.look(
                [Figure(make(board.database), board.cases.rows_in_background) for make in _FIGURES.values()]
            ),
            strict=True,
        )
    )
    values: dict[str, Any] = {name: sample.value or [] for name, sample in samples.items()}
    risk = risk_by_currency(values["risk"])
    shown = (
        currency if currency in {row["currency"] for row in values["trend"]} else (risk[0]["currency"] if risk else "")
    )
    say = translator(language_of(request))
    return {
        "samples": samples,
        "is_waiting": any(sample.read_at is None and not sample.error for sample in samples.values()),
        "orders": {row["verdict"]: row["orders"] for row in values["orders"]},
        "rules": values["rules"],
        "sums": {name: sum(row[name] for row in values["rules"]) for name in ("unsettled", "decided", "auto_resolved")},
        "risk": risk,
        "risk_shown": risk[:CURRENCIES_SHOWN],
        "severities": SEVERITIES,
        "latency": next(iter(values["latency"]), None),
        "watermarks": values["watermarks"],
        "lag_ms": source_lag_ms(values["watermarks"]),
        "changes_per_second": _changes(samples["written"]),
        "written": values["written"],
        "flow": flow_points(values["flow"], datetime.now(UTC)),
        "histogram": histogram_bars(values["histogram"]),
        "trend": [row for row in values["trend"] if row["currency"] == shown],
        "trend_currency": shown,
        "trend_currencies": sorted({row["currency"] for row in values["trend"]}),
        "charts": charts(values, shown, say),
        "list_of": lambda **fields: View(Choice(**fields)).address(),
        "all_standings": (ALL,),
    }


def risk_by_currency(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One entry per currency, the one with most cases first: its cases, amount, and amounts by severity."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        entry = found.setdefault(
            row["currency"], {"currency": row["currency"], "cases": 0, "amount": Decimal(0), "by_severity": {}}
        )
        entry["cases"] += row["cases"]
        entry["amount"] = _EXACT.add(entry["amount"], row["amount"] or 0)
        entry["by_severity"][row["severity"]] = row["amount"]
    return sorted(found.values(), key=lambda entry: (-entry["cases"], entry["currency"]))


def source_lag_ms(rows: Sequence[Mapping[str, Any]]) -> int | None:
    """How far the slowest stage is behind, None while no stage has told; what does not judge tells only when rows come."""
    return max((row["lag_ms"] for row in rows if row["stage"] in JUDGING_STAGES), default=None)


def flow_points(rows: Sequence[Mapping[str, Any]], now: datetime) -> list[dict[str, Any]]:
    """minute, opened, resolved for each minute of the last hour; nothing was told in those that are not in the rows."""
    told = {row["minute"]: row for row in rows}
    last = now.replace(second=0, microsecond=0)
    minutes = [last - timedelta(minutes=back) for back in reversed(range(board_reader.FLOW_MINUTES))]
    nothing = {"opened": 0, "resolved": 0}
    return [{"minute": minute, **{name: told.get(minute, nothing)[name] for name in nothing}} for minute in minutes]


def histogram_bars(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """upto_ms (None for the open bar) and findings, every bar."""
    told = {row["bar"]: row["findings"] for row in rows}
    bounds: list[int | None] = [*board_reader.LATENCY_BOUNDS_MS, None]
    return [{"upto_ms": bound, "findings": told.get(number, 0)} for number, bound in enumerate(bounds)]


def charts(values: Mapping[str, Any], currency: str, say: Any) -> dict[str, Any]:
    """ECharts options by chart. Amounts travel as decimal text: only the picture is drawn with the browser's numbers."""
    flow = flow_points(values["flow"], datetime.now(UTC))
    bars = histogram_bars(values["histogram"])
    trend = [row for row in values["trend"] if row["currency"] == currency]
    return {
        "flow": {
            "legend": {"top": 0},
            "xAxis": {"type": "time"},
            "yAxis": {"type": "value", "minInterval": 1},
            "series": [
                {
                    "name": say(name),
                    "type": "bar",
                    "stack": name,
                    "data": [[int(point["minute"].timestamp()) * 1000, point[field]] for point in flow],
                }
                for name, field in (("opened", "opened"), ("resolved by themselves", "resolved"))
            ],
        },
        "histogram": {
            "xAxis": {"type": "category", "data": [bar_name(bar["upto_ms"]) for bar in bars]},
            "yAxis": {"type": "value", "minInterval": 1},
            "series": [{"name": say("findings"), "type": "bar", "data": [bar["findings"] for bar in bars]}],
        },
        "trend": {
            "xAxis": {"type": "time"},
            "yAxis": {"type": "value"},
            "series": [
                {
                    "name": currency,
                    "type": "line",
                    "step": "end",
                    "areaStyle": {"opacity": 0.12},
                    "data": [[row["day"].isoformat(), f"{row['amount']:f}"] for row in trend],
                }
            ],
        },
    }


def bar_name(upto_ms: int | None) -> str:
    """`≤ 250 ms`, and `> 60 s` for the open bar."""
    bound = board_reader.LATENCY_BOUNDS_MS[-1] if upto_ms is None else upto_ms
    text = f"{bound} ms" if bound < 1_000 else f"{bound / 1_000:g} s"
    return f"{'>' if upto_ms is None else '≤'} {text}"


def _changes(sample: Sample) -> float | None:
    """Changes that came in per second, None while unknown."""
    if sample.value is None:
        return None
    return float(sum(row["rows_per_second"] for row in sample.value if row["table"] in _MIRRORS))
