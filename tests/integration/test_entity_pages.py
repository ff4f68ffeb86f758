"""The pages of orders, statements, payouts, sellers, quarantine and health against a real ClickHouse with made-up books."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest

from benchmarks.board_data import Size, fill
from clickhouse.case_reader import CaseFilter, CaseReader
from clickhouse.columns import to_arrow
from clickhouse.keyset import slice_of
from clickhouse.order_queries import LEG_VIEWS, order_leg, order_leg_by_key
from clickhouse.payout_queries import LIST_KEYS as PAYOUT_KEYS
from clickhouse.payout_queries import PayoutFilter, funding_by_channel, funding_by_day, payout_list, release_payouts
from clickhouse.quarantine_queries import LIST_KEYS as REFUSED_KEYS
from clickhouse.quarantine_queries import QuarantineFilter, refusals_by_kind, refused_again, refused_list
from clickhouse.query import Query
from clickhouse.schema import QUARANTINE, QUARANTINE_REPLAY
from clickhouse.seller_queries import LIST_KEYS as SELLER_KEYS
from clickhouse.seller_queries import SellerFilter, risk_by_seller, seller_list
from clickhouse.statement_queries import ITEM_KEYS, StatementFilter, statement_growth, statement_items, statement_list
from clickhouse.statement_queries import LIST_KEYS as STATEMENT_KEYS
from clickhouse.writer import Writer
from dashboards.access.account import Role
from tests.access_stand import Browser, Stand
from tests.e2e.bad_messages import ORDER, envelope
from tests.integration.clickhouse_books import running_server
from trueup.model.errors import ConfigurationError

pytestmark = pytest.mark.integration

SIZE = Size(cases=1_200, orders=3_000, sellers=30)
TOPIC = "settlement.public.orders"
REFUSED_US = 1_763_000_000_000_000
REPLAY_ID = "ab" * 16
RELEASE = "77777"


class Books:
    """A server with books, the reader of the pages, and a browser of an operator."""

    def __init__(self, cases: CaseReader, browser: Browser) -> None:
        self.cases = cases
        self.browser = browser

    def rows(self, query: Any) -> list[dict[str, Any]]:
        return self.cases.rows(query)

    def page(self, address: str, language: str = "en") -> str:
        """The text of a page, which must be whole."""
        self.browser.cookies.set("trueup_language", language)
        answer = self.browser.get(address)
        assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text[:2000]}"
        text: str = answer.text
        assert "{{" not in text
        return text


def refused(number: int, value: bytes, headers: str = "{}", code: str = "missing-field") -> tuple[Any, ...]:
    return (
        TOPIC, number % 3, number, "orders", code, "orders.shop_id is missing or null", b'{"order_id":999000001}', value,
        headers, REFUSED_US + number // 2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Books]:
    folder: Path = tmp_path_factory.mktemp("pages")
    with running_server(folder / "clickhouse") as server:
        client = server.client()
        fill(client, "trueup", SIZE)
        client.command(
            f"INSERT INTO trueup.payout SELECT * REPLACE (concat('Q', payout_id) AS payout_id, 'R{RELEASE}' AS channel_ref) "
            "FROM trueup.payout FINAL ORDER BY cityHash64(payout_id) LIMIT 9"
        )
        renamed = {**{name: held for name, held in ORDER.items() if name != "shop_id"}, "shopId": 7}
        messages = [refused(number, orjson.dumps(envelope(renamed))) for number in range(120)]
        messages += [
            refused(200, b"\xff\x00<script>", code="malformed-json"),
            refused(201, b"{}", orjson.dumps({"trueup-replay": REPLAY_ID}).decode()),
        ]
        replay = (TOPIC, 0, 0, REPLAY_ID, REFUSED_US, "ann", "sent", "", '[{"do":"drop","field":"x"}]', "why", 0, b"{}")
        tables = {
            "quarantine": to_arrow(QUARANTINE, messages),
            "quarantine_replay": to_arrow(QUARANTINE_REPLAY, [replay]),
        }
        writer = Writer(client, "trueup", give_up_seconds=20)
        asyncio.run(writer.insert(tables))
        stand = Stand(folder, parts={"client": client, "cases": CaseReader(client, "trueup")})
        yield Books(CaseReader(client, "trueup"), stand.signed_in("olga", Role.OPERATOR))
        stand.close()
        writer.close()
        client.close()


def walked(books: Books, query_of: Any, keys: tuple[str, ...], rows_max: int) -> list[dict[str, Any]]:
    """All rows of a list, page by page."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        page = slice_of(books.rows(query_of(rows_max, after)), rows_max, keys)
        found += page.rows
        after = page.next
        if not after:
            return found


