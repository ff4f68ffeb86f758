"""Whatever is sent to the API or the sign-in is answered in words; amounts and what was seen come back as they were."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from dashboards.access.account import Role
from dashboards.api.documents import amount_text
from dashboards.web.errors import local_address
from tests.access_stand import ORIGIN, Stand
from tests.api_cases import Cases
from trueup.case_seen import read_seen, seen_text
from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS

AMOUNTS = st.decimals(allow_nan=False, allow_infinity=False, places=4, min_value=-(10**30), max_value=10**30)
CURRENCIES = st.sampled_from([*sorted(EXPONENTS), ""])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "id": st.uuids().map(str) | JSON,
        "kind": st.sampled_from(["acknowledge", "snooze", "waive", "approve"]) | JSON,
        "seen": st.lists(st.sampled_from([f"{0:032x}~0~1~EUR~12.50~0", "x"]), max_size=3) | JSON,
        "note": JSON, "until": st.sampled_from(["3d", "0m", "999999w"]) | JSON, "limit": st.sampled_from(["1"]) | JSON,
        "condition": st.sampled_from(["amount-above", "comes-back"]) | JSON, "assignee": JSON,
    },
)  # fmt: skip


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with tempfile.TemporaryDirectory() as folder:
        cases = Cases("12.50")
        stand = Stand(Path(folder), parts={"client": cases, "cases": cases, "send": cases.send})
        account = stand.access.accounts.add("oscar", Role.OPERATOR)
        token = stand.access.tokens.make(account, "x", Role.OPERATOR, 1)
        with pytest.MonkeyPatch.context() as patch:
            for name in ("call_waits", "sign_in_waits"):
                patch.setattr(stand.access.throttle, name, lambda *_names: 0)
            yield TestClient(stand.app, ORIGIN, headers={"Authorization": f"Bearer {token}", "Origin": ORIGIN})
        stand.close()


@given(document=FIELDS | JSON)
@settings(max_examples=60)
def test_whatever_is_decided_is_answered_in_words(client: TestClient, document: Any) -> None:
    answer = client.post("/api/v1/decisions", json=document)
    assert answer.status_code in {200, 400, 403, 409}, answer.text
    assert answer.json()["outcomes" if answer.status_code in {200, 409} else "what"]


@given(fields=st.dictionaries(st.sampled_from(["login", "password", "next", "csrf"]), st.text(max_size=1_100)))
@settings(max_examples=40)
def test_whatever_is_typed_at_the_sign_in_is_answered(client: TestClient, fields: dict[str, str]) -> None:
    assert client.post("/sign-in", data=fields, follow_redirects=False).status_code in {400, 401}


@given(amount=AMOUNTS, currency=CURRENCIES)
def test_an_amount_is_the_same_number_with_at_least_the_digits_of_its_currency(amount: Decimal, currency: str) -> None:
    text = amount_text(amount, currency)
    assert Decimal(text) == amount
    assert len(text.partition(".")[2]) >= EXPONENTS.get(currency, 0)


@given(
    identifier=st.integers(0, 16**32 - 1).map(lambda number: f"{number:032x}"),
    counts=st.tuples(st.integers(0, 10**9 - 1), st.integers(0, 10**9 - 1)),
    currency=CURRENCIES,
    amounts=st.tuples(st.none() | AMOUNTS, st.none() | AMOUNTS),
)
def test_what_was_seen_comes_back_as_it_was(
    identifier: str, counts: tuple[int, int], currency: str, amounts: tuple[Decimal | None, Decimal | None]
) -> None:
    case = {
        "discrepancy_id": identifier, "revision": counts[0], "occurrences": counts[1], "currency": currency,
        "expected": amounts[0], "actual": amounts[1],
    }  # fmt: skip
    assert read_seen(seen_text(case)) == case


@given(st.text(max_size=120))
def test_no_other_text_is_taken_for_what_was_seen(text: str) -> None:
    try:
        case = read_seen(text)
    except ConfigurationError:
        case = None
    assert case is None or seen_text(case).split("~")[:4] == text.split("~")[:4]


@given(
    st.text(max_size=60)
    | st.builds(lambda start, rest: start + rest, st.sampled_from(["//", "/\\", "/x", "https:"]), st.text())
)
def test_an_address_to_go_on_to_is_always_here(text: str) -> None:
    address = local_address(text)
    assert address.startswith("/")
    assert not address.startswith(("//", "/\\"))
