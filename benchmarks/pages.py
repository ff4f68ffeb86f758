"""(g) Pages of the dashboard: how long the server takes on large books, and how soon an open page shows a finding.

The first half asks every page over HTTP, signed in, one after the other in a mixed order, on the books of
`benchmarks.board_data`. The second half runs a live stack with faults and watches the open list in a real browser.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import md5
from pathlib import Path
from typing import Any, Final

import httpx
from clickhouse_connect.driver.client import Client
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.board_data import Size, fill
from clickhouse.client import connect
from trueup.dashboard_wiring import dashboard_address, sign_in_address
from trueup.demo.listener import Listener, percentile
from trueup.demo.run import demo_rules
from trueup.settings import Settings
from trueup.stack import Stack
from trueup.upstream.plan import WorkloadPlan
from trueup.upstream.workload import run as run_workload

ROUNDS: Final = 30
"""Requests of each address; the first rounds meet cold caches, as a person in the morning does."""

CHROMIUM: Final = "/usr/bin/chromium"
UPDATE_ORDERS: Final = 1_500
UPDATE_CHANGES_PER_S: Final = 200
FAULT_COPIES: Final = 4
SETTLE_SECONDS: Final = 25.0
FINDINGS_MIN: Final = 20


def run(directory: Path, cases: int, orders: int) -> dict[str, Any]:
    """Both halves; `cases` and `orders` are the size of the large books."""
    return {**answers(directory / "pages", Size(cases, orders)), **updates(directory / "updates")}


def answers(directory: Path, size: Size) -> dict[str, Any]:
    """Milliseconds by page, the worst page's p95, and beside them the list as one plain query over all columns."""
    stack = Stack(directory, workers=1)
    stack.start(cdc=False)
    try:
        client = connect(stack.settings.clickhouse)
        began_at = time.monotonic()
        fill(client, stack.settings.clickhouse.database, size)
        filled_seconds = time.monotonic() - began_at
        stack.start_dashboard()
        with signed_in(stack.settings) as browser:
            measured = ask(browser, {**addresses(size), **parts(size)})
        naive = naive_list_ms(client, stack.settings.clickhouse.database)
        client.close()
    finally:
        stack.stop()
    spreads = {name: _spread(times) for name, times in measured.items()}
    by_part = {name: spreads.pop(name) for name in parts(size)}
    by_page = spreads
    worst = max(by_page, key=lambda name: by_page[name]["p95_ms"])
    return {
        "page_p95_ms": by_page[worst]["p95_ms"],
        "page_worst": worst,
        "page_naive_list_p95_ms": naive["p95_ms"],
        "page_times": by_page,
        "page_part_times": by_part,
        "page_books": {"cases": size.cases, "orders": size.orders, "filled_seconds": round(filled_seconds)},
    }


@contextmanager
def signed_in(settings: Settings) -> Iterator[httpx.Client]:
    """A client with the session of the first admin."""
    with httpx.Client(base_url=dashboard_address(settings), follow_redirects=True, timeout=60) as client:
        client.get(sign_in_address(settings)).raise_for_status()
        yield client


def addresses(size: Size) -> dict[str, list[str]]:
    """Page → addresses that differ in what they show: large and small sellers, old and new books."""
    chance = random.Random(1)
    cases = [md5(str(chance.randrange(size.cases)).encode(), usedforsecurity=False).hexdigest() for _ in range(8)]
    orders = [1_000_000 + chance.randrange(size.orders) for _ in range(8)]
    sellers, statements = _sellers(size), _statements(size)
    return {
        "overview": ["/"],
        "discrepancies": ["/discrepancies"],
        "discrepancies by amount": ["/discrepancies?sort=amount", "/discrepancies?sort=amount&standing=all"],
        "discrepancies by age": ["/discrepancies?sort=age"],
        "discrepancies of all standings": ["/discrepancies?standing=all"],
        "discrepancies of a rule": ["/discrepancies?rule=stuck", "/discrepancies?rule=missing-billing&standing=all"],
        "discrepancies of a seller": [f"/discrepancies?seller={seller}" for seller in sellers],
        "discrepancies of an amount": ["/discrepancies?currency=USD&min_amount=500"],
        "discrepancy": [f"/discrepancies/{case}" for case in cases],
        "log of a discrepancy": [f"/discrepancies/{case}/log" for case in cases],
        "neighbours of a discrepancy": [f"/discrepancies/{case}/neighbours" for case in cases],
        "order": [f"/orders/{order}" for order in orders],
        "statements": [
            "/statements",
            "/statements?only_different=1",
            *(f"/statements?seller={one}" for one in sellers),
        ],
        "statement": [f"/statements/{statement}" for statement in statements],
        "payouts": ["/payouts", "/payouts?status=failed", *(f"/payouts?seller={one}" for one in sellers)],
        "payout": [f"/payouts/P{statement}" for statement in statements],
        "channel": ["/channels/bank/USD"],
        "release": ["/releases/5"],
        "sellers": ["/sellers"],
        "seller": [f"/sellers/{seller}" for seller in sellers],
        "quarantine": ["/quarantine"],
        "health": ["/health"],
        "search": [f"/search?q={order}" for order in orders],
    }


