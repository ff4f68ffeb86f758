"""What must hold at rest, whatever was killed: T, L, M, F and A of the design, against the source's own SQL; and cases."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from tests.e2e.case_books import faults_of_cases
from tests.e2e.rig import Rig, log
from tests.integration.cdc_stack import read_topics
from trueup.demo.listener import DISCREPANCY_TOPICS
from trueup.demo.run import take_score
from trueup.model.tables import TABLES, Table

STANDING = frozenset({"open", "regressed"})
SHOWN_MAX = 20

_SOURCE_TEXT = {
    "id": "{0}::text",
    "money": "{0}::numeric(38, 4)",
    "time": "(extract(epoch FROM {0}) * 1000000)::int8",
    "date": "{0} - DATE '1970-01-01'",
    "json": "{0}::text",
}
_MIRROR_TEXT = {"time": "toUnixTimestamp64Micro({0})", "date": "toInt32({0})"}


class Books(NamedTuple):
    """How much was compared, and everything that is wrong, in words."""

    totals: int
    rows: int
    planted: int
    expected: int
    standing: int
    wrong: list[str]


def check_books(rig: Rig, *, quarantined: int = 0) -> Books:
    """Compare the pipeline's books with the source, at rest.

    Args:
        rig: settled.
        quarantined: messages that must be in quarantine; none of them tells of a row of the source.
    """
    with rig.source() as connection:
        card = take_score(connection, rig.reader, rig.settings.rules)
    rows, differing = _rows_that_differ(rig)
    standing, doubtful = _standing_twice_or_apart(rig)
    refused = sum(rig.reader.counts()["quarantine"].values())
    wrong = [*card.totals_wrong, *differing, *card.missed, *card.false_open, *card.traps_sprung, *doubtful]
    wrong += faults_of_cases(rig)
    if refused != quarantined:
        wrong.append(f"{refused} messages in quarantine, not {quarantined}")
    return Books(card.totals_checked, rows, card.planted, card.expected, standing, wrong)


def assert_books_agree(rig: Rig, *, quarantined: int = 0) -> None:
    """Fails with everything that is wrong; says what was compared."""
    books = check_books(rig, quarantined=quarantined)
    log.info("books", **books._replace(wrong=books.wrong[:SHOWN_MAX])._asdict())
    assert books.wrong == [], f"{len(books.wrong)} faults: {books.wrong[:SHOWN_MAX]}\n{rig.logs('worker', 'cdc')}"
    assert min(books.totals, books.rows, books.planted, books.standing) > 0


def _rows_that_differ(rig: Rig) -> tuple[int, list[str]]:
    """L: rows of the source, and differences between them and the live rows of the mirrors, every column."""
    count, wrong = 0, []
    for name, table in TABLES.items():
        with rig.source() as connection, connection.cursor() as cursor:
            cursor.execute(f"SELECT {_columns(table, _SOURCE_TEXT)} FROM public.{name}")
            source = _by_key(table, cursor.fetchall())
        mirror = _by_key(
            table, rig.query(f"SELECT {_columns(table, _MIRROR_TEXT)} FROM {{db}}.{name} FINAL WHERE is_deleted = 0")
        )
        count += len(source)
        wrong += [
            f"row: {name} {key}: mirror {mirror.get(key)}, source {source.get(key)}"
            for key in sorted(source.keys() | mirror.keys())
            if source.get(key) != mirror.get(key)
        ]
    return count, wrong


def _columns(table: Table, texts: dict[str, str]) -> str:
    return ", ".join(texts.get(column.kind, "{0}").format(column.name) for column in table.columns)


def _by_key(table: Table, rows: Iterable[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    place = table.place(table.primary_key)
    return {str(row[place]): tuple(row) for row in rows}


def _standing_twice_or_apart(rig: Rig) -> tuple[int, list[str]]:
    """A: one standing discrepancy per rule and entity, the same ones in ClickHouse and in the compacted topics."""
    table = {
        row["discrepancy_id"]: (row["rule"], row["entity_kind"], row["entity_id"], _text(row["delta"]))
        for row in rig.reader.open_discrepancies()
    }
    newest: dict[str, dict[str, Any]] = {}
    for message in read_topics(rig.settings.kafka.bootstrap, DISCREPANCY_TOPICS):
        newest[message.key.decode()] = orjson.loads(message.value)
    topics = {
        identifier: (held["rule"], held["entity_kind"], held["entity_id"], _text(held["delta"]))
        for identifier, held in newest.items()
        if held["status"] in STANDING
    }
    wrong = [
        f"apart: {identifier}: table {table.get(identifier)}, topic {topics.get(identifier)} ({newest.get(identifier)})"
        for identifier in sorted(table.keys() | topics.keys())
        if table.get(identifier) != topics.get(identifier)
    ]
    for place, held in (("table", table), ("topics", topics)):
        times = Counter(case[:3] for case in held.values())
        wrong += [f"stands {count} times in the {place}: {case}" for case, count in times.items() if count > 1]
    return len(table), wrong


def _text(delta: object) -> str | None:
    """An amount without the zeros behind its point: the table has four digits, the topic the currency's own."""
    if delta is None:
        return None
    text = format(delta, "f") if not isinstance(delta, str) else delta
    return text.rstrip("0").rstrip(".") if "." in text else text
