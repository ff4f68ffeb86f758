"""Discrepancies in memory with the workers' own answers to commands, for tests of whatever decides."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from clickhouse.case_reader import CaseFilter, Page
from clickhouse.case_views import CASE_VIEWS
from reconcile.cases.commands import Command, decode_command, encode_command
from reconcile.cases.human import Steered, take_command, untouched
from trueup.case_commands import Outcome

LIMIT_MINOR = 10_000


class Result(NamedTuple):
    result_rows: list[tuple[Any, ...]]


class Cases:
    """Stands for CaseReader, for the ClickHouse client that reads answers, and for the way commands take.

    The answers are those of the fold that the workers use.
    """

    def __init__(self, *amounts: str) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.steered: dict[str, Steered] = {}
        self.answers: dict[str, tuple[Any, ...]] = {}
        self.sent: list[Command] = []
        for number, amount in enumerate(amounts):
            identifier = f"{number:032x}"
            row: dict[str, Any] = {column.name: "" for column in CASE_VIEWS[0].columns}
            row |= {
                "discrepancy_id": identifier, "expected": Decimal(amount), "actual": Decimal(0), "delta": -Decimal(amount),
                "currency": "EUR", "revision": 0, "occurrences": 1, "standing": "open",
                "raised_at": datetime(2026, 11, 21, tzinfo=UTC), "snoozed_until": None,
            }  # fmt: skip
            self.rows[identifier] = row
            self.steered[identifier] = untouched()

    def beginning_with(self, prefixes: Sequence[str]) -> list[dict[str, Any]]:
        return [dict(self.rows[name]) for name in sorted(self.rows) if name.startswith(tuple(prefixes))]

    def page(self, chosen: CaseFilter, rows_max: int, *, sort: str = "opened", after: str = "") -> Page:
        """Pages by id, whatever the sort; of the filter only the amount counts."""
        del sort
        rows = [dict(row) for name, row in sorted(self.rows.items()) if name > after and _fits(row, chosen)]
        has_more = len(rows) > rows_max
        return Page(rows[:rows_max], rows[rows_max - 1]["discrepancy_id"] if has_more else "")

    def query(self, _text: str, parameters: dict[str, Any]) -> Result:
        """Answers to commands, as `read_answers` asks for them."""
        return Result([self.answers[name] for name in parameters["ids"] if name in self.answers])

    def send(self, commands: Sequence[Command]) -> list[Outcome]:
        outcomes = []
        for command in commands:
            decode_command(*encode_command(command))
            self.sent.append(command)
            identifier = command.discrepancy_id
            self.steered[identifier], told = take_command(
                self.steered[identifier], command, len(self.sent), lambda _currency: LIMIT_MINOR
            )
            human = self.steered[identifier].human
            self.rows[identifier] |= {"revision": human.revision, "standing": human.stance}
            self.answers.setdefault(command.command_id, (command.command_id, told.outcome, told.reason, told.revision))
            outcomes.append(Outcome(command.command_id, identifier, told.outcome, told.reason, told.revision))
        return outcomes


def _fits(row: dict[str, Any], chosen: CaseFilter) -> bool:
    return chosen.amount_from is None or row["expected"] >= chosen.amount_from
