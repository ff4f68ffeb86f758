"""What people type and see: filters, ids, tables as wide as the terminal, portions that are broken off."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from io import StringIO
from itertools import pairwise
from typing import Annotated, Any

import pytest
import typer
from rich.cells import cell_len
from rich.console import Console
from typer.testing import CliRunner

from clickhouse.case_reader import UNSETTLED, CaseFilter
from reconcile.cases.commands import Command
from reconcile.cases.human import ALLOWED
from tests.case_log import command
from trueup.case_choice import STANDINGS, read_amount, read_span_us
from trueup.case_commands import UNANSWERED, Outcome
from trueup.case_story import case_document, why
from trueup.cli import app
from trueup.cli.case_outcomes import NOT_SENT, money_text, send_in_portions
from trueup.cli.case_table import age, amount_text, case_table, id_chars, plain
from trueup.cli.discrepancies_actions import MEANT, read_moment_us
from trueup.cli.discrepancies_filter import case_filter
from trueup.cli.shared_options import shares
from trueup.model.errors import ConfigurationError, TrueupError, UnavailableError

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
NOW_US = int(NOW.timestamp()) * 1_000_000
DAY_US = 86_400_000_000


def case(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A row of `v_cases`."""
    held: dict[str, Any] = {
        "discrepancy_id": f"{number:08x}" + "ab" * 12, "rule": "wrong-billing-amount", "class": "wrong-amount",
        "entity_kind": "order", "entity_id": "7", "order_id": "7", "statement_id": "1", "shop_id": "9",
        "currency": "USD", "expected": Decimal("1000.0000"), "actual": Decimal("2234.5000"),
        "delta": Decimal("1234.5000"), "detail": "billed more than the order says", "standing": "open",
        "status": "open", "lapse": "", "assignee": "", "snoozed_until": None, "snooze_condition": "",
        "requester": "", "note": "", "comments": 0, "revision": 0, "occurrences": 1, "severity": "high",
        "due_at": NOW, "opened_at": NOW - timedelta(days=3), "raised_at": NOW - timedelta(days=3),
        "resolved_at": None, "last_at": NOW,
    }  # fmt: skip
    return {**held, **fields}


def printed(cases: Sequence[dict[str, Any]], width: int) -> list[str]:
    out = StringIO()
    Console(file=out, width=width, markup=False).print(case_table(cases, width, NOW))
    return out.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, 400])
def test_a_table_never_wraps(width: int) -> None:
    rows = [case(), case(2, rule="illegal-transition", currency="", expected=None, actual=None, shop_id="店铺" * 40)]
    lines = printed(rows, width)
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= width
    assert "1,234.50 USD" in lines[1]
    assert "00000001" in lines[1]


def test_columns_go_by_priority() -> None:
    def names(width: int) -> list[str]:
        return printed([case()], width)[0].split()

    wide = names(400)
    assert wide[:4] == ["id", "standing", "severity", "rule"]
    assert "detail" in wide
    assert not any("…" in line for width in range(60, 300) for line in printed([case()], width))
    shown = [set(names(width)) for width in range(60, 300, 5)]
    assert all(fewer <= more for fewer, more in pairwise(shown))
    assert {"id", "standing", "rule", "difference", "entity"} <= set(names(80))


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({}, "1,234.50 USD"),
        ({"actual": None}, "-1,000.00 USD"),
        ({"expected": None}, "2,234.50 USD"),
        ({"expected": None, "actual": None}, "–"),
        ({"currency": "JPY", "expected": Decimal(5000), "actual": Decimal("1.0000")}, "-4,999 JPY"),
        ({"currency": "KWD", "expected": Decimal(0), "actual": Decimal("0.0010")}, "0.001 KWD"),
        ({"expected": Decimal(10**33), "actual": Decimal(-(10**33))}, f"{-2 * 10**33:,}.00 USD"),
    ],
)
def test_amounts_have_the_digits_of_their_currency(fields: dict[str, Any], text: str) -> None:
    assert amount_text(case(**fields)) == text


def test_amounts_of_json_are_text_of_their_currency() -> None:
    document = case_document(case(actual=None, delta=None))
    assert [document[name] for name in ("expected", "actual", "delta", "in_question")] == [
        "1000.00",
        None,
        None,
        "1000.00",
    ]


def test_money_is_summed_by_currency() -> None:
    cases = [case(), case(actual=None), case(currency="JPY", expected=None, actual=Decimal(30)), case(currency="")]
    cases[3] |= {"expected": None, "actual": None}
    assert money_text(cases) == "30 JPY, 2,234.50 USD"
    assert money_text([cases[3]]) == "no amounts"