def parts(size: Size) -> dict[str, list[str]]:
    """Part of a page that comes behind it, as `addresses`: what it waits for is read in the background."""
    sellers, statements = _sellers(size), _statements(size)
    return {
        "counts of the discrepancies": [
            "/discrepancies/tabs",
            *(f"/discrepancies/tabs?seller={one}" for one in sellers),
        ],
        "items of a statement": [f"/statements/{statement}/items" for statement in statements],
        "growth of a statement": [f"/statements/{statement}/growth" for statement in statements],
        "statements and payouts of a seller": [f"/sellers/{seller}/books" for seller in sellers],
        "risk of a seller": [f"/sellers/{seller}/risk" for seller in sellers],
    }


def _sellers(size: Size) -> list[int]:
    return [1, 2, size.sellers // 2, size.sellers]


def _statements(size: Size) -> list[int]:
    return [period * 1_000_000 + seller for period in (2, 16) for seller in _sellers(size)]


def ask(client: httpx.Client, pages: dict[str, list[str]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Milliseconds of each request by page; the pages take turns, each in every round with its next address.

    A search answers with the address of what it found; the page there is another request, measured as what it is.
    Errors: AssertionError for an answer that is neither a page nor such an address.
    """
    times: dict[str, list[float]] = {name: [] for name in pages}
    names = list(pages)
    for number in range(rounds):
        random.Random(number).shuffle(names)
        for name in names:
            address = pages[name][number % len(pages[name])]
            began_at = time.perf_counter()
            answer = client.get(address, follow_redirects=False)
            times[name].append((time.perf_counter() - began_at) * 1000)
            assert answer.status_code == (303 if name == "search" else 200), (
                f"{address}: {answer.status_code} {answer.text[:300]}"
            )
    return times


def naive_list_ms(client: Client, database: str) -> dict[str, float]:
    """The list as whoever knows no keyset asks for its middle: the newest version of every row by GROUP BY, then an offset."""
    query = (
        "SELECT * FROM (SELECT discrepancy_id, argMax(tuple(raised_at, * EXCEPT (discrepancy_id, raised_at, state)), version) "
        f"AS row FROM {database}.case_wide GROUP BY discrepancy_id) ORDER BY row.1 DESC LIMIT 50 OFFSET 1000"
    )
    times = []
    for _ in range(5):
        began_at = time.perf_counter()
        client.query(query)
        times.append((time.perf_counter() - began_at) * 1000)
    return _spread(times)


def updates(directory: Path) -> dict[str, Any]:
    """From `detected_us` of a finding's message to its row in the open list, in milliseconds."""
    stack = Stack(directory, workers=1, rules=demo_rules())
    stack.start()
    try:
        settings = stack.settings
        plan = WorkloadPlan(
            orders=UPDATE_ORDERS,
            seed=11,
            rate_per_second=UPDATE_CHANGES_PER_S,
            faults=True,
            grace_seconds=settings.rules.grace_seconds,
            fault_copies=FAULT_COPIES,
        )
        listener = Listener(settings.kafka.bootstrap)
        listener.start()
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            page = watched_list(browser, settings)
            run_workload(stack.postgres.dsn(), plan, None, threading.Event())
            page.wait_for_timeout(SETTLE_SECONDS * 1000)
            seen_ms: dict[str, float] = page.evaluate("() => window.seenAt")
            browser.close()
        findings = listener.recent(100_000)
        listener.stop()
    finally:
        stack.stop()
    delays = [
        seen_ms[identifier] - detected_us / 1000
        for finding in findings
        if finding["occurrences"] == 1
        and finding["status"] == "open"
        and isinstance(detected_us := finding["detected_us"], int)
        and (identifier := str(finding["discrepancy_id"])) in seen_ms
    ]
    if len(delays) < FINDINGS_MIN:
        raise AssertionError(f"only {len(delays)} of {len(findings)} findings came to the open page")
    spread = _spread(delays)
    return {
        "page_update_ms": spread["p50_ms"],
        "page_update_p95_ms": spread["p95_ms"],
        "page_update_findings": len(delays),
    }


def watched_list(browser: Browser, settings: Settings) -> Page:
    """The list of discrepancies, open and signed in; `window.seenAt` says when each row came, ms since the epoch."""
    page = browser.new_page()
    page.goto(sign_in_address(settings))
    page.goto(f"{dashboard_address(settings)}/discrepancies")
    page.wait_for_selector("#cases", state="attached")
    page.evaluate(
        """() => {
            window.seenAt = {};
            const note = () => {
                for (const row of document.querySelectorAll('[id^="case-"]')) {
                    window.seenAt[row.id.slice(5)] ??= Date.now();
                }
            };
            new MutationObserver(note).observe(document.body, {childList: true, subtree: true});
            note();
        }"""
    )
    return page


def _spread(times_ms: list[float]) -> dict[str, float]:
    return {f"p{share}_ms": round(percentile(times_ms, share / 100) or 0, 1) for share in (50, 95)}
