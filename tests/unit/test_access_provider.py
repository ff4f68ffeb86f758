"""Signing in at an OpenID provider, against a real one over HTTP: the way through, and every word that must not be believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc.jwk import OctKey, RSAKey

from dashboards.access.account import Role
from dashboards.access.provider import Provider, role_of_claims
from tests.access_stand import Browser, Clock, Stand
from tests.oidc_provider import CLIENT_ID, CLIENT_SECRET, OidcProvider, running_provider
from trueup.model.errors import ConfigurationError
from trueup.settings import OidcSettings

ROLES = {"operator": ["finance"], "admin": ["finance-leads"], "viewer": ["all"]}


@pytest.fixture
def provider() -> Iterator[OidcProvider]:
    with running_provider(lambda: Clock().now_us // 1_000_000) as made:
        yield made


@pytest.fixture
def stand(tmp_path: Path, provider: OidcProvider) -> Iterator[Stand]:
    secret = tmp_path / "client.secret"
    secret.write_text(CLIENT_SECRET + "\n")
    oidc = OidcSettings(
        issuer=provider.issuer, name="Corp", client_id=CLIENT_ID, client_secret_file=str(secret), roles=ROLES
    )
    made = Stand(tmp_path, oidc=oidc)
    yield made
    made.close()


def leave(browser: Browser, path: str = "/sign-in/provider?next=/users") -> str:
    """To the provider, which the person passes: the address to come back to."""
    answer = browser.get(path)
    assert answer.status_code == 303, answer.text
    return httpx.get(answer.headers["location"], timeout=60).headers["location"]


def come_back(browser: Browser, address: str) -> Any:
    parts = urlsplit(address)
    return browser.get(f"{parts.path}?{parts.query}")


def test_whoever_the_provider_vouches_for_signs_in(stand: Stand, provider: OidcProvider) -> None:
    browser = stand.browser()
    assert "Corp" in browser.get("/sign-in").text
    back = come_back(browser, leave(browser))
    assert (back.status_code, back.headers["location"]) == (303, "/users")
    account = stand.access.accounts.find("ann")
    assert account is not None
    assert (account.role, account.name, account.provider, account.has_password) == (
        Role.OPERATOR,
        "Ann B",
        "Corp",
        False,
    )
    assert "Ann B" in browser.get("/account").text
    assert stand.access.actions.page(1)[0][2:4] == ("ann", "127.0.0.1")


def test_the_claim_decides_the_role_each_time(stand: Stand, provider: OidcProvider) -> None:
    browser = stand.browser()
    come_back(browser, leave(browser))
    provider.claims |= {"groups": ["all", "finance-leads"], "preferred_username": "renamed"}
    come_back(browser, leave(browser))
    account = stand.access.accounts.find("ann")
    assert account is not None
    assert account.role is Role.ADMIN
    assert stand.access.accounts.find("renamed") is None


def test_a_claim_without_a_role_lets_nobody_in(stand: Stand, provider: OidcProvider) -> None:
    provider.claims["groups"] = ["somebody", "else"]
    browser = stand.browser()
    assert come_back(browser, leave(browser)).status_code == 403
    assert stand.access.accounts.find("ann") is None


def test_a_login_of_another_account_is_not_taken_over(stand: Stand, provider: OidcProvider) -> None:
    stand.add("ann", Role.ADMIN)
    browser = stand.browser()
    answer = come_back(browser, leave(browser))
    assert (answer.status_code, "belongs to another account" in answer.text) == (400, True)


def test_a_disabled_account_stays_out(stand: Stand) -> None:
    browser = stand.browser()
    come_back(browser, leave(browser))
    stand.access.accounts.add("root", Role.ADMIN)
    stand.access.accounts.set_disabled("ann", disabled=True)
    assert come_back(stand.browser(), leave(browser)).status_code == 403
    assert come_back(browser, leave(browser)).status_code == 403


def test_an_answer_counts_once_and_in_the_browser_that_left(stand: Stand) -> None:
    browser = stand.browser()
    address = leave(browser)
    assert come_back(stand.browser(), address).status_code == 403, "another browser has no such state"
    address = leave(browser)
    assert come_back(browser, address).status_code == 303
    assert come_back(browser, address).status_code == 403
    late = leave(browser)
    stand.clock.pass_minutes(11)
    assert come_back(browser, late).status_code == 403


@pytest.mark.parametrize(
    "change", [{"code": "x"}, {"state": "x"}, {"iss": "https://evil.example"}, {"error": "denied"}]
)
def test_an_answer_that_was_changed_is_refused(stand: Stand, change: dict[str, str]) -> None:
    browser = stand.browser()
    address = urlsplit(leave(browser))
    query = {name: values[0] for name, values in parse_qs(address.query).items()} | change
    assert browser.get(address.path, params=query).status_code == 403


@pytest.mark.parametrize(
    "spoil",
    [
        {"iss": "https://evil.example"},
        {"aud": "another client"},
        {"aud": [CLIENT_ID, "another client"]},
        {"aud": [CLIENT_ID, "another client"], "azp": "another client"},
        {"nonce": "of another sign-in"},
        {"exp": 1},
        {"sub": ""},
        {"sub": None},
        {"exp": None},
        {"preferred_username": None},
        {"preferred_username": "no login at all"},
    ],
)
def test_a_token_with_wrong_claims_is_refused(stand: Stand, provider: OidcProvider, spoil: dict[str, Any]) -> None:
    provider.spoil = lambda claims: {
        name: value for name, value in {**claims, **spoil}.items() if value is not None
    }  # fmt: skip
    browser = stand.browser()
    assert come_back(browser, leave(browser)).status_code in {400, 403}
    assert stand.access.accounts.every() == []


def test_a_token_that_another_key_signed_is_refused(stand: Stand, provider: OidcProvider) -> None:
    for key, algorithm in (
        (RSAKey.generate_key(2048, parameters={"kid": "first"}), "RS256"),
        (OctKey.import_key(CLIENT_SECRET.ljust(40)), "HS256"),
    ):
        provider.signs_with, provider.algorithm = key, algorithm
        browser = stand.browser()
        assert come_back(browser, leave(browser)).status_code == 403
    assert stand.access.accounts.every() == []


def test_new_keys_of_the_provider_are_fetched(stand: Stand, provider: OidcProvider) -> None:
    browser = stand.browser()
    assert come_back(browser, leave(browser)).status_code == 303
    provider.change_key()
    assert come_back(browser, leave(browser)).status_code == 303


def test_a_provider_of_another_name_is_not_believed(stand: Stand, provider: OidcProvider) -> None:
    provider.metadata_issuer = "https://evil.example"
    answer = stand.browser().get("/sign-in/provider")
    assert (answer.status_code, "calls itself" in answer.text) == (400, True)


def test_a_provider_that_is_away_is_told(tmp_path: Path) -> None:
    stand = Stand(tmp_path, oidc=OidcSettings(issuer="http://127.0.0.1:1", client_id="x", roles=ROLES))
    answer = stand.browser().get("/sign-in/provider")
    assert (answer.status_code, "does not answer" in answer.text) == (503, True)
    stand.close()


def test_without_a_provider_nobody_is_sent_anywhere(tmp_path: Path) -> None:
    stand = Stand(tmp_path)
    assert stand.browser().get("/sign-in/provider").status_code == 403
    stand.close()


@pytest.mark.parametrize(
    "settings",
    [
        OidcSettings(issuer="http://idp.example", client_id="x", roles=ROLES),
        OidcSettings(issuer="idp", client_id="x", roles=ROLES),
        OidcSettings(issuer="https://idp.example", roles=ROLES),
        OidcSettings(issuer="https://idp.example", client_id="x"),
        OidcSettings(issuer="https://idp.example", client_id="x", roles=ROLES, client_secret_file="/nowhere/secret"),
    ],
)
def test_settings_that_would_let_anybody_in_are_refused(tmp_path: Path, settings: OidcSettings) -> None:
    stand = Stand(tmp_path)
    with pytest.raises(ConfigurationError):
        Provider(settings, stand.access.store, stand.clock)
    stand.close()


@pytest.mark.parametrize(
    ("claims", "role"),
    [
        ({"groups": "finance"}, Role.OPERATOR),
        ({"groups": ["all", "finance"]}, Role.OPERATOR),
        ({"groups": [["finance"], None, 1]}, None),
        ({"groups": {"finance": True}}, None),
        ({"groups": 7}, None),
        ({}, None),
    ],
)
def test_roles_of_claims(claims: dict[str, Any], role: Role | None) -> None:
    settings = OidcSettings(issuer="https://idp.example", roles=ROLES)
    assert role_of_claims(claims, settings) is role


def test_a_claim_may_lie_deeper() -> None:
    settings = OidcSettings(issuer="https://idp.example", role_claim="realm_access.roles", roles=ROLES)
    assert role_of_claims({"realm_access": {"roles": ["finance"]}}, settings) is Role.OPERATOR
    assert role_of_claims({"realm_access": ["finance"]}, settings) is None
    assert role_of_claims({"realm_access.roles": ["all"]}, settings) is Role.VIEWER
