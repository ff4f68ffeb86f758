"""The report of a day against made-up histories: what was open then is told later as it was told then."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from clickhouse_connect.driver.client import Client
from pydantic import SecretStr

from clickhouse.analyst import AnalystClient
from clickhouse.columns import to_arrow
from clickhouse.definition import Definition
from clickhouse.migrate import migrate
from clickhouse.schema import DISCREPANCY, DISCREPANCY_EVENT
from dashboards.report.build import Report, build_report
from tests.integration.clickhouse_books import Server, running_server
from tests.integration.clickhouse_rows import edge_rows
from tests.integration.endpoint_process import ANALYST_PASSWORD
from trueup.settings import ClickHouseSettings

pytestmark = pytest.mark.integration

FIRST = datetime(2026, 11, 10, tzinfo=UTC)
DAYS = 6
CASES = 120
OPEN = ("open", "regressed")


class Step(NamedTuple):
    """One step of a discrepancy; the amount in question is in 10⁻⁴ of a major unit."""

    at: datetime
    status: str
    occurrences: int
    stake: int


class History(NamedTuple):
    """A discrepancy and its steps, oldest first."""

    identifier: str
    rule: str
    currency: str
    steps: list[Step]

    def at(self, moment: datetime) -> Step | None:
        """Its newest step before the moment."""
        return next((step for step in reversed(self.steps) if step.at < moment), None)


def histories(seed: int) -> list[History]:
    chance = random.Random(seed)
    made = []
    for number in range(CASES):
        at, steps, occurrences = FIRST + timedelta(hours=chance.uniform(0, 24 * DAYS)), [], 0
        status = "auto-resolved"
        for _ in range(chance.randint(1, 6)):
            if status == "auto-resolved":
                occurrences += 1
                status = "open" if occurrences == 1 else "regressed"
            elif chance.random() < 0.6:
                status = "auto-resolved"
            steps.append(Step(at, status, occurrences, chance.randint(1, 10**6) * 100))
            at += timedelta(hours=chance.uniform(0.1, 40))
        rule = chance.choice(("missing-billing", "late-item"))
        made.append(History(f"{number:032x}", rule, chance.choice(("USD", "CNY")), steps))
    return made


def row(definition: Definition, **values: Any) -> tuple[Any, ...]:
    """An edge row of the table with these values."""
    zero = dict(zip((column.name for column in definition.columns), edge_rows(definition)[1], strict=True))
    assert values.keys() <= zero.keys()
    return tuple((zero | values).values())


def microseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def write(client: Client, written: list[History]) -> None:
    events, newest = [], []
    for history in written:
        common = {
            "discrepancy_id": history.identifier, "rule": history.rule, "currency": history.currency, "month": 20_000,
        }  # fmt: skip
        for version, step in enumerate(history.steps, start=1):
            amounts = {"expected": step.stake, "actual": 0, "status": step.status, "occurrences": step.occurrences}
            at = microseconds(step.at)
            events.append(row(DISCREPANCY_EVENT, **common, **amounts, step_id=f"s{version}", version=version, at=at))
        last = history.steps[-1]
        newest.append(
            row(
                DISCREPANCY,
                **common,
                version=len(history.steps),
                status=last.status,
                occurrences=last.occurrences,
                resolved_at=microseconds(last.at) if last.status == "auto-resolved" else None,
            )
        )
    client.insert_arrow("discrepancy_event", to_arrow(DISCREPANCY_EVENT, events), database="trueup")
    client.insert_arrow("discrepancy", to_arrow(DISCREPANCY, newest), database="trueup")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("clickhouse") / "data") as running:
        yield running


def reports(server: Server, written: list[History]) -> dict[date, Report]:
    client = server.client()
    migrate(client, "trueup")
    write(client, written)
    client.close()
    settings = ClickHouseSettings(port=server.port, analyst_password=SecretStr(ANALYST_PASSWORD))
    with AnalystClient(settings) as analyst:
        days = [(FIRST + timedelta(days=number)).date() for number in range(DAYS + 10)]
        later = FIRST + timedelta(days=60)
        return {day: build_report(analyst, day, "UTC", "en", made_at=later) for day in days}


def rows_of(report: Report, key: str) -> list[Any]:
    return list(next(section.rows for section in report.sections if section.plan.key == key))


def test_what_was_open_raised_and_resolved_follows_from_the_steps(server: Server) -> None:
    written = histories(7)
    made = reports(server, written)
    for day, report in made.items():
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        end = start + timedelta(days=1)
        for currency in ("USD", "CNY"):
            held = [(history, history.at(end)) for history in written if history.currency == currency]
            stakes = [Decimal(step.stake) / 10_000 for _, step in held if step and step.status in OPEN]
            risk = [line for line in rows_of(report, "risk") if line["currency"] == currency and line["cases"]]
            assert [(line["cases"], line["at_risk"]) for line in risk] == (
                [(len(stakes), sum(stakes))] if stakes else []
            )
            turned = [line for line in rows_of(report, "turns") if line["currency"] == currency]
            raises, ends = turns(written, currency, start, end)
            assert sum(line["raised"] for line in turned) == raises
            assert sum(line["resolved"] for line in turned) == ends
        assert sum(line["raised"] for line in rows_of(report, "hours")) == sum(
            line["raised"] for line in rows_of(report, "turns")
        )


def turns(written: list[History], currency: str, start: datetime, end: datetime) -> tuple[int, int]:
    """How many were raised and resolved, counted by the neighbours of each step."""
    raises = ends = 0
    for history in written:
        before = Step(FIRST, "auto-resolved", 0, 0)
        for step in history.steps:
            if history.currency == currency and start <= step.at < end:
                raises += step.status in OPEN and before.status not in OPEN
                ends += step.status not in OPEN and before.status in OPEN
            before = step
    return raises, ends
