"""`trueup status`, `trace`, `totals`: what a running stack knows, as tables or as JSON."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clickhouse.client import connect
from clickhouse.reader import Reader
from trueup.inspection import order_timeline, stack_status, statement_facts
from trueup.model.errors import ConfigurationError
from trueup.model.money import shown
from trueup.stack_files import running_settings

DataDir = Annotated[Path, typer.Option("--data-dir", help="Data directory of the running stack.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextlib.contextmanager
def _reader(data_dir: Path) -> Iterator[Reader]:
    settings, _ = running_settings(data_dir)
    client = connect(settings.clickhouse)
    try:
        yield Reader(client, settings.clickhouse.database)
    finally:
        client.close()


def status(data_dir: DataDir = Path(".trueup"), json: Json = False) -> None:
    """Services, lag, watermarks, verdicts and open discrepancies of the running stack."""
    settings, runtime = running_settings(data_dir)
    with _reader(data_dir) as reader:
        found = stack_status(settings, runtime, reader)
    if json:
        return _print_json(found)
    console = Console(highlight=False)
    table = Table(title="services", title_justify="left")
    for name in ("service", "state", "pid", "port", "restarts", "last error"):
        table.add_column(name, overflow="fold")
    for service in found["services"]:
        color = {"ready": "green", "failed": "red"}.get(service["state"], "yellow")
        state = service["state"] + (" (paused)" if service["paused"] else "")
        cells = (service["pid"], service["port"], service["restarts"], service["last_error"])
        table.add_row(service["name"], Text(state, style=color), *(str(cell or "") for cell in cells))
    console.print(table)
    facts = Table.grid(padding=(0, 2))
    waiting = found["lag_records"]
    facts.add_row("Kafka lag", "not told by this broker" if waiting is None else f"{waiting:,} records not yet durable")
    lag = found["watermark_lag_seconds"]
    facts.add_row("watermark", "none yet" if lag is None else f"{lag:.1f} s behind the clock")
    facts.add_row("orders", _counted(found["orders"]))
    facts.add_row("statements", _counted(found["statements"]))
    facts.add_row("discrepancies", _counted(found["discrepancies"]))
    facts.add_row("quarantine", _counted(found["quarantine"]))
    console.print(facts)
    for rule, count in found["open_by_rule"].items():
        console.print(f"  {count:>6,}  {rule}")
    return None


def trace(
    order_id: Annotated[str, typer.Argument(help="Order id.")],
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """Everything about one order in time order: legs, versions, CDC events, verdicts."""
    with _reader(data_dir) as reader:
        settings, _ = running_settings(data_dir)
        found = order_timeline(settings, reader, order_id)
    if found is None:
        raise ConfigurationError(
            f"order {order_id} is not known",
            where=str(data_dir),
            remedy="check the id; a new order takes a second to arrive",
        )
    if json:
        return _print_json(found)
    console = Console(highlight=False)
    order = found["order"]
    console.print(Text.assemble(("order ", "bold"), (order_id, "bold cyan"), f"  {order['verdict']}  ", _rules(order)))
    amounts = ("gross_amount", "tax_amount", "fee_amount", "net_amount", "billed_amount", "paid_out_amount")
    console.print(
        " · ".join(f"{name.removesuffix('_amount')} {shown(order[name], order['currency'])}" for name in amounts)
    )
    legs = Table(title="legs", title_justify="left")
    for name in ("table", "key", "state", "amount", "version", "partition:offset"):
        legs.add_column(name, overflow="fold")
    for leg in found["legs"]:
        legs.add_row(leg["table"], leg["key"], leg["state"], leg["amount"], str(leg["version"]), leg["place"])
    console.print(legs)
    events = Table(title="in time order", title_justify="left")
    for name in ("time (UTC)", "what", "detail"):
        events.add_column(name, overflow="fold")
    for event in found["events"]:
        events.add_row(event["at"], Text(event["what"], style="red" if event["is_bad"] else ""), event["detail"])
    console.print(events)
    return None


def totals(
    statement_id: Annotated[str, typer.Argument(help="Statement id.")],
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """A statement's running total beside upstream's amount and its payouts."""
    with _reader(data_dir) as reader:
        found = statement_facts(reader, statement_id)
    if found is None:
        raise ConfigurationError(
            f"statement {statement_id} is not known",
            where=str(data_dir),
            remedy="check the id; a new statement takes a second to arrive",
        )
    if json:
        return _print_json(found)
    console = Console(highlight=False)
    statement = found["statement"]
    console.print(
        Text.assemble(
            ("statement ", "bold"),
            (statement_id, "bold cyan"),
            f"  {statement['status']}  {statement['verdict']}  ",
            _rules(statement),
        )
    )
    table = Table()
    for name in ("", "count", "amount"):
        table.add_column(name, justify="left" if not name else "right")
    currency = statement["currency"]
    table.add_row(
        "upstream's statement", str(statement["upstream_count"]), f"{statement['upstream_amount']} {currency}"
    )
    for total_currency, count, amount in found["totals"]:
        table.add_row("running total", str(count), shown(amount, total_currency))
    table.add_row("payouts", str(statement["payout_count"]), shown(statement["payout_amount"], currency))
    table.add_row("payout lines", str(statement["line_count"]), shown(statement["line_amount"], currency))
    console.print(table)
    for row in found["discrepancies"]:
        color = "red" if row["status"] != "auto-resolved" else "green"
        console.print(
            Text(f"{row['status']}: {row['rule']} {row['entity_kind']} {row['entity_id']}: {row['detail']}", color)
        )
        console.print(Text(f"  likely cause: {row['cause']}: {row['cause_detail']}"))
    return None


def _rules(row: dict[str, Any]) -> tuple[str, str]:
    return ", ".join(row["open_rules"]), "bold red"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items()) or "none"


def _print_json(value: object) -> None:
    sys.stdout.write(orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode() + "\n")
