"""`trueup discrepancies`: where the books disagree, what is known about it, and what people decide."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from clickhouse.case_reader import CaseFilter, Sort
from trueup.case_story import case_document, case_story
from trueup.cli import discrepancies_actions as actions
from trueup.cli.case_desk import DataDir, Json, case_desk, cases_of, print_json
from trueup.cli.case_page import print_story
from trueup.cli.case_table import case_table
from trueup.cli.discrepancies_filter import case_filter, checked_filter
from trueup.cli.shared_options import shares

discrepancies = typer.Typer(help="Where the books disagree, and what people decide about it.", no_args_is_help=True)


@discrepancies.callback()
def options() -> None:
    """Where the books disagree, and what people decide about it. Ids may be given by their first digits."""


@discrepancies.command("list")
@shares(chosen=case_filter)
def list_cases(
    chosen: CaseFilter,
    sort: Annotated[
        Sort, typer.Option("--sort", help="Largest amount first, longest age first, or newest first.")
    ] = "opened",
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Rows of one page.")] = 50,
    after: Annotated[str, typer.Option("--after", help="Go on behind the cursor that the page before printed.")] = "",
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """Discrepancies by filter, page by page; as many columns as fit the terminal."""
    with case_desk(data_dir) as (settings, _, reader):
        page = reader.page(checked_filter(reader, settings, chosen), limit, sort=sort, after=after)
    if json:
        return print_json({"rows": [case_document(case) for case in page.rows], "next": page.next or None})
    console = Console(highlight=False, markup=False, emoji=False)
    if not page.rows:
        console.print("none")
        return None
    console.print(case_table(page.rows, console.width, datetime.now(UTC)))
    if page.next:
        console.print(f"more: --after {page.next}", soft_wrap=True)
    return None


@discrepancies.command()
def show(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Id, or its first digits.")],
    data_dir: DataDir = Path(".trueup"),
    json: Json = False,
) -> None:
    """Everything about one discrepancy: books, likely cause, evidence, standing, and every step in time order."""
    with case_desk(data_dir) as (_, _, reader):
        (case,) = cases_of(reader, [identifier])
        story = case_story(reader, case)
    if json:
        return print_json(story)
    print_story(Console(highlight=False, markup=False, emoji=False), case, story)
    return None


for _action in (
    actions.ack, actions.assign, actions.snooze, actions.unsnooze, actions.waive, actions.approve, actions.reject,
    actions.resolve, actions.reopen, actions.comment,
):  # fmt: skip
    discrepancies.command()(_action)
