"""A list of a million discrepancies: pages, orders and filters answer."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect
from pydantic import SecretStr

from benchmarks.board_data import Size, fill
from clickhouse.case_reader import CaseReader
from clickhouse.client import connect
from dashboards.access.account import Role
from tests.access_stand import PASSWORD as STAND_PASSWORD
from tests.access_stand import Stand
from tests.browser.site import PATIENCE_SECONDS, wait_until
from tests.integration.endpoint_process import PASSWORD, ClickHouseServer
from trueup.embedded.ports import free_port
from trueup.settings import ClickHouseSettings

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

CASES = 1_000_000
ANSWERED_WITHIN_MS = 10_000
"""Far more than it takes, for other tests run beside; how fast the pages are is measured by the benchmarks."""
ROWS = 50
TURNS = 8


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the dashboard of a ClickHouse with a million discrepancies is."""
    folder = tmp_path_factory.mktemp("million")
    server = ClickHouseServer(folder / "clickhouse")
    server.data_dir.mkdir()
    server.start()
    found = ClickHouseSettings(port=server.port, user="trueup", password=SecretStr(PASSWORD))
    client = connect(found)
    # Lists read nothing else, and the other books of so many orders take five times as long to make.
    fill(client, found.database, Size(cases=CASES, orders=CASES, sellers=2_000), ["case_wide"])
    stand = Stand(folder, parts={"client": client, "cases": CaseReader(client, found.database)})
    stand.add("vera", Role.VIEWER)
    port = free_port()
    service = uvicorn.Server(uvicorn.Config(stand.app, port=port, log_config=None))
    thread = threading.Thread(target=service.run, daemon=True)
    thread.start()
    wait_until("the pages are served", lambda: service.started)
    yield f"http://127.0.0.1:{port}"
    service.handle_exit(signal.SIGTERM, None)
    thread.join(PATIENCE_SECONDS)
    stand.close()
    client.close()
    server.stop()


@pytest.fixture(scope="module")
def page(address: str, chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(locale="en-GB")
    page = context.new_page()
    page.goto(f"{address}/discrepancies")
    page.get_by_label("Login").fill("vera")
    page.get_by_label("Password").fill(STAND_PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#cases tr")).to_have_count(ROWS)
    yield page
    context.close()


def answered_ms(page: Page) -> float:
    """How long the page under the cursor took to arrive."""
    taken: float = page.evaluate("performance.getEntriesByType('navigation')[0].responseEnd")
    return taken


@pytest.mark.parametrize("sort", ["opened", "amount", "age"])
def test_pages_go_on_and_back(address: str, page: Page, sort: str) -> None:
    page.goto(f"{address}/discrepancies?standing=all&sort={sort}")
    seen: list[set[str]] = []
    for _ in range(TURNS):
        assert answered_ms(page) < ANSWERED_WITHIN_MS
        page.wait_for_load_state()
        rows = page.locator("#cases tr").evaluate_all("all => all.map(each => each.id)")
        assert len(rows) == ROWS
        seen.append(set(rows))
        before = page.url
        page.get_by_role("link", name="Next").click()
        expect(page).not_to_have_url(before)
    assert len(set.union(*seen)) == ROWS * TURNS
    page.get_by_role("link", name="Back").click()
    expect(page.locator(f"#{min(seen[-1])}")).to_be_attached()


@pytest.mark.parametrize(
    "query",
    [
        "seller=7",
        "currency=EUR&severity=critical",
        "rule=wrong-billing-amount&sort=amount",
        "class=one-sided&min_amount=500&sort=age",
        "standing=auto-resolved&period=2026-10",
        "older_than=300d",
    ],
)
def test_filters_answer(address: str, page: Page, query: str) -> None:
    page.goto(f"{address}/discrepancies?{query}")
    assert answered_ms(page) < ANSWERED_WITHIN_MS
    assert page.locator("#cases").is_visible() or page.locator("caption").first.is_visible()


def test_the_overview_answers_and_its_figures_follow(address: str, page: Page) -> None:
    page.goto(address)
    assert answered_ms(page) < ANSWERED_WITHIN_MS
    expect(page.locator(".tile", has_text="Discrepancies to do").locator(".figure a")).to_be_visible()
