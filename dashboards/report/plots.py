"""Plots of the report as SVG: only figures and names stand in them, so that they need no translation and no font of their own."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from zoneinfo import ZoneInfo

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

Row = Mapping[str, Any]

RAISED: Final = "#c2570c"
RESOLVED: Final = "#2a7d4f"
OPEN: Final = "#1c5d99"
RULES_MAX: Final = 20
_INK: Final = "#16202b"
_LINE: Final = "#d5dae1"
_STYLE: Final[Any] = {
    # Text stays text: the page's own font draws it, whatever the language.
    "svg.fonttype": "none",
    # The same figures give the same bytes.
    "svg.hashsalt": "trueup",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}
_HEAD: Final = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
_METADATA: Final = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


def plot_of(key: str, rows: Sequence[Row], start: datetime, end: datetime, zone: str) -> str:
    """The plot of a section as an SVG element, "" for a section without rows or without a plot."""
    if not rows:
        return ""
    if key == "hours":
        return _hours(rows, start, end, zone)
    if key == "open":
        return _bars(rows)
    return ""


def _hours(rows: Sequence[Row], start: datetime, end: datetime, zone: str) -> str:
    place = ZoneInfo(zone)
    hours_count = round((end - start).total_seconds() / 3600)
    raised, resolved = [0] * hours_count, [0] * hours_count
    for row in rows:
        at = min(max(int((row["hour"] - start).total_seconds() // 3600), 0), hours_count - 1)
        raised[at] += row["raised"]
        resolved[at] += row["resolved"]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 2.2), layout="constrained")
        axes = figure.subplots()
        places = range(hours_count)
        axes.bar([place - 0.2 for place in places], raised, width=0.4, color=RAISED)
        axes.bar([place + 0.2 for place in places], resolved, width=0.4, color=RESOLVED)
        shown = list(places)[::3]
        labels = [datetime.fromtimestamp(start.timestamp() + 3600 * at, place).strftime("%H:%M") for at in shown]
        axes.set_xticks(shown, labels)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=_LINE, linewidth=0.6)
        axes.set_axisbelow(True)
        _no_frame(axes)
        return _svg(figure)


def _bars(rows: Sequence[Row]) -> str:
    """Open cases by rule, the most first. Cases are counted, not amounts: those have different currencies."""
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["rule"]] = counts.get(row["rule"], 0) + row["cases"]
    shown = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:RULES_MAX]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(8.4, 0.5 + 0.26 * len(shown)), layout="constrained")
        axes = figure.subplots()
        bars = axes.barh([rule for rule, _ in shown], [count for _, count in shown], color=OPEN, height=0.6)
        axes.bar_label(bars, [f"{Decimal(count):,}" for _, count in shown], padding=3)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.xaxis.set_visible(False)
        axes.tick_params(axis="y", length=0)
        _no_frame(axes)
        return _svg(figure)


def _no_frame(axes: Any) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def _svg(figure: Figure) -> str:
    drawn = io.StringIO()
    figure.savefig(drawn, format="svg", transparent=True, metadata={"Date": None})
    return _METADATA.sub("", _HEAD.sub("", drawn.getvalue()))
