"""The demo's live view in a terminal, and its scorecard as tables."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import Any, Final

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from clickhouse.reader import Reader
from trueup.demo.listener import Listener, percentile
from trueup.demo.run import DemoResult, DemoState
from trueup.model.errors import TrueupError
from trueup.model.money import shown

RULES_SHOWN_MAX: Final = 12
RECENT_SHOWN: Final = 4
READ_EVERY_SECONDS: Final = 1.0


class LiveView:
    """Renders the state of a run; reads ClickHouse at most once a second."""

    def __init__(self, state: DemoState, reader: Reader, listener: Listener) -> None:
        self._state = state
        self._reader = reader
        self._listener = listener
        self._bar = Progress(
            TextColumn("[bold]{task.fields[phase]}"), BarColumn(bar_width=None),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f} orders"), TimeElapsedColumn(), expand=True,
        )  # fmt: skip
        self._task = self._bar.add_task("orders", total=state.orders_planned, phase=state.phase)
        self._read_at = 0.0
        self._last: tuple[float, int] = (time.monotonic(), 0)
        self._rate = 0.0
        self._open: Counter[str] = Counter()
        self._verdicts: dict[str, int] = {}
        self._statements: list[dict[str, Any]] = []
        self._lag_seconds: float | None = None
        self._note = ""

    def __rich__(self) -> RenderableType:
        self._refresh()
        state = self._state
        phase = "source stalled on purpose: nothing may be called missing" if state.stalled else state.phase
        if state.waiting is not None:
            phase = f"{phase} ({max(0.0, state.waiting.total_seconds()):.0f} s)"
        self._bar.update(self._task, completed=state.progress.orders, phase=phase)
        latencies = self._listener.latencies_ms(state.stall_us)
        figures = Table.grid(padding=(0, 3))
        for label, value in (
            ("source", f"{state.progress.changes:,} changes committed, {self._rate:,.0f}/s"),
            ("joined", ", ".join(f"{count:,} {verdict}" for verdict, count in self._verdicts.items()) or "–"),
            ("watermark lag", "–" if self._lag_seconds is None else f"{self._lag_seconds:.1f} s"),
            ("detection", _latency_text(latencies)),
        ):
            figures.add_row(Text(label, style="dim"), value)
        parts: list[RenderableType] = [self._bar, figures, self._tables()]
        parts += [Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in self._recent()]
        if self._note:
            parts.append(Text(self._note, style="yellow"))
        return Panel(Group(*parts), title="trueup demo", border_style="cyan")

    def _tables(self) -> RenderableType:
        found = Table(title="open discrepancies", title_justify="left", box=None, expand=True)
        found.add_column("rule")
        found.add_column("open", justify="right")
        for rule, count in sorted(self._open.items(), key=lambda entry: (-entry[1], entry[0]))[:RULES_SHOWN_MAX]:
            found.add_row(rule, f"{count:,}")
        totals = Table(title="running totals", title_justify="left", box=None, expand=True)
        for name in ("statement", "items", "amount"):
            totals.add_column(name, justify="left" if name == "statement" else "right")
        for row in self._statements:
            totals.add_row(row["statement_id"], f"{row['items']:,}", shown(row["amount"], row["currency"]))
        both = Table.grid(expand=True, padding=(0, 2))
        both.add_column(ratio=1)
        both.add_column(ratio=1)
        both.add_row(found, totals)
        return both

    def _recent(self) -> list[str]:
        lines = []
        for message in self._listener.recent(RECENT_SHOWN):
            delta = f" {message['delta']} {message['currency']}" if message["delta"] is not None else ""
            entity = f"{message['entity_kind']} {message['entity_id']}"
            lines.append(f"{message['status']:>13}  {message['rule']}  {entity}{delta}")
        return lines

    def _refresh(self) -> None:
        now = time.monotonic()
        if now - self._read_at < READ_EVERY_SECONDS:
            return
        changes = self._state.progress.changes
        self._rate = (changes - self._last[1]) / max(0.001, now - self._last[0])
        self._last = (now, changes)
        try:
            counts = self._reader.counts()
            self._verdicts = counts["order_wide"]
            self._open = Counter(row["rule"] for row in self._reader.open_discrepancies())
            self._statements = self._reader.newest_statements(RULES_SHOWN_MAX)
            marks = [row["watermark_at"] for row in self._reader.watermarks() if row["stage"] == "orders"]
            self._lag_seconds = (datetime.now(UTC) - min(marks)).total_seconds() if marks else None
            self._note = ""
        except TrueupError as error:
            self._note = error.what
        self._read_at = time.monotonic()


def _latency_text(latencies_ms: list[float]) -> str:
    if not latencies_ms:
        return "–"
    p50, p99 = percentile(latencies_ms, 0.5), percentile(latencies_ms, 0.99)
    return f"p50 {p50:,.0f} ms, p99 {p99:,.0f} ms after the commit ({len(latencies_ms):,} raised)"


def show_scorecard(console: Console, result: DemoResult) -> None:
    """The outcome: per fault kind, traps, totals, latency; whatever is wrong by name."""
    card = result.card
    table = Table(title="Scorecard", title_justify="left")
    table.add_column("fault kind")
    for name in ("planted", "found", "missed"):
        table.add_column(name, justify="right")
    for kind, fault in sorted(card.by_fault.items()):
        missed = fault.planted - fault.found
        table.add_row(kind, str(fault.planted), str(fault.found), Text(str(missed), style="red" if missed else "green"))
    table.add_section()
    table.add_row("all", str(card.planted), str(card.found), str(card.planted - card.found), style="bold")
    console.print(table)
    facts = Table.grid(padding=(0, 2))
    facts.add_row("orders", f"{result.workload.orders:,} in {result.elapsed_seconds:.0f} s")
    facts.add_row("changes", f"{result.workload.changes:,} row changes at the source")
    facts.add_row("findings", f"{card.expected:,} expected by the auditor, {len(card.missed)} missed")
    facts.add_row("false", f"{len(card.false_open)} left open")
    facts.add_row("traps", ", ".join(f"{count} {kind}" for kind, count in sorted(card.traps.items())))
    facts.add_row("traps sprung", str(len(card.traps_sprung)))
    facts.add_row(
        "totals", f"{card.totals_checked:,} checked against the source to the cent, {len(card.totals_wrong)} wrong"
    )
    facts.add_row("quarantined", f"{result.quarantined:,}")
    facts.add_row("latency", f"{_latency_text(result.latencies_ms)}, the stall left out")
    console.print(facts)
    for line in [*card.missed, *card.false_open, *card.traps_sprung, *card.totals_wrong][:20]:
        console.print(Text(line, style="red"))
    verdict = "all found, nothing false, every total right" if card.clean else "the books of the pipeline are wrong"
    console.print(Text(verdict, style="bold green" if card.clean else "bold red"))
