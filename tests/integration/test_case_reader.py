"""Cases by filter, page and the first digits of their ids, against a plain reading of the same rows."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from hashlib import sha256
from itertools import pairwise
from typing import Any

import pytest

from clickhouse.case_reader import IDS_MAX, UNSETTLED, CaseFilter, CaseReader, Sort
from clickhouse.columns import to_arrow
from clickhouse.migrate import migrate
from clickhouse.schema import CASE_WIDE
from reconcile.cases.human import take_command
from reconcile.cases.verdicts import decode_verdict, merge_verdict
from streams.case_rows import case_wide_row
from streams.case_state import CaseState
from tests.case_log import POLICY, command, verdict_value
from tests.integration.clickhouse_books import running_server
from tests.source_log import START_US
from trueup.case_story import difference_minor
from trueup.cli.case_desk import cases_of
from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS

pytestmark = pytest.mark.integration
DATABASE = "books"
CASES = 400
DAY_US = 86_400_000_000
TWINS = ("ab" * 15 + "01", "ab" * 15 + "02")

Case = dict[str, Any]


def state(number: int, chance: random.Random) -> CaseState:
    """A case that was raised on one of 90 days, and perhaps resolved or decided about."""
    identifier = TWINS[number] if number < len(TWINS) else sha256(str(number).encode()).hexdigest()[:32]
    currency = chance.choice(["USD", "JPY", "KWD", ""])
    # Few values, so that pages end between equal ones; one-sided ones among them.
    expected, actual = (chance.choice([None, "0", "8", "8000000000"]) if currency else None for _ in range(2))
    raised_us = START_US + chance.randrange(90) * DAY_US
    told = verdict_value(
        identifier, rule=chance.choice(["stuck", "wrong-charge"]), shop_id=str(chance.randrange(5)),
        order_id=str(number), currency=currency, expected=expected, actual=actual, source_commit_us=raised_us,
        status=chance.choice(["open", "open", "auto-resolved"]), watermark_us=raised_us + DAY_US,
    )  # fmt: skip
    made = CaseState(identifier)
    made.verdicts = merge_verdict(made.verdicts, decode_verdict("wrong-amount", identifier.encode(), told, 0))
    last = made.verdicts.last
    assert last is not None
    if chance.random() < 0.5:
        decision = command(number, chance.choice(["assign", "waive", "resolve"]), 0, note="why", seen=last.seen)
        made.steered, _ = take_command(made.steered, decision, 0, POLICY.waive_limit.minor)
    return made


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CaseReader]:
    chance = random.Random(7)
    rows = [case_wide_row(state(number, chance), b"{}", number % 8, 1, POLICY.urgency) for number in range(CASES)]
    unheard = case_wide_row(CaseState("ff" * 16), b"{}", 0, 1, POLICY.urgency)
    with running_server(tmp_path_factory.mktemp("clickhouse")) as server:
        client = server.client()
        migrate(client, DATABASE)
        client.insert_arrow("case_wide", to_arrow(CASE_WIDE, [*rows, unheard]), database=DATABASE)
        yield CaseReader(client, DATABASE)
        client.close()


def every(reader: CaseReader) -> list[Case]:
    return reader.page(CaseFilter(), CASES + 1).rows


def in_question(case: Case) -> Decimal | None:
    difference = difference_minor(case)
    return None if difference is None else Decimal(abs(difference)).scaleb(-EXPONENTS[case["currency"]])


def raised_us(case: Case) -> int:
    return int(case["raised_at"].timestamp()) * 1_000_000


FILTERS: list[tuple[CaseFilter, Callable[[Case], bool]]] = [
    (CaseFilter(), bool),
    (CaseFilter(rules=("stuck",)), lambda case: case["rule"] == "stuck"),
    (CaseFilter(rules=("stuck", "wrong-charge")), bool),
    (CaseFilter(classes=("one-sided",)), lambda case: case["class"] == "one-sided"),
    (CaseFilter(standings=UNSETTLED), lambda case: case["standing"] in UNSETTLED),
    (CaseFilter(sellers=("1", "3")), lambda case: case["shop_id"] in {"1", "3"}),
    (CaseFilter(sellers=("'; DROP TABLE case_wide --",)), lambda case: len(case["shop_id"]) > 1),
    (CaseFilter(currencies=("JPY",)), lambda case: case["currency"] == "JPY"),
    (CaseFilter(severities=("high",)), lambda case: case["severity"] == "high"),
    (CaseFilter(assignee="bob"), lambda case: case["assignee"] == "bob"),
    (CaseFilter(order_id="17"), lambda case: case["order_id"] == "17"),
    (CaseFilter(statement_id="1"), lambda case: case["statement_id"] == "1"),
    (CaseFilter(statement_id="2"), lambda case: case["statement_id"] == "2"),
    (CaseFilter(amount_from=Decimal(8)), lambda case: (in_question(case) or 0) >= 8),
    (CaseFilter(amount_from=Decimal("8.0001")), lambda case: (in_question(case) or 0) > 8),
    (CaseFilter(amount_from=Decimal(0)), lambda case: in_question(case) is not None),
    (CaseFilter(raised_until_us=START_US + 30 * DAY_US), lambda case: raised_us(case) <= START_US + 30 * DAY_US),
    (CaseFilter(period=date(2023, 12, 1)), lambda case: f"{case['raised_at']:%Y-%m}" == "2023-12"),
    (
        CaseFilter(rules=("stuck",), currencies=("USD",), standings=("open",)),
        lambda case: (case["rule"], case["currency"], case["standing"]) == ("stuck", "USD", "open"),
    ),
]


@pytest.mark.parametrize(("chosen", "meant"), FILTERS)
def test_a_filter_means_what_it_says(reader: CaseReader, chosen: CaseFilter, meant: Callable[[Case], bool]) -> None:
    cases = every(reader)
    assert len(cases) == CASES
    assert [case["stake"] for case in cases] == [in_question(case) for case in cases]
    found = reader.page(chosen, CASES + 1)
    assert {case["discrepancy_id"] for case in found.rows} == {case["discrepancy_id"] for case in cases if meant(case)}
    assert found.next == ""


def test_a_page_has_the_columns_that_are_asked_for(reader: CaseReader) -> None:
    chosen, columns = CaseFilter(standings=UNSETTLED), ("discrepancy_id", "standing", "stake")
    whole, some = reader.page(chosen, 20, sort="amount"), reader.page(chosen, 20, sort="amount", columns=columns)
    assert len(some.rows) == 20
    assert some.rows == [{name: case[name] for name in columns} for case in whole.rows]
    assert some.next == whole.next


ORDERS: dict[Sort, Callable[[Case], Any]] = {
    "amount": lambda case: -(Decimal(-1) if in_question(case) is None else in_question(case) or Decimal(0)),
    "age": raised_us,
    "opened": lambda case: -raised_us(case),
}


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("rows_max", [1, 7, 400])
def test_pages_follow_each_other_without_gap_or_repetition(reader: CaseReader, sort: Sort, rows_max: int) -> None:
    chosen = CaseFilter(standings=("open",))
    whole = reader.page(chosen, CASES, sort=sort).rows
    assert whole == sorted(whole, key=lambda case: (ORDERS[sort](case), case["discrepancy_id"]))
    paged: list[Case] = []
    after = ""
    while len(paged) <= len(whole):
        page = reader.page(chosen, rows_max, sort=sort, after=after)
        paged += page.rows
        after = page.next
        if not after:
            break
    assert paged == whole


@pytest.mark.parametrize("sort", ORDERS)
@pytest.mark.parametrize("rows_max", [1, 7, 400])
def test_pages_lead_back_the_way_they_came(reader: CaseReader, sort: Sort, rows_max: int) -> None:
    pages = [reader.page(CaseFilter(), rows_max, sort=sort)]
    while pages[-1].next and len(pages) < 30:
        pages.append(reader.page(CaseFilter(), rows_max, sort=sort, after=pages[-1].next))
    assert pages[0].previous == ""
    for earlier, later in pairwise(pages):
        back = reader.page(CaseFilter(), rows_max, sort=sort, before=later.previous)
        assert (back.rows, back.next) == (earlier.rows, earlier.next)
        assert (back.previous == "") == (earlier is pages[0])
    if rows_max < CASES:
        beyond = reader.page(CaseFilter(), rows_max, sort=sort, before=pages[1].previous)
        assert reader.page(CaseFilter(), rows_max, sort=sort, after=beyond.next) == pages[1]


def test_a_page_has_one_cursor(reader: CaseReader) -> None:
    cursor = reader.page(CaseFilter(), 1).next
    with pytest.raises(ConfigurationError, match="after or before"):
        reader.page(CaseFilter(), 1, after=cursor, before=cursor)


@pytest.mark.parametrize(
    "cursor", ["x", "opened~1", "amount~1~" + "ab" * 16, "opened~1~" + "AB" * 16, "opened~1~' OR 1"]
)
def test_a_wrong_cursor_is_told(reader: CaseReader, cursor: str) -> None:
    with pytest.raises(ConfigurationError, match="cursor") as error:
        reader.page(CaseFilter(), 10, after=cursor)
    assert error.value.remedy


def test_ids_are_found_by_their_first_digits(reader: CaseReader) -> None:
    ids = [case["discrepancy_id"] for case in every(reader) if case["discrepancy_id"] not in TWINS]
    typed = [ids[5][:8].upper(), ids[3], ids[5], ids[4][:10]]
    assert [case["discrepancy_id"] for case in cases_of(reader, typed)] == [ids[5], ids[3], ids[4]]
    assert len(cases_of(reader, [*ids, *TWINS])) == CASES
    assert len(reader.beginning_with([f"{number:05x}" for number in range(IDS_MAX + 1)])) <= CASES


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("abababab", r"abababab may be abababababab \((stuck|wrong-charge)\), abababababab"),
        ("00000000", "no discrepancy is called 00000000"),
        ("ff" * 16, "no discrepancy is called ffff"),
        ("abc", "no id of a discrepancy"),
        ("order17", "no id of a discrepancy"),
        ("a" * 33, "no id of a discrepancy"),
    ],
)
def test_an_id_that_means_none_or_several_is_told(reader: CaseReader, typed: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told) as error:
        cases_of(reader, [typed])
    assert error.value.remedy


def test_occurrences_and_rules_are_listed(reader: CaseReader) -> None:
    assert reader.rules() == ["stuck", "wrong-charge"]
    case = next(case for case in every(reader) if case["standing"] == "auto-resolved")
    (one,) = reader.occurrences(case["discrepancy_id"])
    assert (one["number"], one["raised_at"], one["resolved_at"]) == (1, case["raised_at"], case["resolved_at"])
    assert one["period"] == case["raised_at"].date().replace(day=1)
    assert reader.finding(case["discrepancy_id"]) is None
    assert reader.steps(case["discrepancy_id"]) == []
