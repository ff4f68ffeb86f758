"""What every route may use: the settings, the readers, the accounts, the live messages and the way to give commands."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from clickhouse_connect.driver.client import Client
from fastapi import Depends
from starlette.requests import HTTPConnection

from clickhouse.case_reader import CaseReader
from dashboards.access.gate import Access
from dashboards.pipeline import Pipeline, nothing_known
from dashboards.web.jobs import Jobs
from dashboards.web.live import LiveHub
from dashboards.web.sampler import Sampler
from reconcile.cases.commands import Command
from trueup.case_commands import Outcome
from trueup.settings import Settings

SendCommands = Callable[[Sequence[Command]], list[Outcome]]


@dataclass(frozen=True, slots=True)
class Board:
    """The parts that routes share; made once, by `trueup.dashboard_wiring`.

    Args:
        settings: of the whole installation.
        client: ClickHouse, as a user that can only read; threads may share it.
        cases: reads discrepancies.
        access: accounts, sessions and tokens.
        live: the findings as they are published.
        send: gives commands on discrepancies and waits for what came of them.
        sampler: figures that cost more than a page may take.
        jobs: work that takes longer than a page may.
        pipeline: asks how the processes and Kafka do.
    """

    settings: Settings
    client: Client
    cases: CaseReader
    access: Access
    live: LiveHub
    send: SendCommands
    sampler: Sampler = field(default_factory=Sampler)
    jobs: Jobs = field(default_factory=Jobs)
    pipeline: Callable[[], Pipeline] = nothing_known

    @property
    def database(self) -> str:
        """The ClickHouse database that holds the books."""
        return self.settings.clickhouse.database


def board_of(connection: HTTPConnection) -> Board:
    """The board of the application that serves the request."""
    board: Board = connection.app.state.board
    return board


BoardDep = Annotated[Board, Depends(board_of)]