@pytest.mark.parametrize(
    ("query_of", "keys"),
    [
        (lambda rows, after: statement_list("trueup", StatementFilter(), rows, after), STATEMENT_KEYS),
        (lambda rows, after: payout_list("trueup", PayoutFilter(), rows, after), PAYOUT_KEYS),
        (lambda rows, after: seller_list("trueup", SellerFilter(), rows, after), SELLER_KEYS),
        (lambda rows, after: refused_list("trueup", QuarantineFilter(), rows, after), REFUSED_KEYS),
    ],
    ids=["statements", "payouts", "sellers", "quarantine"],
)
def test_pages_of_a_list_hold_each_row_once_and_in_one_order(
    books: Books, query_of: Any, keys: tuple[str, ...]
) -> None:
    whole = walked(books, query_of, keys, 100_000)
    assert len(whole) > 20
    assert walked(books, query_of, keys, 7 if len(whole) < 500 else 97) == whole
    with pytest.raises(ConfigurationError, match="cursor"):
        query_of(5, "~" if len(keys) > 1 else "x" * 501)


def test_a_long_list_of_cases_is_that_of_the_view(books: Books) -> None:
    whole = books.rows(books.cases.page_query(CaseFilter(), SIZE.cases))
    assert len(whole) == SIZE.cases
    assert books.cases.page_rows(CaseFilter(), SIZE.cases) == whole


