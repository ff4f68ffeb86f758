"""The file of alerts: what it means, and that every error in it is told with its line and what to do."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboards.alerts.channels.email import TOTAL_SECONDS_MAX as MAIL_SECONDS_MAX
from dashboards.alerts.channels.webhook import REPLAY_SECONDS
from dashboards.alerts.courier import limits_of
from dashboards.alerts.declared import DeclaredHours, DeclaredRoute, read_duration_us
from dashboards.alerts.hours import next_working_us
from dashboards.alerts.load import AlertFileError, load_alerts, read_alerts
from dashboards.alerts.outbox import KEPT_US
from dashboards.alerts.pace import ATTEMPTS_MAX, MINUTE_US, Limit
from dashboards.alerts.routing import destinations
from dashboards.alerts.transport import ANSWER_BYTES_MAX, TOTAL_SECONDS_MAX
from reconcile.settlement import rule_classes
from tests.alert_books import CHANNEL, HEAD, HOUR_US, NOW_US, ROUTE, alerts_of, notice

HOURS = """
[hours.office]
zone = "Asia/Shanghai"
days = ["mon", "tue", "wed", "thu", "fri"]
begins = 09:00:00
ends = 18:00:00
holidays = [2023-11-15]
"""
PAGE = (Path(__file__).parents[2] / "docs/alerts.md").read_text(encoding="utf-8")
DINGTALK = '[[channel]]\nname = "own"\nkind = "dingtalk"\nurl_env = "OWN_URL"\n'
PAGER = CHANNEL.replace('"own"', '"pager"')


def errors_of(text: str, **known: set[str]) -> list[tuple[int, str, str]]:
    with pytest.raises(AlertFileError) as caught:
        read_alerts(text, file="alerts.toml", known_rules=known.get("rules"))
    return [(problem.line, problem.what, problem.remedy) for problem in caught.value.problems]


def test_every_error_of_a_file_is_told_at_once_with_its_line() -> None:
    text = (
        HEAD
        + HOURS.replace("Asia/Shanghai", "Asia/Shangri-La").replace("18:00:00", "08:00:00")
        + CHANNEL.replace("url_env", "url_file")
        + CHANNEL.replace("webhook", "pigeon")
        + ROUTE.replace('["4h", "1d"]', '["1d", "4h"]').replace('["own"]', '["owm"]')
        + ROUTE.replace('name = "all"', 'name = "large"\namount_form = 3')
    )
    found = errors_of(text)
    lines = text.splitlines()
    told = [(lines[line - 1].strip(), what) for line, what, _ in found]
    assert told == [
        (
            'zone = "Asia/Shangri-La"',
            "`zone`: 'Asia/Shangri-La' is no IANA time zone; write one such as 'Asia/Shanghai'",
        ),
        ("ends = 08:00:00", "`ends`: `ends` must come after `begins`, both on one day"),
        ('name = "own"', "two channels are called own"),
        ('kind = "pigeon"', "there is no such kind of channel"),
        ('channels = ["owm"]', "`channels`: there is no 'owm'"),
        ('remind = ["1d", "4h"]', "`remind`: each distance must be longer than the one before"),
        ("amount_form = 3", "there is no key `amount_form` here"),
    ]
    assert [remedy for _, what, remedy in found if "amount_form" in what] == ["did you mean `amount_from`?"]
    assert [remedy for _, what, remedy in found if "owm" in what] == ["did you mean 'own'?"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (CHANNEL.replace('secret_env = "OWN_SECRET"\n', "") + ROUTE, "a webhook is signed"),
        (CHANNEL.replace('url_env = "OWN_URL"', 'url = "https://x"') + ROUTE, "no key `url`"),
        (CHANNEL + ROUTE.replace("remind", "hours = 'night'\nremind"), "`hours`: there is no 'night'"),
        (CHANNEL + ROUTE + 'outside_critical = "own"', "says nothing without working hours"),
        (CHANNEL + ROUTE + 'rules = ["wrong-biling"]', "there is no 'wrong-biling'"),
        (CHANNEL + ROUTE + 'currencies = ["EURO"]', "no ISO-4217 currency"),
        (CHANNEL + ROUTE + "amount_from = { USD = 10.5 }", "no amount: write it as a text"),
        (CHANNEL + ROUTE + "sellers = [7]", "valid string"),
        (CHANNEL + ROUTE + ROUTE, "two routes are called all"),
        (CHANNEL + ROUTE.replace('"4h"', '"4 hours"'), "write a whole number and a unit"),
        ("[[channel]\n", "not valid TOML"),
    ],
)
def test_a_mistake_is_told_in_words(wrong: str, told: str) -> None:
    (found, *more) = errors_of(HEAD + wrong, rules={"wrong-billing"})
    assert told in found[1]
    assert found[0] > len(HEAD.splitlines())
    assert found[2]
    assert more == []


def test_a_mail_server_must_be_listed() -> None:
    mail = '[[channel]]\nname = "mail"\nkind = "email"\nhost = "smtp.example.com"\nsender = "a@b.example"\nto = ["c@d.example"]\n'
    ((_, what, remedy),) = errors_of(HEAD + CHANNEL + mail + ROUTE)
    assert "smtp.example.com:587 is not among the hosts" in what
    assert '"smtp.example.com:587"' in remedy


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AlertFileError, match="does not exist"):
        load_alerts(tmp_path / "alerts.toml")


def test_durations_are_read() -> None:
    assert [read_duration_us(text) // 1_000_000 for text in ("30s", "15m", "4h", "7d")] == [30, 900, 14_400, 604_800]


def test_the_documented_file_is_in_order() -> None:
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    alerts = read_alerts(text, file="docs/alerts.md", known_rules=set(rule_classes()))
    assert {channel.kind for channel in alerts.channels} == {"webhook", "slack", "feishu", "dingtalk", "email"}
    assert {name for name in DeclaredRoute.model_fields if f"\n{name} = " not in text} == set()


def test_the_documented_limits_are_those_of_the_code() -> None:
    assert f"more than {REPLAY_SECONDS} seconds" in PAGE
    assert f"tried again, {ATTEMPTS_MAX} times" in PAGE
    assert f"kept for {KEPT_US // (24 * HOUR_US)} days" in PAGE
    assert (
        f"at most {TOTAL_SECONDS_MAX:g} seconds (mail {MAIL_SECONDS_MAX:g}) and {ANSWER_BYTES_MAX // 1024} kB" in PAGE
    )
    assert Limit(20, MINUTE_US) in limits_of(alerts_of(HEAD + DINGTALK + ROUTE).channels[0])


def test_the_first_route_takes_it_or_all_do() -> None:
    routes = ROUTE + ROUTE.replace('"all"', '"second"').replace('["own"]', '["own", "pager"]')
    first = alerts_of(HEAD + CHANNEL + PAGER + routes)
    every = alerts_of(HEAD.replace('"first"', '"all"') + CHANNEL + PAGER + routes)
    assert [(one.channel, one.route) for one in destinations(first, notice(), NOW_US)] == [("own", "all")]
    # Each channel tells once, for the first route that names it.
    assert [(one.channel, one.route) for one in destinations(every, notice(), NOW_US)] == [
        ("own", "all"), ("pager", "second"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("restriction", "is_taken"),
    [
        ('rules = ["wrong-billing"]', True),
        ('rules = ["missing-billing"]', False),
        ('classes = ["wrong-amount"]', True),
        ('classes = ["mismatch"]', False),
        ('sellers = ["7", "8"]', True),
        ('sellers = ["8"]', False),
        ('currencies = ["EUR"]', False),
        ('directions = ["short"]', False),
        ('severity_from = "medium"', True),
        ('severity_from = "high"', False),
        ('amount_from = { USD = "1200.50" }', True),
        ('amount_from = { USD = "1200.51" }', False),
        ('amount_from = { default = "1200.50", USD = "9999" }', False),
        ('amount_from = { EUR = "1" }', False),
        ('severity_from = "medium"\ncurrencies = ["USD"]\ndirections = ["short"]', False),
    ],
)
def test_what_a_route_takes(restriction: str, is_taken: bool) -> None:
    alerts = alerts_of(HEAD + CHANNEL + ROUTE + restriction)
    assert bool(destinations(alerts, notice(), NOW_US)) is is_taken


def test_an_amount_says_nothing_where_none_is_compared() -> None:
    alerts = alerts_of(HEAD + CHANNEL + ROUTE + 'amount_from = { default = "0" }')
    assert destinations(alerts, notice(currency="", expected=None, actual=None, stake_minor=None), NOW_US) == []


def office() -> DeclaredHours:
    return alerts_of(HEAD + HOURS + CHANNEL + ROUTE).hours["office"]


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("moment", "begins"),
    [
        ("2023-11-14T01:00:00", "2023-11-14T01:00:00"),  # Tuesday 09:00 in Shanghai
        ("2023-11-14T09:59:59", "2023-11-14T09:59:59"),
        ("2023-11-14T10:00:00", "2023-11-16T01:00:00"),  # Wednesday is a holiday
        ("2023-11-14T00:59:59", "2023-11-14T01:00:00"),
        ("2023-11-17T12:00:00", "2023-11-20T01:00:00"),  # over the weekend
    ],
)
def test_working_hours_begin_again(moment: str, begins: str) -> None:
    assert next_working_us(office(), at(moment)) == at(begins)


def test_outside_working_hours_alerts_are_held_and_critical_ones_go_elsewhere() -> None:
    alerts = alerts_of(HEAD + HOURS + CHANNEL + PAGER + ROUTE + 'hours = "office"\noutside_critical = "pager"\n')
    night = at("2023-11-16T20:00:00")
    assert destinations(alerts, notice(), night) == [("own", "all", at("2023-11-17T01:00:00"))]
    assert destinations(alerts, notice(severity="critical"), night) == [("pager", "all", night)]
    assert destinations(alerts, notice(severity="critical"), night + 6 * HOUR_US) == [
        ("own", "all", night + 6 * HOUR_US)
    ]


def test_a_time_that_the_clocks_leave_out_begins_after_it() -> None:
    text = HOURS.replace("Asia/Shanghai", "Europe/Berlin").replace('"mon"', '"sun"').replace("09:00:00", "02:30:00")
    hours = alerts_of(HEAD + text + CHANNEL + ROUTE).hours["office"]
    assert next_working_us(hours, at("2024-03-31T00:00:00")) == at("2024-03-31T01:30:00")
    assert re.search(r"Berlin", str(hours.zone))
