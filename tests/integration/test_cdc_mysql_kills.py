"""Reader, broker and MariaDB are killed again and again under load: nothing is lost, and keys keep their order."""

from __future__ import annotations

import random
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pymysql
import pytest

from cdc.mysql_source import master_status
from cdc.mysql_state import read_mark
from tests.integration.mysql_stack import MysqlSource, insert_orders, running_stack
from tests.integration.mysql_workload import BinlogWriter
from tests.integration.reader_process import Keeper, kill_in_rounds, out_of_order, wait_long
from trueup.embedded.service import Backoff
from trueup.model.errors import TrueupError

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(1800)]

COPIED_ROWS = 5_000
"""So many that a kill may come while they are copied."""

PAUSE_SECONDS = 0.1
"""So long that a reader soon catches up with what was written while it was down."""


def written_version(source: MysqlSource) -> int:
    with closing(source.connect()) as connection:
        return master_status(connection).version


def kept_version(source: MysqlSource) -> int:
    """What the reader knows to be delivered; 0 before its first copy was complete."""
    mark = read_mark(source.settings.kafka.bootstrap, source.name)
    return 0 if mark is None else mark.place.version


class CatchesUp:
    """Whether the reader has delivered what was written when this was first asked; then it is asked anew."""

    def __init__(self, source: MysqlSource) -> None:
        self._source = source
        self._goal = 0

    def __call__(self) -> bool:
        try:
            self._goal = self._goal or written_version(self._source)
            if kept_version(self._source) < self._goal:
                return False
        except (pymysql.MySQLError, TrueupError):
            return False
        self._goal = 0
        return True


def test_kills_of_reader_broker_and_database_lose_nothing(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    # Shown when the test fails; the moments of the kills follow from it.
    sys.stdout.write(f"seed {seed}\n")
    backoff = Backoff(first_seconds=0.05, max_seconds=0.2, healthy_after_seconds=0.5, restart_attempts_max=1000)
    with running_stack(tmp_path / "stack", backoff=backoff) as stack, ExitStack() as started:
        source = stack.source("killed")
        insert_orders(source, 5_000_000, COPIED_ROWS)
        writers = [BinlogWriter(source, number, seed, PAUSE_SECONDS) for number in range(2)]
        keeper = Keeper(source.settings, tmp_path)
        keeper.start()
        started.callback(keeper.stop)
        for writer in writers:
            writer.start()
            started.callback(writer.stop)
        kill_in_rounds(keeper, stack.supervisor, ("kafka", "mariadb"), CatchesUp(source), random.Random(seed))
        for writer in writers:
            writer.stop()
        wait_long(CatchesUp(source))
        keeper.stop()
        assert keeper.exits[-1] == 0, (tmp_path / "reader.log").read_text()[-2000:]
        assert sum(writer.committed for writer in writers) > 100
        assert source.mirror() == source.truth()
        assert out_of_order(source.told()) == []