def test_what_the_terminal_would_obey_is_not_printed() -> None:
    assert plain("a\x1b[2Jb\nc") == "a [2Jb c"
    assert plain("店铺店铺", 5) == "店铺…"


def test_ids_are_as_long_as_they_must_be() -> None:
    assert id_chars(["ab" * 16, "ba" * 16]) == 8
    assert id_chars(["0" * 31 + "1", "0" * 31 + "2"]) == 32


@pytest.mark.parametrize(
    ("ago", "text"),
    [
        (timedelta(seconds=-5), "0m"),
        (timedelta(minutes=59), "59m"),
        (timedelta(hours=47), "47h"),
        (timedelta(days=2), "2d"),
    ],
)
def test_ages_are_short(ago: timedelta, text: str) -> None:
    assert age(NOW - ago, NOW) == text


@pytest.mark.parametrize(
    ("text", "at_us"),
    [
        ("3d", NOW_US + 3 * DAY_US),
        ("90m", NOW_US + 5_400_000_000),
        ("2026-11-22T12:00+00:00", NOW_US + DAY_US),
        ("2026-11-22T20:00+08:00", NOW_US + DAY_US),
    ],
)
def test_a_snooze_ends_at_a_time_or_after_a_span(text: str, at_us: int) -> None:
    assert read_moment_us(text, NOW_US) == at_us


@pytest.mark.parametrize("text", ["soon", "0d", "2026-11-20", "3x", "-1d", "9999-01-01", "1e5", "999999w"])
def test_a_time_that_is_none_is_told(text: str) -> None:
    with pytest.raises(ConfigurationError):
        read_moment_us(text, NOW_US)


def test_a_filter_says_what_is_meant() -> None:
    chosen = case_filter(
        rule=["stuck"], currency=["eur"], standing=["waived"], min_amount="12.50", period="2026-11", seller=["9"]
    )
    assert chosen == CaseFilter(
        rules=("stuck",), currencies=("EUR",), standings=("waived",), amount_from=Decimal("12.50"),
        period=date(2026, 11, 1), sellers=("9",),
    )  # fmt: skip
    assert case_filter() == CaseFilter()
    assert case_filter(standing=["all"]).standings == STANDINGS
    since = case_filter(older_than="2d").raised_until_us
    assert since is not None
    assert abs(since - (int(datetime.now(UTC).timestamp()) * 1_000_000 - 2 * DAY_US)) < 5_000_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"currency": ["EURO"]}, "did you mean EUR?"),
        ({"standing": ["wavied"]}, "did you mean waived?"),
        ({"severity": ["hihg"]}, "did you mean high?"),
        ({"kind": ["wrong"]}, "none of its words"),
        ({"min_amount": "-1"}, "no amount"),
        ({"min_amount": "1,000"}, "no amount"),
        ({"min_amount": "nan"}, "no amount"),
        ({"older_than": "two days"}, "no span of time"),
        ({"period": "2026-13"}, "no month"),
    ],
)
def test_a_mistake_in_a_filter_is_told(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told.replace("?", r"\?")) as error:
        case_filter(**given)
    assert error.value.where.startswith("--")
    assert error.value.remedy


def test_amounts_and_spans_are_exact() -> None:
    assert read_amount("0.0001", "--above") == Decimal("0.0001")
    assert read_span_us("1w", "--older-than") == 7 * DAY_US


def test_every_decision_means_what_it_is_possible_for() -> None:
    """The machine of human states knows stances; beside them the books are open or regressed."""
    for kind, stances in ALLOWED.items():
        expected = {name for stance in stances for name in (("open", "regressed") if stance == "none" else (stance,))}
        assert set(MEANT[kind]) == expected & set(UNSETTLED) | (expected if kind == "reopen" else set()), kind


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("ack",), "which discrepancies are meant"),
        (("ack", "abcd", "--all-matching"), "which discrepancies are meant"),
        (("ack", "abcd", "--rule", "stuck"), "a filter says nothing beside ids"),
        (("waive", "abcd"), "waive needs a note"),
        (("resolve", "abcd", "--note", " "), "resolve needs a note"),
        (("comment", "abcd"), "comment needs a note"),
        (("comment", "abcd", "--note", "x" * 4_001), "longer than 4,000"),
        (("snooze", "abcd"), "a snooze has no end"),
        (("snooze", "abcd", "--until-condition", "amount-above"), "go together"),
        (("snooze", "abcd", "--until", "3d", "--above", "5"), "go together"),
        (("assign", "abcd", "--to", " "), "no name"),
        (("ack", "abcd", "--as", "x" * 201), "1 to 200 characters"),
        (("ack", "abcd", "abce", "--revision", "1"), "a revision belongs to one"),
        (("list", "--data-dir", "nowhere"), "no stack is running here"),
        (("show", "abcd", "--data-dir", "nowhere"), "no stack is running here"),
        (("ack", "abcd", "--data-dir", "nowhere"), "no stack is running here"),
    ],
)
def test_mistakes_are_told_before_anything_is_done(words: tuple[str, ...], told: str) -> None:
    done = CliRunner().invoke(app, ["discrepancies", *words])
    assert isinstance(done.exception, TrueupError)
    assert told in done.exception.what
    assert done.exception.remedy
    assert done.output == ""


