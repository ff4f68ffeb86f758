"""A rebuild returns what was written: the newest states of one partition, and the totals of its contributions."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from clickhouse_connect.driver.client import Client

from clickhouse.columns import mirror_row, to_arrow
from clickhouse.migrate import migrate
from clickhouse.rebuild import (
    LATEST_ITEMS_MAX,
    KnownTruncation,
    read_known,
    read_partials,
    read_states,
    read_truncations,
)
from clickhouse.schema import MIRRORS, ORDER_WIDE, STATEMENT_WIDE
from clickhouse.truncation_table import TRUNCATION, Erasure, truncation_row
from clickhouse.writer import Writer
from streams.codec import loads
from streams.statement_state import decode_partial
from tests.integration.clickhouse_books import Server, running_server
from tests.integration.clickhouse_rows import changed, edge_rows, encoded_state, order_row
from trueup.model.change import Change, Truncation
from trueup.model.errors import ConfigurationError, UnavailableError
from trueup.model.registers import ItemTotal, LatestItem, LineTotal, Partial, PartialVersion
from trueup.model.tables import BILLING_ITEM, Id

pytestmark = pytest.mark.integration
DATABASE = "books"
VERSION = PartialVersion(77, 1_700_000_000_000_000)
MONTHS = (19_662, 19_692, 19_723)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running_server(tmp_path_factory.mktemp("clickhouse")) as running:
        yield running


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    client = server.client()
    client.command(f"DROP DATABASE IF EXISTS {DATABASE}")
    migrate(client, DATABASE)
    yield client
    client.close()


class RebuiltPartials(NamedTuple):
    statements: dict[Id, Partial]
    strays: dict[Id, Partial]


def rebuilt_partials(client: Client, partition: int) -> RebuiltPartials:
    """The partials of a partition, decoded."""
    rebuilt = RebuiltPartials({}, {})
    for row in read_partials(client, DATABASE, partition, VERSION):
        statement, payout = orjson.loads(row.statement), orjson.loads(row.payout)
        held = rebuilt.strays if statement is None else rebuilt.statements
        held[payout if statement is None else statement] = decode_partial(loads(row.encoded))
    return rebuilt


class Contribution(NamedTuple):
    kind: str
    statement: Id | None
    payout: Id | None
    currency: str
    status: str
    minor: int
    created_us: int
    item: Id | None


def columns_of(contributions: list[Contribution]) -> dict[str, list[Any]]:
    def literals(values: list[Id | None]) -> list[str]:
        return [orjson.dumps(value).decode() for value in values]

    return {
        "contribution_kind": [one.kind for one in contributions],
        "contribution_statement": literals([one.statement for one in contributions]),
        "contribution_payout": literals([one.payout for one in contributions]),
        "contribution_currency": [one.currency for one in contributions],
        "contribution_status": [one.status for one in contributions],
        "contribution_count": [1 for _ in contributions],
        "contribution_amount_minor": [one.minor for one in contributions],
        "contribution_created_at": [one.created_us for one in contributions],
        "contribution_item": literals([one.item for one in contributions]),
    }


def write(client: Client, rows: list[tuple[Any, ...]]) -> None:
    client.insert_arrow("order_wide", to_arrow(ORDER_WIDE, rows), database=DATABASE)


def expected_partials(orders: dict[int, tuple[int, list[Contribution]]]) -> RebuiltPartials:
    """The partials in plain Python, from order id → (newest commit, contributions)."""
    items: dict[Id, dict[tuple[str, str], ItemTotal]] = defaultdict(dict)
    lines: dict[tuple[str, Id], dict[tuple[Id, str], LineTotal]] = defaultdict(dict)
    latest: dict[Id, list[LatestItem]] = defaultdict(list)
    newest: dict[tuple[str, Id], int] = defaultdict(int)
    for order_id, (commit_us, contributions) in orders.items():
        for one in contributions:
            owner = ("statement", one.statement) if one.statement is not None else ("stray", one.payout or "")
            newest[owner] = max(newest[owner], commit_us)
            if one.kind == "item" and one.statement is not None and one.item is not None:
                held = items[one.statement].get((one.currency, one.status), ItemTotal(0, 0))
                items[one.statement][one.currency, one.status] = ItemTotal(held[0] + 1, held[1] + one.minor)
                latest[one.statement].append(LatestItem(one.created_us, one.item, order_id, one.minor, one.currency))
            elif one.payout is not None:
                line = lines[owner].get((one.payout, one.currency), LineTotal(0, 0))
                lines[owner][one.payout, one.currency] = LineTotal(line[0] + 1, line[1] + one.minor)
    partials = RebuiltPartials({}, {})
    for (kind, owner_id), newest_us in newest.items():
        mine = (kind, owner_id)
        if kind == "stray":
            partials.strays[owner_id] = Partial(VERSION, {}, lines[mine], (), newest_us)
        else:
            ordered = sorted(
                latest[owner_id], key=lambda entry: (entry.created_us, entry.billing_item_id), reverse=True
            )
            kept = tuple(ordered[:LATEST_ITEMS_MAX])
            partials.statements[owner_id] = Partial(VERSION, items[owner_id], lines[mine], kept, newest_us)
    return partials


STATEMENTS: list[Id] = [1, 2, 3, "A-1", '"quoted"']
PAYOUTS: list[Id] = [8, "P-9"]


def some_contributions(chance: random.Random, order_id: int) -> list[Contribution]:
    made = []
    for number in range(chance.randrange(4)):
        statement = chance.choice(STATEMENTS)
        minor = chance.choice([chance.randrange(-(10**9), 10**9), 10**37])
        currency = chance.choice(["USD", "JPY"])
        created_us = 1_700_000_000_000_000 + chance.randrange(50)
        made.append(
            Contribution(
                "item",
                statement,
                None,
                currency,
                chance.choice(["paid", "failed"]),
                minor,
                created_us,
                order_id * 10 + number,
            )
        )
        if chance.random() < 0.5:
            made.append(Contribution("line", statement, chance.choice(PAYOUTS), currency, "", minor, 0, order_id * 10))
        if chance.random() < 0.2:
            made.append(Contribution("line", None, chance.choice(PAYOUTS), currency, "", minor, 0, None))
    return made


@pytest.mark.parametrize("seed", range(3))
def test_partials_equal_the_sum_of_the_newest_contributions(client: Client, seed: int) -> None:
    chance = random.Random(seed)
    newest: dict[int, tuple[int, list[Contribution]]] = {}
    for version in range(1, 4):
        rows = []
        for order_id in chance.sample(range(1, 200), 120):
            newest[order_id] = (1_700_000_000_000_000 + chance.randrange(1000), some_contributions(chance, order_id))
            rows.append(
                order_row(
                    order_id,
                    partition=5,
                    version=version,
                    month=MONTHS[order_id % 3],
                    last_committed_at=newest[order_id][0],
                    **columns_of(newest[order_id][1]),
                )
            )
        stray = order_row(1000 + version, partition=6, **columns_of(some_contributions(chance, 1)))
        write(client, [*rows, stray])
    assert rebuilt_partials(client, 5) == expected_partials(newest)
    assert rebuilt_partials(client, 4) == RebuiltPartials({}, {})


def test_a_sum_beyond_38_digits_does_not_wrap(client: Client) -> None:
    largest = 10**38 - 1
    one = Contribution("item", 1, None, "USD", "paid", largest, 5, 1)
    write(client, [order_row(number, partition=1, **columns_of([one._replace(item=number)])) for number in range(1, 6)])
    partials = rebuilt_partials(client, 1)
    assert partials.statements[1].items == {("USD", "paid"): ItemTotal(5, 5 * largest)}


def test_ids_keep_their_json_type(client: Client) -> None:
    text = Contribution("item", "7", None, "USD", "paid", 1, 5, "B-1")
    write(client, [order_row("O-1", partition=1, **columns_of([text, text._replace(statement=7, item=3)]))])
    partials = rebuilt_partials(client, 1)
    assert partials.statements.keys() == {"7", 7}
    assert partials.statements["7"].latest == (LatestItem(5, "B-1", "O-1", 1, "USD"),)
    assert partials.statements[7].latest == (LatestItem(5, 3, "O-1", 1, "USD"),)


def test_ties_among_the_newest_items_go_to_the_higher_id(client: Client) -> None:
    ids: list[Id] = [*range(95, 106), "b", "a"]
    contributions = [Contribution("item", 1, None, "USD", "paid", 1, 5, item) for item in ids]
    write(client, [order_row(1, partition=1, **columns_of(contributions))])
    latest = rebuilt_partials(client, 1).statements[1].latest
    assert [entry.billing_item_id for entry in latest] == list(range(105, 97, -1))


@pytest.mark.parametrize("batch_rows", [100, 50_000])
def test_states_come_back_as_they_were_written_last(client: Client, batch_rows: int) -> None:
    chance = random.Random(3)
    newest: dict[bytes, tuple[bytes, int | None]] = {}
    for version in range(1, 5):
        rows = []
        for order_id in chance.sample(range(3000), 1000):
            state = encoded_state(order_id, chance.randbytes(200))
            due_us = chance.choice([None, 1_700_000_000_000_001])
            newest[str(order_id).encode()] = (state, due_us)
            row = order_row(
                order_id, partition=2, month=MONTHS[order_id % 3], version=version, state=state, next_due_at=due_us
            )
            rows += [row, order_row(order_id + 10_000, partition=3, state=encoded_state(order_id, b"other"))]
        write(client, rows)
    batches = list(read_states(client, DATABASE, ORDER_WIDE, 2, batch_rows=batch_rows))
    due_at = dict(due for batch in batches for due in batch.due)
    read = [
        (key, (state, due_at.get(key)))
        for batch in batches
        for key, state in zip(batch.keys, batch.states, strict=True)
    ]
    assert len(read) == len(newest)
    assert dict(read) == newest


def test_statements_are_rebuilt_alike_and_an_empty_partition_is_empty(client: Client) -> None:
    state = encoded_state("A-1 ü€ '")
    rows = [changed(STATEMENT_WIDE, row, state=state) for row in edge_rows(STATEMENT_WIDE)]
    client.insert_arrow("statement_wide", to_arrow(STATEMENT_WIDE, rows), database=DATABASE)
    batches = list(read_states(client, DATABASE, STATEMENT_WIDE, 65_535, batch_rows=10))
    assert [(list(batch.keys), list(batch.states)) for batch in batches] == [(['"A-1 ü€ \'"'.encode()], [state])]
    assert [batch.due for batch in batches] == [[(batches[0].keys[0], 1_700_000_000_123_456)]]
    assert list(read_states(client, DATABASE, STATEMENT_WIDE, 9, batch_rows=10)) == []


def test_fewer_rows_than_there_are_is_no_answer(client: Client) -> None:
    write(client, [order_row(number, partition=2, version=number) for number in range(1, 8)])
    known = read_known(client, DATABASE, ORDER_WIDE, 2)
    assert known == (7, 7)
    assert list(read_states(client, DATABASE, ORDER_WIDE, 2, batch_rows=10, rows_min=lambda: known.rows))
    with pytest.raises(UnavailableError, match="7 of 8 rows"):
        list(read_states(client, DATABASE, ORDER_WIDE, 2, batch_rows=10, rows_min=lambda: 8))


def test_a_database_without_migrations_is_told(client: Client) -> None:
    with pytest.raises(ConfigurationError) as caught:
        list(read_states(client, "nowhere", ORDER_WIDE, 1, batch_rows=10))
    assert "migrations" in caught.value.remedy


def test_a_server_that_dies_half_way_is_no_short_answer(tmp_path: Path) -> None:
    with running_server(tmp_path / "data") as mortal:
        client = mortal.client()
        migrate(client, DATABASE)
        chance = random.Random(5)
        for start in range(0, 40_000, 10_000):
            write(
                client,
                [
                    order_row(order_id, state=encoded_state(order_id, chance.randbytes(750)))
                    for order_id in range(start, start + 10_000)
                ],
            )
        batches = read_states(client, DATABASE, ORDER_WIDE, 0, batch_rows=1000)
        assert next(batches).keys
        mortal.kill()
        with pytest.raises(UnavailableError):
            list(batches)


def item(number: int, version: int, *, partition: int = 0, source: str = "settlement", deleted: bool = False) -> Change:
    row = (number, 1, 9, 1, "sale", "1", 800, "USD", "statemented", VERSION.progress, VERSION.progress)
    return Change(BILLING_ITEM, source, 1, number, version, 5, deleted, row, (), partition, number)


def test_a_truncation_empties_the_mirror_of_its_partition_and_is_read_back(client: Client) -> None:
    truncation = Truncation(BILLING_ITEM, "settlement", 50, 1_700_000_000_000_000, 2, 9)
    rows = [
        item(1, 10), item(2, 49), item(3, 50), item(4, 60), item(5, 10, partition=1), item(6, 10, source="site-b"),
        item(7, 10), item(7, 70),
    ]  # fmt: skip
    writer = Writer(client, DATABASE, give_up_seconds=60)
    tables = {
        "billing_item": to_arrow(MIRRORS["billing_item"], [mirror_row(row) for row in rows]),
        "truncation": to_arrow(TRUNCATION, [truncation_row("orders", number, truncation) for number in (0, 1)]),
    }
    for _ in range(2):
        asyncio.run(writer.insert(tables))
        asyncio.run(writer.erase([Erasure(truncation, 0)]))
    writer.close()
    found = client.query(
        "SELECT toUInt8(billing_item_id), version, is_deleted, kafka_partition, toUnixTimestamp64Micro(committed_at), amount "
        f"FROM {DATABASE}.billing_item FINAL ORDER BY 1"
    ).result_rows
    gone = (50, 1, 0, 1_700_000_000_000_000)
    assert [row[:5] for row in found if row[0] < 3] == [(1, *gone), (2, *gone)]
    assert [(row[0], row[2]) for row in found if row[0] > 2] == [(number, 0) for number in (3, 4, 5, 6, 7)]
    assert {row[5] for row in found} == {8}
    known = KnownTruncation("settlement", "billing_item", 50, 1_700_000_000_000_000, 2, 9)
    assert [read_truncations(client, DATABASE, "orders", number) for number in (0, 1, 2)] == [[known], [known], []]
    assert read_truncations(client, DATABASE, "statements", 0) == []
