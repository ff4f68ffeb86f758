"""The frame of the pages: languages, colours, figures, what a template is given, and errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest
from babel.messages.pofile import read_po
from clickhouse_connect.driver.exceptions import OperationalError
from fastapi import APIRouter
from markupsafe import Markup
from starlette.testclient import TestClient

from dashboards.access.account import Role
from dashboards.web.errors import local_address
from dashboards.web.figures import amount_text, count_text, moment_tag, moment_text
from dashboards.web.guard import Viewer
from dashboards.web.language import LANGUAGES, term, translator
from dashboards.web.page import NAVIGATION, environment, place_of
from tests.access_stand import ORIGIN, Browser, Stand
from trueup.model.errors import UnavailableError

CATALOGUES = Path(__file__).resolve().parents[2] / "dashboards" / "locale" / "zh"


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    yield made
    made.close()


@pytest.fixture
def viewer(stand: Stand) -> Browser:
    return stand.signed_in("vera", Role.VIEWER)


class AbsentClickHouse:
    def query(self, *_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    command = query


def macro(call: str, language: str = "en", **values: object) -> str:
    name = call.partition("(")[0]
    text = f'{{% from "macros.html" import {name} %}}{{{{ {call} }}}}'
    chosen = next(known for known in LANGUAGES if known == language)
    return environment(chosen).from_string(text).render(values).strip()


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1234567.5", "USD", "1,234,567.50"),
        ("-0.5", "USD", "−0.50"),
        ("1000", "JPY", "1,000"),
        ("1.5", "KWD", "1.500"),
        ("0.1234", "USD", "0.1234"),
        ("0", "EUR", "0.00"),
        ("9" * 34 + ".9999", "USD", ",".join(["9"] + ["999"] * 11) + ".9999"),
        ("12", "", "12.00"),
    ],
)
def test_amounts_have_the_digits_of_their_currency_and_lose_none(amount: str, currency: str, text: str) -> None:
    assert amount_text(Decimal(amount), currency, "en") == text
    assert amount_text(Decimal(amount), currency, "zh") == text


def test_no_amount_and_no_count_is_a_dash() -> None:
    assert amount_text(None, "USD", "en") == count_text(None, "en") == "–"
    assert count_text(-1_234_567, "en") == "−1,234,567"


def test_a_moment_says_its_zone() -> None:
    assert moment_text(1_700_000_000_123_456) == "2023-11-14 22:13:20 UTC"
    assert moment_tag(1_700_000_000_123_456) == "2023-11-14T22:13:20.123Z"
    assert moment_text(None) == "–"
    assert moment_tag(0) == ""


def test_what_users_wrote_is_escaped() -> None:
    assert "<script>" not in macro("page_head(title)", title="<script>")
    assert "<b>" not in macro("fault(what)", what="<b>")
    assert macro("money(amount, currency)", amount=Decimal(1), currency="<i>").count("<i>") == 0


def test_a_translated_text_escapes_its_values_alone() -> None:
    made = environment("zh").from_string('{{ _("Nothing has the id %(text)s.", text=text) }}').render(text="<b>&")
    assert made == Markup("没有编号为 &lt;b&gt;&amp; 的对象。")


def test_words_of_the_domain_are_translated_and_readable_in_english() -> None:
    assert term("zh", "standing", "waive-requested") == "待批豁免"
    assert term("en", "standing", "waive-requested") == "waive requested"
    assert term("zh", "rule", "no-such-rule") == "no such rule"
    assert translator("zh")("Overview") == "总览"


def test_catalogues_agree_on_what_a_text_means() -> None:
    said: dict[tuple[object, object], dict[str, object]] = {}
    for path in sorted(CATALOGUES.glob("*.po")):
        with path.open("rb") as file:
            for message in read_po(file):
                if message.id:
                    said.setdefault((message.context, message.id), {})[path.name] = message.string
    assert said
    assert {key: files for key, files in said.items() if len(set(map(str, files.values()))) > 1} == {}


def test_every_page_of_the_navigation_is_translated_and_found_by_its_addresses() -> None:
    chinese = translator("zh")
    assert [place.title for place in NAVIGATION if chinese(place.title) == place.title] == []
    found = place_of("/orders/42")
    assert found is not None
    assert found.title == "Orders"
    assert place_of("/ordersx") is None
    assert place_of("/") == NAVIGATION[0]


@pytest.mark.parametrize(
    ("header", "cookie", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-Hans"),
        ("fr, en;q=0.5, zh;q=0.6", "", "zh-Hans"),
        ("zh;q=0, en", "", "en"),
        ("fr", "", "en"),
        ("q=;;,,=x;q=y", "", "en"),
        ("zh", "en", "en"),
        ("en", "zh", "zh-Hans"),
        ("zh", "klingon", "zh-Hans"),
    ],
)
def test_the_language_is_the_chosen_one_else_the_browsers(
    stand: Stand, header: str, cookie: str, language: str
) -> None:
    browser = stand.browser()
    if cookie:
        browser.cookies.set("trueup_language", cookie)
    answer = browser.get("/sign-in", headers={"Accept-Language": header})
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}"' in answer.text


def test_the_switches_are_kept_and_lead_back(stand: Stand) -> None:
    browser = stand.browser()
    answer = browser.get("/preferences?language=zh&theme=dark&back=/orders%3Fpage%3D2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/orders?page=2")
    shown = browser.get("/sign-in").text
    assert 'lang="zh-Hans" data-theme="dark"' in shown


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "/\\evil.example", "x", "/\n", "/" * 3000])
def test_the_switches_lead_nowhere_else(back: str) -> None:
    assert local_address(back) == "/"


def test_a_page_without_a_session_leads_to_the_sign_in_and_back(stand: Stand) -> None:
    answer = stand.browser().get("/search?q=42", headers={"Accept": "text/html"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/sign-in?next=%2Fsearch%3Fq%3D42"


def test_a_fragment_without_a_session_sends_the_whole_page_to_the_sign_in(stand: Stand) -> None:
    sent = {"HX-Request": "true", "HX-Current-URL": "http://127.0.0.1:8080/discrepancies?rule=stuck"}
    answer = stand.browser().get("/search", headers=sent)
    assert answer.headers["hx-redirect"] == "/sign-in?next=%2Fdiscrepancies%3Frule%3Dstuck"


def test_an_event_source_without_a_session_is_refused(stand: Stand) -> None:
    assert stand.browser().get("/live", headers={"Accept": "text/event-stream"}).status_code == 401


def test_an_unknown_address_is_told_in_words(viewer: Browser) -> None:
    answer = viewer.get("/nothing")
    assert answer.status_code == 404
    assert "Check the address" in answer.text
    assert "Traceback" not in answer.text


def test_a_missing_clickhouse_is_told_with_where_and_remedy(tmp_path: Path) -> None:
    stand = Stand(tmp_path, parts={"client": AbsentClickHouse()})
    browser = stand.signed_in("vera", Role.VIEWER)
    whole = browser.get("/search?q=1")
    assert (whole.status_code, whole.headers["retry-after"]) == (503, "2")
    assert "is ClickHouse running?" in whole.text
    assert "<html" in whole.text
    part = browser.get("/search?q=1", headers={"HX-Request": "true"})
    assert part.status_code == 503
    assert "<html" not in part.text
    assert 'role="alert"' in part.text
    stand.close()


def test_an_unexpected_error_shows_no_traceback(stand: Stand) -> None:
    router = APIRouter()

    @router.get("/breaks")
    def breaks(account: Viewer) -> None:
        raise RuntimeError(f"the secret of {account.login}")

    @router.get("/away")
    def away(account: Viewer) -> None:
        raise UnavailableError("the store is away", where="here", remedy="wait")

    stand.app.include_router(router)
    cookies = stand.signed_in("vera", Role.VIEWER).cookies
    browser = TestClient(
        stand.app, ORIGIN, raise_server_exceptions=False, cookies=dict(cookies), client=("127.0.0.1", 50_000)
    )
    answer = browser.get("/breaks")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "RuntimeError" not in answer.text
    assert "the store is away" in browser.get("/away").text


def test_every_answer_carries_the_policy(viewer: Browser) -> None:
    for path in ("/sign-in", "/nothing", "/static/icon.svg", "/healthz", "/search"):
        headers = viewer.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


def test_pages_are_not_kept_and_built_files_are(viewer: Browser) -> None:
    page = viewer.get("/search")
    assert page.headers["cache-control"] == "no-store"
    address = page.text.partition('<script src="')[2].partition('"')[0]
    assert "?v=" in address
    assert "immutable" in viewer.get(address).headers["cache-control"]
    other = viewer.get("/static/app.js?v=other")
    assert other.headers["cache-control"] == "no-cache"
    assert viewer.get("/static/app.js", headers={"If-None-Match": other.headers["etag"]}).status_code == 304
    assert viewer.get("/static/../app.py").status_code == 404


def test_pages_hold_no_inline_script_or_style(viewer: Browser) -> None:
    text = viewer.get("/search?q=").text
    assert "style=" not in text
    assert "onclick" not in text
    assert text.count("<script") == text.count("<script src=")
