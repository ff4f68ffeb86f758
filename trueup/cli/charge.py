"""`trueup charge`: what a charging spec says an order costs, and how every fee came about."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from clickhouse.client import connect
from clickhouse.reader import Reader
from reconcile.charging.charge import match_rules
from reconcile.charging.explained import charge_document
from reconcile.charging.load import load_charging
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings
from trueup.stack_files import running_settings

DIGITS_SHOWN: Final = 12
"""Digits behind the point that a step shows; `--json` has them all."""


def charge(
    order_id: Annotated[str | None, typer.Argument(metavar="[ORDER]", help="Order id; or give --factors.")] = None,
    factors: Annotated[
        str | None, typer.Option("--factors", help="Factors as a JSON object, instead of an order.")
    ] = None,
    currency: Annotated[
        str, typer.Option("--currency", help="Currency of the order, with --factors, for fees in it.")
    ] = "",
    spec: Annotated[str, typer.Option("--spec", help="Charging spec, a name or a file (setting charging.spec).")] = "",
    explain: Annotated[bool, typer.Option("--explain", help="Print every step of every fee.")] = False,
    data_dir: Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")] = Path(
        ".trueup"
    ),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fees, shares and netting of one order by the charging spec; --explain prints how each fee came about."""
    if (order_id is None) == (factors is None):
        raise ConfigurationError(
            "give either an order or factors",
            remedy='`trueup charge 17`, or `trueup charge --factors \'{"km": "12.5"}\'`',
        )
    if order_id is not None:
        settings, factors, currency = _of_order(order_id, data_dir)
    else:
        settings = Settings()
    chosen = spec or settings.charging.spec
    if not chosen:
        raise ConfigurationError("there is no charging spec", remedy="give --spec, or set charging.spec")
    charging = load_charging(chosen)
    match = match_rules(charging, factors)
    found = charge_document(charging, match, order_currency=currency, with_steps=explain)
    if json:
        sys.stdout.write(orjson.dumps({"order": order_id, **found}, option=orjson.OPT_INDENT_2).decode() + "\n")
    else:
        _print(order_id, found)


def _of_order(order_id: str, data_dir: Path) -> tuple[Settings, str | None, str]:
    """The settings of the running stack, the order's factors and its currency."""
    settings, _ = running_settings(data_dir)
    client = connect(settings.clickhouse)
    try:
        rows = Reader(client, settings.clickhouse.database).order_legs(order_id)["orders"]
    finally:
        client.close()
    live = [row for row in rows if not row["is_deleted"]]
    if not live:
        raise ConfigurationError(
            f"order {order_id} is not known",
            where=str(data_dir),
            remedy="check the id; a new order takes a second to arrive",
        )
    return settings, live[0]["factors"], live[0]["currency"]


def _print(order_id: str | None, found: dict[str, Any]) -> None:
    console = Console(highlight=False)
    subject = f"order {order_id}" if order_id is not None else "these factors"
    rules = ", ".join(found["rules"]) or "no rule is meant for it"
    console.print(
        Text.assemble((subject, "bold"), f" · {found['spec']} version {found['version']} · ", (rules, "bold cyan"))
    )
    for asked in found["conditions"]:
        mark = ("holds", "green") if asked["holds"] else ("does not hold", "yellow")
        console.print(Text.assemble(f"  {asked['of']}: {asked['text']} ", mark))
    if "fees" not in found:
        return
    for steps in found.get("steps", ()):
        tree = Tree(_step(steps, f"{steps['fee']} = "))
        _grow(tree, steps["children"])
        console.print(tree)
    console.print(_table("fees", found["fees"], ("name", "party", "type", "direction", "amount", "currency")))
    console.print(_table("net", found["nets"], ("party", "payable", "receivable", "net", "currency")))
    console.print(Text(f"factors {found['factors']}\nSHA-256 {found['factors_sha256']}", "dim"))


def _grow(tree: Tree, children: list[dict[str, Any]]) -> None:
    for child in children:
        name = ""
        if child["text"].isidentifier() and child["children"]:
            # A named formula and the formula itself are one line.
            name, child = f"{child['text']} = ", child["children"][0]
        _grow(tree.add(_step(child, name)), child["children"])


def _step(step: dict[str, Any], name: str = "") -> Text:
    return Text.assemble((name, "bold"), step["text"], (f"  = {_shown(step['value'])}", "cyan"))


def _shown(value: str | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    whole, point, fraction = value.partition(".")
    return value if len(fraction) <= DIGITS_SHOWN else f"{whole}{point}{fraction[:DIGITS_SHOWN]}…"


def _table(title: str, rows: list[dict[str, str]], columns: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="right" if name in {"amount", "payable", "receivable", "net"} else "left")
    for row in rows:
        table.add_row(*(row[name] for name in columns))
    return table
