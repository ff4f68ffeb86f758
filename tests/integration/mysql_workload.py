"""Random but seeded transactions over orders and billing items of MariaDB: inserts, updates, deletes, moves, rollbacks."""

from __future__ import annotations

import random
import threading
from contextlib import closing

import pymysql
from pymysql.cursors import Cursor

from tests.integration.mysql_stack import MysqlSource

STATEMENTS_MAX = 6
ROWS_PER_WRITER = 300


class BinlogWriter(threading.Thread):
    """Writes until stopped, to rows of its own; connects again when the server dies.

    Args:
        source: that is written to.
        number: of the writer, tells its rows.
        seed: of what is written.
        pause_seconds: between two transactions at most.
    """

    def __init__(self, source: MysqlSource, number: int, seed: int, pause_seconds: float = 0.02) -> None:
        super().__init__(name=f"writer-{number}")
        self._source = source
        self._pause_seconds = pause_seconds
        self._first = number * 1_000_000
        self._random = random.Random(f"{seed}-{number}")
        self._stopping = threading.Event()
        self.committed = 0

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                with closing(self._source.connect()) as connection:
                    connection.autocommit(False)
                    while not self._stopping.is_set():
                        with connection.cursor() as cursor:
                            for _ in range(self._random.randint(1, STATEMENTS_MAX)):
                                self._write(cursor)
                        if self._random.random() < 0.15:
                            connection.rollback()
                        else:
                            connection.commit()
                            self.committed += 1
                        self._stopping.wait(self._random.random() * self._pause_seconds)
            except (pymysql.OperationalError, pymysql.InterfaceError):
                self._stopping.wait(self._pause_seconds)

    def _write(self, cursor: Cursor) -> None:
        pick = self._random
        key = self._first + pick.randrange(ROWS_PER_WRITER)
        amount = f"{pick.randint(-99_999, 99_999) / 100:.2f}"
        kind = pick.random()
        if kind < 0.35:
            cursor.execute(
                "INSERT INTO orders VALUES (%s, 1, 'USD', %s, 0, 0, '{\"rate\": 0.05}', 'created', NULL, now(6))"
                " ON DUPLICATE KEY UPDATE gross_amount = VALUES(gross_amount), updated_at = now(6)",
                (key, amount),
            )
        elif kind < 0.65:
            cursor.execute(
                "INSERT INTO billing_item VALUES (%s, %s, 1, 1, 'sale', %s, %s, 'USD', 'statemented', now(6), now(6))"
                " ON DUPLICATE KEY UPDATE amount = VALUES(amount), updated_at = now(6)",
                (key, key, f"S{key}", amount),
            )
        elif kind < 0.8:
            # Several rows of one event move at once.
            cursor.execute(
                "UPDATE billing_item SET order_id = order_id + 1 WHERE billing_item_id BETWEEN %s AND %s",
                (key, key + pick.randrange(5)),
            )
        elif kind < 0.9:
            cursor.execute("UPDATE orders SET status = 'paid', updated_at = now(6) WHERE order_id = %s", (key,))
        else:
            table, column = pick.choice([("orders", "order_id"), ("billing_item", "billing_item_id")])
            cursor.execute(f"DELETE FROM {table} WHERE {column} = %s", (key,))
