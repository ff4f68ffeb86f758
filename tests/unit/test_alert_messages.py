"""What alerts say, in both languages, and the form and signature that each channel gives it."""

from __future__ import annotations

import base64
import hashlib
import hmac
from email.message import EmailMessage
from string import Formatter
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest

from dashboards.alerts.channels import dingtalk, feishu, slack, webhook
from dashboards.alerts.channels.email import mail_of
from dashboards.alerts.channels.exchange import AGAIN, ARRIVED, REFUSED, Answer, outcome_by_status, retry_after_us
from dashboards.alerts.declared import DeclaredEmail
from dashboards.alerts.digest import Member, digest_of
from dashboards.alerts.message import Message, body_of_digest, body_of_notice, body_of_test, message_of
from dashboards.alerts.wording import WORDS
from tests.alert_books import NOW_US, SECOND_US, identifier, notice

BASE = "https://trueup.example.com"
HOSTILE = "<!channel> *x* [a](http://evil) <b>&`_~|\n\u202egnp.exe"


def told(kind: str = "raised", language: str = "en", reminder: int = 0, **fields: Any) -> Message:
    return message_of(body_of_notice(kind, "all", notice(**fields), reminder), language, BASE)


def test_a_message_tells_exact_amounts_and_leads_to_the_case() -> None:
    message = told(expected="-1208.50", actual="0.05", stake_minor=123_456_789_012)
    facts = dict(message.facts)
    assert message.title == "Discrepancy · wrong-billing · 1,234,567,890.12 USD"
    assert (facts["Expected"], facts["Actual"]) == ("-1,208.50 USD", "0.05 USD")
    assert facts["Since"] == "2023-11-14 22:13:20 UTC"
    assert "Statement" not in facts
    assert message.link == f"{BASE}/discrepancies/{identifier(1)}"
    assert message.document["discrepancy"]["at_stake"] == "1234567890.12"


def test_yen_and_dinars_have_their_own_digits() -> None:
    assert told(currency="JPY", expected="800", actual="850", stake_minor=50).title.endswith("50 JPY")
    assert told(currency="KWD", expected="0.800", actual="0.850", stake_minor=50).title.endswith("0.050 KWD")


def test_it_is_told_in_chinese() -> None:
    message = told("reminder", "zh", reminder=2)
    assert message.title == "仍未解决（第 2 次提醒） · wrong-billing · 1,200.50 USD"
    assert ("严重程度", "中") in message.facts


@pytest.mark.parametrize(
    ("kind", "occurrence", "title"),
    [
        ("raised", 1, "Discrepancy"),
        ("raised", 3, "Discrepancy again (occurrence 3)"),
        ("reminder", 1, "Still open (reminder 0)"),
        ("resolved", 1, "Resolved"),
    ],
)
def test_each_kind_has_its_heading(kind: str, occurrence: int, title: str) -> None:
    assert told(kind, occurrence=occurrence).title.startswith(f"{title} · ")


def test_both_languages_say_the_same_things() -> None:
    english, chinese = WORDS["en"]._asdict(), WORDS["zh"]._asdict()
    for name, text in english.items():
        if isinstance(text, str):
            assert places_of(text) == places_of(chinese[name])
        else:
            assert text.keys() == chinese[name].keys()


def places_of(text: str) -> list[str]:
    return [name for _, name, _, _ in Formatter().parse(text) if name]


def test_a_digest_counts_sums_and_names_the_most_urgent() -> None:
    members = [
        Member("raised", notice(discrepancy_id=identifier(number), entity_id=str(number), stake_minor=number * 100))
        for number in range(1, 1001)
    ] + [Member("resolved", notice(discrepancy_id=identifier(2000))) for _ in range(3)]
    message = message_of(body_of_digest(digest_of(members)), "en", BASE)
    facts = dict(message.facts)
    assert message.title == "1,003 alerts in one"
    assert facts["Alerts"] == "raised 1,000, resolved 3"
    assert facts["In question"] == "500,500.00 USD"
    assert facts["Rules"] == "wrong-billing 1,000"
    assert message.lines[0] == "medium, wrong-billing, 1,000.00 USD, order 1000"
    assert len(message.lines) == 5


