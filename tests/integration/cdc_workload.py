"""Random but seeded transactions over orders and billing items: inserts, updates, deletes, moves, rollbacks."""

from __future__ import annotations

import random
import threading
from typing import Any

import psycopg

from tests.integration.cdc_stack import Source

STATEMENTS_MAX = 6
ROWS_PER_WRITER = 1000


class Writer(threading.Thread):
    """Writes until stopped, to rows of its own: writers never wait for each other."""

    def __init__(self, source: Source, number: int, seed: int) -> None:
        super().__init__(name=f"writer-{number}")
        self._source = source
        self._first = number * 1_000_000
        self._random = random.Random(f"{seed}-{number}")
        self._stopping = threading.Event()
        self.committed = 0
        self.error: psycopg.Error | None = None

    def stop(self) -> None:
        self._stopping.set()
        self.join()
        if self.error is not None:
            raise self.error

    def run(self) -> None:
        try:
            with psycopg.connect(self._source.dsn) as connection:
                while not self._stopping.is_set():
                    for _ in range(self._random.randint(1, STATEMENTS_MAX)):
                        self._write(connection)
                    if self._random.random() < 0.15:
                        connection.rollback()
                    else:
                        connection.commit()
                        self.committed += 1
                    self._stopping.wait(self._random.random() * 0.01)
        except psycopg.Error as error:
            self.error = error

    def _write(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        pick = self._random
        key = self._first + pick.randrange(ROWS_PER_WRITER)
        amount = f"{pick.randint(-99_999, 99_999) / 100:.2f}"
        kind = pick.random()
        if kind < 0.35:
            connection.execute(
                "INSERT INTO orders VALUES (%s, 1, 'USD', %s, 0, 0, '{\"rate\": 0.05}', 'created', NULL, now())"
                " ON CONFLICT (order_id) DO UPDATE SET gross_amount = excluded.gross_amount, updated_at = now()",
                (key, amount),
            )
        elif kind < 0.65:
            connection.execute(
                "INSERT INTO billing_item VALUES (%s, %s, 1, 1, 'sale', %s, %s, 'USD', 'statemented', now(), now())"
                " ON CONFLICT (billing_item_id) DO UPDATE SET amount = excluded.amount, updated_at = now()",
                (key, key, f"S{key}", amount),
            )
        elif kind < 0.8:
            moved = self._first + pick.randrange(ROWS_PER_WRITER)
            connection.execute("UPDATE billing_item SET order_id = %s WHERE billing_item_id = %s", (moved, key))
        elif kind < 0.9:
            connection.execute("UPDATE orders SET status = 'paid', updated_at = now() WHERE order_id = %s", (key,))
        else:
            table, column = pick.choice([("orders", "order_id"), ("billing_item", "billing_item_id")])
            connection.execute(f"DELETE FROM {table} WHERE {column} = %s".encode(), (key,))