def applied(commands: Sequence[Command]) -> list[Outcome]:
    return [Outcome(one.command_id, one.discrepancy_id, "applied", "", 1) for one in commands]


def test_portions_are_sent_one_after_the_other() -> None:
    sizes = []

    def send(portion: Sequence[Command]) -> list[Outcome]:
        sizes.append(len(portion))
        return applied(portion)

    commands = [command(number, "acknowledge", 0) for number in range(5)]
    sent = send_in_portions(commands, send, portion=2)
    assert sizes == [2, 2, 1]
    assert [outcome.command_id for outcome in sent.outcomes] == [one.command_id for one in commands]
    assert sent.broken is None


@pytest.mark.parametrize("broken", [KeyboardInterrupt(), UnavailableError("Kafka does not answer")])
def test_what_is_broken_off_says_what_was_sent(broken: KeyboardInterrupt | TrueupError) -> None:
    portions: Iterator[int] = iter(range(3))

    def send(portion: Sequence[Command]) -> list[Outcome]:
        if next(portions):
            raise broken
        return applied(portion)

    sent = send_in_portions([command(number, "acknowledge", 0) for number in range(6)], send, portion=2)
    assert [outcome.result for outcome in sent.outcomes] == ["applied"] * 2 + [UNANSWERED] * 2 + [NOT_SENT] * 2
    assert sent.broken is broken


def step(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "actor": "ann", "outcome": "applied", "note": "", **fields}


@pytest.mark.parametrize(
    ("fields", "timeline", "text"),
    [
        ({}, [], "the books disagree, and no decision holds"),
        ({"standing": "regressed"}, [], "the books disagree again, and no decision holds"),
        ({"lapse": "waiver lapsed: the amounts changed"}, [], "the books disagree; waiver lapsed: the amounts changed"),
        ({"standing": "auto-resolved"}, [], "the books agree again"),
        (
            {"standing": "waived"},
            [step("waive", note="small"), step("comment", note="later"), step("reopen", outcome="refused")],
            "waive by ann: small",
        ),
        (
            {"standing": "waived"},
            [step("assign"), step("waive", note="small"), step("approve", actor="bob")],
            "waive by ann: small, approve by bob",
        ),
        ({"standing": "assigned", "assignee": "bob"}, [step("assign")], "bob deals with it (assign by ann)"),
        (
            {"standing": "waive-requested", "requester": "ann"},
            [step("waive", note="agreed")],
            "ann asks for a waiver, another person has to agree (waive by ann: agreed)",
        ),
        (
            {"standing": "snoozed", "snooze_condition": "comes-back"},
            [step("snooze")],
            "it rests until it is raised again (snooze by ann)",
        ),
    ],
)
def test_why_it_stands_so(fields: dict[str, Any], timeline: list[dict[str, Any]], text: str) -> None:
    assert why(case(**fields), timeline) == text


def test_options_are_shared_between_commands() -> None:
    def place(
        city: Annotated[str, typer.Option("--city")] = "Rome", number: Annotated[int, typer.Option("--number")] = 1
    ) -> tuple[str, int]:
        return city, number

    seen = []
    small = typer.Typer()

    @small.command()
    @shares(where=place)
    def go(where: tuple[str, int], fast: Annotated[bool, typer.Option("--fast")] = False) -> None:
        seen.append((where, fast))

    assert CliRunner().invoke(small, ["--city", "Bern", "--fast"]).exit_code == 0
    assert CliRunner().invoke(small, []).exit_code == 0
    assert seen == [(("Bern", 1), True), (("Rome", 1), False)]
