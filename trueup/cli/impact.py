"""`trueup check --impact`: what another spec would change, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from trueup.checking.impact import OUTCOMES, Impact, Outcome, Tally
from trueup.checking.impact_run import SpecImpact, Tell
from trueup.model.money import to_text

_TITLES: dict[Outcome, str] = {
    "stays": "stays open",
    "changes": "stays open, other amounts",
    "opens": "would open",
    "resolves": "would resolve",
}


@contextmanager
def progress() -> Iterator[Tell]:
    """A bar on standard error, where that is a terminal; gone when the work is done."""
    columns = (TextColumn("judging"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("judging", total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell


def impact_document(found: list[SpecImpact]) -> dict[str, Any]:
    """The same for scripts; amounts are decimal texts by currency."""
    return {
        "specs": [
            {
                "name": one.spec.name,
                "version": one.spec.version,
                "states": one.impact.states,
                "pending": one.impact.pending,
                "changes": [
                    {
                        "rule": rule,
                        "outcome": outcome,
                        "count": tally.count,
                        "at_stake": {code: to_text(amount, code) for code, amount in sorted(tally.stake_minor.items())},
                        "examples": tally.examples,
                    }
                    for rule, outcome, tally in _in_order(one.impact)
                ],
            }
            for one in found
        ]
    }


def show_impact(found: list[SpecImpact]) -> None:
    """One table for each spec."""
    console = Console(highlight=False)
    for one in found:
        pending = f", {one.impact.pending:,} not judged yet and left out" if one.impact.pending else ""
        console.print(f"[bold]{one.spec.name}[/] version {one.spec.version}: {one.impact.states:,} states{pending}")
        if not one.impact.tallies:
            console.print("nothing is open, and nothing would open")
            continue
        table = Table("rule", "", Column("cases", justify="right"), "at stake", "such as", box=None, pad_edge=False)
        for rule, outcome, tally in _in_order(one.impact):
            stakes = ", ".join(f"{to_text(amount, code)} {code}" for code, amount in sorted(tally.stake_minor.items()))
            table.add_row(rule, _TITLES[outcome], f"{tally.count:,}", stakes, ", ".join(tally.examples))
        console.print(table)


def _in_order(impact: Impact) -> list[tuple[str, Outcome, Tally]]:
    """By rule, and what changes nothing first."""
    entries = [(rule, outcome, tally) for (rule, outcome), tally in impact.tallies.items()]
    return sorted(entries, key=lambda entry: (entry[0], OUTCOMES.index(entry[1])))