def test_a_webhook_is_signed_over_time_and_body() -> None:
    post = webhook.post_of("https://alerts.example.com/x", "s3cret", told(), "key-1", NOW_US)
    signed = post.headers["Trueup-Timestamp"].encode() + b"." + post.body
    assert post.headers["Trueup-Timestamp"] == str(NOW_US // SECOND_US)
    assert post.headers["Trueup-Signature"] == "v1=" + hmac.new(b"s3cret", signed, hashlib.sha256).hexdigest()
    assert post.headers["Idempotency-Key"] == orjson.loads(post.body)["key"] == "key-1"


def test_slack_gets_blocks_in_which_nothing_works() -> None:
    body = orjson.loads(slack.post_of("https://s", "", told(detail=HOSTILE, shop_id=HOSTILE), "k", NOW_US).body)
    fields = body["blocks"][1]["fields"]
    assert len(fields) <= 10
    (seller,) = [field["text"] for field in fields if field["text"].startswith("*Seller*")]
    assert "<" not in seller
    assert "&lt;!channel&gt;" in seller
    assert "\u202e" not in seller
    assert body["blocks"][2]["text"]["type"] == "plain_text"
    assert body["blocks"][-1]["elements"][0]["text"].startswith(f"<{BASE}/discrepancies/")


def test_feishu_gets_a_signed_card_of_plain_text() -> None:
    post = feishu.post_of("https://f", "s3cret", told("resolved", "zh", detail=HOSTILE), "k", NOW_US)
    body = orjson.loads(post.body)
    key = f"{NOW_US // SECOND_US}\ns3cret".encode()
    assert body["sign"] == base64.b64encode(hmac.new(key, b"", hashlib.sha256).digest()).decode()
    assert body["timestamp"] == str(NOW_US // SECOND_US)
    assert body["card"]["header"]["template"] == "green"
    assert tags_of(body["card"]) == {"div", "plain_text", "action", "button"}
    unsigned = orjson.loads(feishu.post_of("https://f", "", told(), "k", NOW_US).body)
    assert "sign" not in unsigned


def tags_of(value: Any) -> set[str]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    own = {value["tag"]} if isinstance(value, dict) and "tag" in value else set()
    return own.union(*(tags_of(one) for one in inner))


def test_dingtalk_gets_escaped_markdown_and_a_signed_address() -> None:
    post = dingtalk.post_of(
        "https://oapi.example/robot/send?access_token=t", "s3cret", told(detail=HOSTILE), "k", NOW_US
    )
    query = parse_qs(urlsplit(post.url).query)
    timestamp = str(NOW_US // 1000)
    signed = hmac.new(b"s3cret", f"{timestamp}\ns3cret".encode(), hashlib.sha256).digest()
    assert query == {"access_token": ["t"], "timestamp": [timestamp], "sign": [base64.b64encode(signed).decode()]}
    text = orjson.loads(post.body)["markdown"]["text"]
    assert "\\[a\\]\\(http://evil\\)" in text
    assert "\\<\\!channel\\>" in text
    assert text.endswith(f"({BASE}/discrepancies/{identifier(1)})")


def mail_channel() -> DeclaredEmail:
    return DeclaredEmail.model_validate(
        {"name": "mail", "kind": "email", "host": "smtp.example.com", "sender": "trueup@example.com",
         "to": ["ops@example.com", "cfo@example.com"]}
    )  # fmt: skip


def test_a_mail_has_text_and_html_and_an_id_that_follows_from_the_key() -> None:
    first, second = (mail_of(mail_channel(), told(detail=HOSTILE), key, NOW_US) for key in ("k1", "k1"))
    assert first["Message-ID"] == second["Message-ID"] != mail_of(mail_channel(), told(), "k2", NOW_US)["Message-ID"]
    assert first["To"] == "ops@example.com, cfo@example.com"
    text, page = cast("list[EmailMessage]", first.get_payload())
    assert "Expected: 8.00 USD" in text.get_content()
    assert "<!channel>" not in page.get_content()
    assert "&lt;b&gt;" in page.get_content()


def test_a_subject_stays_one_line() -> None:
    mail = mail_of(mail_channel(), told(rule="a\r\nBcc: evil@example.com"), "k", NOW_US)
    assert "\n" not in mail["Subject"]
    assert mail["Bcc"] is None


def test_a_sample_says_that_it_is_one() -> None:
    assert message_of(body_of_test("all"), "zh", BASE).title == "trueup 告警测试"


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, headers, body)


@pytest.mark.parametrize(
    ("status", "state"),
    [(200, ARRIVED), (204, ARRIVED), (301, REFUSED), (307, REFUSED), (400, REFUSED), (403, REFUSED), (404, REFUSED),
     (408, AGAIN), (425, AGAIN), (429, AGAIN), (500, AGAIN), (503, AGAIN)],
)  # fmt: skip
def test_what_a_status_means(status: int, state: str) -> None:
    assert outcome_by_status(answer(status, b"x"), NOW_US).state == state


def test_retry_after_is_read_as_seconds_or_date() -> None:
    assert retry_after_us("120", NOW_US) == 120 * SECOND_US
    assert retry_after_us("Tue, 14 Nov 2023 22:14:20 GMT", NOW_US) == 60 * SECOND_US
    assert retry_after_us("Tue, 14 Nov 2023 22:00:00 GMT", NOW_US) == 0
    assert retry_after_us("soon", NOW_US) is None
    assert retry_after_us("", NOW_US) is None


@pytest.mark.parametrize(
    ("body", "state"),
    [(b'{"code":0}', ARRIVED), (b'{"StatusCode":0}', ARRIVED), (b'{"code":11232,"msg":"frequency"}', AGAIN),
     (b'{"code":19021,"msg":"sign match fail"}', REFUSED), (b"<html>", REFUSED)],
)  # fmt: skip
def test_feishu_says_in_the_body_what_it_refuses(body: bytes, state: str) -> None:
    assert feishu.outcome_of(answer(200, body), NOW_US).state == state


@pytest.mark.parametrize(
    ("body", "state", "wait_us"),
    [(b'{"errcode":0}', ARRIVED, None), (b'{"errcode":130101}', AGAIN, 600 * SECOND_US), (b'{"errcode":-1}', AGAIN, None),
     (b'{"errcode":310000,"errmsg":"sign not match"}', REFUSED, None), (b"[]", REFUSED, None)],
)  # fmt: skip
def test_dingtalk_says_in_the_body_what_it_refuses(body: bytes, state: str, wait_us: int | None) -> None:
    outcome = dingtalk.outcome_of(answer(200, body), NOW_US)
    assert (outcome.state, outcome.retry_after_us) == (state, wait_us)


def test_the_widest_message_fits_what_chats_take() -> None:
    wide = "*汉" * 1_000
    message = told(
        rule=wide, entity_id=wide, shop_id=wide, order_id=wide, statement_id=wide, detail=wide, entity_kind=wide
    )
    for made in (dingtalk, feishu):
        assert len(made.post_of("https://x", "s3cret", message, "k", NOW_US).body) < 20_000