def test_legs_that_are_found_by_their_keys_are_those_of_the_view(books: Books) -> None:
    orders = [row["order_id"] for row in books.rows(Query("SELECT order_id FROM trueup.v_orders ORDER BY order_id"))]
    found = 0
    for order_id in [*orders[:: len(orders) // 20], "nobody's"]:
        for table in LEG_VIEWS:
            legs = books.rows(order_leg_by_key("trueup", table, order_id))
            assert legs == books.rows(order_leg("trueup", table, order_id))
            found += len(legs)
    assert found > 20


def test_a_statement_grows_to_the_sum_of_its_items(books: Books) -> None:
    statement = books.rows(statement_list("trueup", StatementFilter(), 1))[0]
    identifier, currency = statement["statement_id"], statement["currency"]
    items = walked(books, lambda rows, after: statement_items("trueup", identifier, rows, after), ITEM_KEYS, 5)
    growth = books.rows(statement_growth("trueup", identifier, currency))
    own = [item["amount"] for item in items if item["currency"] == currency]
    assert own
    assert growth[-1]["total"] == sum(own)
    assert growth[-1]["items"] == len(own)
    assert [step["at"] for step in growth] == sorted(step["at"] for step in growth)


def test_the_days_of_a_channel_add_up_to_its_balance(books: Books) -> None:
    channels = books.rows(funding_by_channel("trueup"))
    assert channels
    for row in channels:
        days = books.rows(funding_by_day("trueup", row["payment_method"], row["currency"]))
        assert sum(day["funded"] for day in days) == row["funded"]
        assert sum(day["released"] for day in days) == row["released"]
        assert not days or days[0]["balance"] == row["balance"] == row["funded"] - row["released"]


def test_the_payouts_of_a_release_are_walked_to_their_end(books: Books) -> None:
    named = books.rows(Query(f"SELECT payout_id FROM trueup.v_payouts WHERE channel_ref = 'R{RELEASE}'"))
    payouts = [row["payout_id"] for row in named]
    assert len(payouts) == 9
    assert len({len(one) for one in payouts}) > 1
    found = walked(books, lambda rows, after: release_payouts("trueup", RELEASE, rows, after), PAYOUT_KEYS, 4)
    assert [row["payout_id"] for row in found] == sorted(payouts, key=lambda one: (len(one), one))


def test_refusals_are_counted_with_those_that_wait(books: Books) -> None:
    kinds = {row["code"]: row for row in books.rows(refusals_by_kind("trueup")) if row["topic"] == TOPIC}
    assert (kinds["missing-field"]["messages"], kinds["missing-field"]["waiting"]) == (121, 120)
    again = books.rows(refused_again("trueup", TOPIC, [REPLAY_ID]))
    assert [(row["kafka_partition"], row["kafka_offset"]) for row in again] == [(0, 201)]


def linked(text: str) -> set[str]:
    """One address of each kind of page that a page leads to."""
    found: dict[str, str] = {}
    kinds = "orders|statements|payouts|sellers|channels|releases|quarantine"
    for address in re.findall(rf'href="(/(?:{kinds})/[^"#]+)["#]', text):
        found.setdefault(address.split("/")[1] + address.split("?")[0][-7:] * address.count("?"), unescape(address))
    return set(found.values())


@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_page_that_a_list_leads_to_is_whole(books: Books, language: str) -> None:
    starts = ["/orders", "/statements", "/payouts", "/sellers", "/quarantine", "/health", "/health/now"]
    seen = {address for start in starts for address in linked(books.page(start, language))}
    statements = [address for address in seen if "/statements/" in address]
    seen |= {address for statement in statements for address in linked(books.page(f"{statement}/items"))}
    assert {address.split("/")[1] for address in seen} >= {"orders", "statements", "payouts", "sellers", "quarantine"}
    for address in sorted(seen):
        text = books.page(address, language)
        assert "<h1>" in text
        assert "SELECT" in text
        if address.count("/") == 2 and address.split("/")[1] == "statements":
            assert "<h1>" not in books.page(f"{address}/totals", language)
            for part in ("growth", "items"):
                text = books.page(f"{address}/{part}", language)
                assert "<h1>" not in text
                assert "SELECT" in text
        if address.count("/") == 2 and address.split("/")[1] == "sellers":
            for part in ("risk", "books"):
                text = books.page(f"{address}/{part}", language)
                assert "<h1>" not in text
                assert "SELECT" in text


def test_a_refused_message_is_shown_escaped_and_with_its_bytes(books: Books) -> None:
    text = books.page(f"/quarantine/message?topic={TOPIC}&partition=2&offset=200")
    assert "<script>" not in text.split("<main", 1)[1].replace('<script type="application/json"', "")
    assert "\\xff" in text
    assert "ff 00 3c 73 63 72" in text


def test_corrections_are_suggested_tried_and_offered_for_replay(books: Books) -> None:
    place = f"topic={TOPIC}&partition=1&offset=1"
    first = books.page(f"/quarantine/message?{place}")
    assert 'value="shopId"' in first
    assert 'value="shop_id"' in first
    assert 'action="/quarantine/replay"' not in first
    tried = books.page(f"/quarantine/message?{place}&do=rename&field=shopId&old=&new=shop_id")
    assert 'action="/quarantine/replay"' in tried
    assert "100.00 USD" in tried
    for address in ("message?" + place, f"kind?topic={TOPIC}&code=missing-field"):
        wrong = books.page(f"/quarantine/{address}&do=rename&field=shopId&old=&new=")
        assert "mapping, step 1" in wrong
    every = books.page(f"/quarantine/kind?topic={TOPIC}&code=missing-field&do=rename&field=shopId&old=&new=shop_id")
    assert "Replay what is accepted" in every


@pytest.mark.parametrize(
    "address",
    ["/orders/none", "/statements/none", "/payouts/none", "/sellers/none", "/channels/none/EUR", "/releases/none",
     f"/quarantine/message?topic={TOPIC}&partition=1&offset=999"],
)  # fmt: skip
def test_what_is_not_known_is_a_page_that_says_so(books: Books, address: str) -> None:
    assert books.browser.get(address).status_code == 404


@pytest.mark.parametrize(
    "address",
    ["/statements?period=yesterday", "/statements?after=x", "/payouts?after=~~", "/quarantine?after=1~2",
     "/quarantine/message?topic=t&partition=-1&offset=0", "/quarantine/message?topic=t&partition=0&offset=99999999999999999999"],
)  # fmt: skip
def test_an_address_that_cannot_be_read_is_told(books: Books, address: str) -> None:
    assert books.browser.get(address).status_code in {200, 400}
    assert books.browser.get("/payouts?after=" + "x" * 150).status_code == 200


def test_sellers_with_the_most_unsettled_come_first(books: Books) -> None:
    rows = books.rows(risk_by_seller("trueup"))
    assert [row["cases"] for row in rows] == sorted((row["cases"] for row in rows), reverse=True)
