"""One discrepancy on the terminal: what the books say, why it stands where it stands, and its whole story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trueup.case_story import difference_minor
from trueup.cli.case_table import STYLES, amount_text, local_time, plain
from trueup.model.money import minor_units, shown, to_decimal

_STEP_STYLES: Final = {"raised": "red", "regressed": "bold red", "changed": "red", "resolved": "green"}


def print_story(console: Console, case: Mapping[str, Any], story: Mapping[str, Any]) -> None:
    """Print a row of `v_cases` and the document that `case_story` made of it."""
    console.print(
        Text.assemble(
            (case["discrepancy_id"], "bold cyan"), "  ", (case["standing"], STYLES.get(case["standing"], "")),
            "  ", (case["rule"], "bold"), f"  {case['entity_kind']} {plain(case['entity_id'])}",
        )
    )  # fmt: skip
    console.print(Text(plain(case["detail"])))
    console.print(_facts(case, story))
    _print_raises(console, story)
    _print_evidence(console, story)
    _print_timeline(console, story)
    if case["order_id"]:
        console.print(Text(f"the order: trueup trace {plain(case['order_id'])}", "dim"))
    elif case["statement_id"]:
        console.print(Text(f"the statement: trueup totals {plain(case['statement_id'])}", "dim"))


def _facts(case: Mapping[str, Any], story: Mapping[str, Any]) -> Table:
    currency = case["currency"]
    cause = f"{story['cause']}: {story['cause_detail']}" if story["cause"] else "none is known"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    belongs = (
        (name, case[key]) for name, key in (("seller", "shop_id"), ("order", "order_id"), ("statement", "statement_id"))
    )
    facts = [
        ("standing", f"{case['standing']}: {story['why']}"),
        ("likely cause", cause),
        ("belongs to", ", ".join(f"{name} {value}" for name, value in belongs if value) or "–"),
        ("severity", f"{case['severity']}, due {local_time(case['due_at'])}"),
        ("assignee", case["assignee"] or "–"),
        ("rule", f"{case['rule']} of {story['spec']} version {story['rule_version']}, {case['class']}"),
        ("revision", str(case["revision"])),
    ]
    if difference_minor(case) is not None:
        books = f"{shown(case['expected'], currency)} expected, {shown(case['actual'], currency)} found"
        facts.insert(0, ("books", f"{books}: {amount_text(case)}"))
    for name, text in facts:
        grid.add_row(name, Text(plain(text)))
    for note in story["comment_notes"]:
        grid.add_row("comment", Text(plain(f"{note['actor']}, {local_time(note['at'])}: {note['note']}")))
    return grid


def _print_raises(console: Console, story: Mapping[str, Any]) -> None:
    table = _table(f"raised {story['occurrences']} times" if story["occurrences"] > 1 else "raised once")
    for name in ("nr.", "period", "raised", "books agreed again", "in question"):
        table.add_column(name, justify="right" if name in {"nr.", "in question"} else "left", overflow="fold")
    for one in story["raises"]:
        resolved = local_time(one["resolved_at"]) if one["resolved_at"] else Text("not yet", "red")
        money = _money(one["in_question"], one["currency"])
        table.add_row(str(one["number"]), one["period"], local_time(one["raised_at"]), resolved, money)
    console.print(table)


def _print_evidence(console: Console, story: Mapping[str, Any]) -> None:
    table = _table("evidence: the rows that it rests on")
    for name in ("table", "key", "committed", "topic", "partition:offset"):
        table.add_column(name, overflow="fold")
    for leg in story["evidence"]:
        place = f"{leg['partition']}:{leg['offset']}"
        table.add_row(leg["table"], plain(leg["primary_key"]), local_time(leg["committed_at"]), leg["topic"], place)
    console.print(table if story["evidence"] else Text("evidence: no row is there yet", "bold"))


def _print_timeline(console: Console, story: Mapping[str, Any]) -> None:
    zone = story["last_at"].astimezone().strftime("%Z")
    table = _table(f"in time order ({zone})")
    for name in ("time", "what", "who", "detail"):
        table.add_column(name, overflow="fold", no_wrap=name in {"time", "what"})
    for step in story["timeline"]:
        applied = step["outcome"] == "applied"
        style = _STEP_STYLES.get(step["kind"], "") if applied else "dim"
        what = step["kind"] if applied else f"{step['kind']} ({step['outcome']})"
        detail = " · ".join(text for text in (_judged(step), step["note"], step["reason"]) if text)
        at = step["at"].astimezone().strftime("%Y-%m-%d %H:%M:%S")
        table.add_row(at, Text(what, style), plain(step["actor"]) or "–", Text(plain(detail)))
    console.print(table)


def _judged(step: Mapping[str, Any]) -> str:
    """The amounts of a verdict. What a person saw is what the verdict before says, so it is told once."""
    if step["actor"] or not step["currency"]:
        return ""
    return " → ".join(_money(step[name], step["currency"]) for name in ("expected", "actual"))


def _money(text: str | None, currency: str) -> str:
    """An amount that travels as text."""
    return shown(None if text is None else to_decimal(minor_units(text, currency), currency), currency)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
