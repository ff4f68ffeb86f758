"""Signing in and out, forms and forged forms, accounts on their pages, and the log of it all: with real accounts in a store."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from dashboards.access.account import Role
from dashboards.access.action_log import DONE, REFUSED
from tests.access_stand import ORIGIN, PASSWORD, Browser, Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path)
    made.add("chief", Role.ADMIN)
    yield made
    made.close()


@pytest.fixture
def admin(stand: Stand) -> Browser:
    browser = stand.browser()
    assert browser.sign_in("chief").status_code == 303
    return browser


HTML = {"Accept": "text/html"}


def is_signed_in(browser: Browser) -> bool:
    """Whether the own account is shown; else the sign-in is."""
    answer = browser.get("/account", headers=HTML)
    assert answer.status_code == 200 or answer.headers["location"] == "/sign-in?next=%2Faccount"
    return bool(answer.status_code == 200)


def actions(stand: Stand) -> list[tuple[str, str, str, str]]:
    """Who, what, about, result; the newest first."""
    return [(found.login, found.action, found.about, found.result) for found in stand.access.actions.page(50)]


def test_a_page_leads_to_the_sign_in_and_back(stand: Stand) -> None:
    browser = stand.browser()
    away = browser.get("/users?said=role", headers=HTML)
    assert (away.status_code, away.headers["location"]) == (303, "/sign-in?next=%2Fusers%3Fsaid%3Drole")
    form = browser.get(away.headers["location"])
    assert 'name="next" value="/users?said=role"' in form.text
    back = browser.sign_in("chief", next="/users?said=role")
    assert (back.status_code, back.headers["location"]) == (303, "/users?said=role")
    assert browser.get("/users").status_code == 200


@pytest.mark.parametrize(
    "next_page", ["https://evil.example", "//evil.example", "/\\evil.example", "javascript:x", "\n/x"]
)
def test_a_sign_in_leads_nowhere_else(stand: Stand, next_page: str) -> None:
    assert stand.browser().sign_in("chief", next=next_page).headers["location"] == "/"


def test_a_fragment_sends_the_whole_page_to_the_sign_in(stand: Stand) -> None:
    answer = stand.browser().get(
        "/account", headers={"HX-Request": "true", "HX-Current-URL": f"{ORIGIN}/discrepancies?rule=x"}
    )
    assert (answer.status_code, answer.headers["hx-redirect"]) == (401, "/sign-in?next=%2Fdiscrepancies%3Frule%3Dx")


def test_wrong_passwords_and_unknown_logins_look_alike(stand: Stand) -> None:
    stand.add("off", Role.VIEWER)
    stand.access.accounts.set_disabled("off", disabled=True)
    browser = stand.browser()
    answers = [browser.sign_in(login, "not the password") for login in ("chief", "nobody")]
    answers.append(browser.sign_in("off"))
    texts = {re.sub(r'value="(?:chief|nobody|off)"', "", answer.text) for answer in answers}
    assert [answer.status_code for answer in answers] == [401] * 3
    assert len(texts) == 1
    assert actions(stand)[:3] == [("", "sign in", name, REFUSED) for name in ("off", "nobody", "chief")]


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(stand: Stand) -> None:
    cookie = stand.browser().sign_in("chief").headers["set-cookie"]
    assert cookie.startswith("trueup_8080=")
    assert {"HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))


def test_sign_ins_are_limited_per_login_and_per_address(stand: Stand) -> None:
    for address in range(10):
        assert stand.browser(address=f"10.0.0.{address}").sign_in("chief", "wrong").status_code == 401
    limited = stand.browser(address="10.0.0.99").sign_in("chief")
    assert limited.status_code == 429
    assert int(limited.headers["retry-after"]) > 0
    guesser = stand.browser(address="10.9.9.9")
    assert [guesser.sign_in(f"login{number}", "wrong").status_code for number in range(31)] == [401] * 30 + [429]


def test_a_network_of_ipv6_counts_as_one_address(stand: Stand) -> None:
    statuses = [
        stand.browser(address=f"2001:db8::{number:x}").sign_in(f"login{number}", "wrong").status_code
        for number in range(1, 32)
    ]
    assert statuses == [401] * 30 + [429]


def test_a_session_that_is_over_leads_to_the_sign_in(stand: Stand, admin: Browser) -> None:
    stand.clock.pass_minutes(stand.settings.dashboard.session_idle_minutes)
    assert admin.get("/users", headers=HTML).headers["location"] == "/sign-in?next=%2Fusers"


def test_signing_out_ends_the_session(stand: Stand, admin: Browser) -> None:
    held = dict(admin.cookies)
    assert admin.submit("/sign-out").headers["location"] == "/sign-in"
    admin.cookies.update(held)
    assert not is_signed_in(admin)
    assert actions(stand)[0] == ("chief", "sign out", "chief", DONE)


def test_a_sign_in_changes_the_id_and_ends_the_session_before(stand: Stand, admin: Browser) -> None:
    before = dict(admin.cookies)
    assert admin.sign_in("chief").status_code == 303
    assert dict(admin.cookies) != before
    stale = stand.browser()
    stale.cookies.update(before)
    assert not is_signed_in(stale)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Referer": "https://evil.example/users"},
    ],
)
def test_forms_of_other_sites_are_refused(stand: Stand, admin: Browser, headers: dict[str, str]) -> None:
    fields = {"csrf": admin.form_token(), "login": "mallory", "role": "admin", "password": PASSWORD}
    assert admin.post("/users", data=fields, headers=headers).status_code == 403
    assert stand.access.accounts.find("mallory") is None
    assert actions(stand)[0] == ("chief", "POST /users", "", REFUSED)


@pytest.mark.parametrize(
    "headers", [{"Origin": ORIGIN}, {"Sec-Fetch-Site": "same-origin"}, {"Referer": f"{ORIGIN}/users"}]
)
def test_forms_of_ours_pass(stand: Stand, admin: Browser, headers: dict[str, str]) -> None:
    fields = {"csrf": admin.form_token(), "login": "eve", "role": "viewer", "password": PASSWORD}
    assert admin.post("/users", data=fields, headers=headers).status_code == 303
    assert stand.access.accounts.find("eve") is not None


def test_a_form_needs_the_token_of_its_own_session(stand: Stand, admin: Browser) -> None:
    other = stand.signed_in("eve", Role.ADMIN)
    for token in ("", "x", other.form_token()):
        fields = {"csrf": token, "login": "mallory", "role": "admin", "password": PASSWORD}
        assert admin.post("/users", data=fields, headers={"Origin": ORIGIN}).status_code == 403
    assert stand.access.accounts.find("mallory") is None


def test_htmx_sends_the_token_in_a_header(stand: Stand, admin: Browser) -> None:
    fields = {"login": "eve", "role": "viewer", "password": PASSWORD}
    headers = {"Origin": ORIGIN, "X-CSRF-Token": admin.form_token()}
    assert admin.post("/users", data=fields, headers=headers).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "evil.example:8080", ""])
def test_other_names_of_the_machine_are_refused(stand: Stand, host: str) -> None:
    assert stand.browser().get("/sign-in", headers={"Host": host}).status_code == 403


def test_an_admin_manages_accounts(stand: Stand, admin: Browser) -> None:
    assert admin.submit("/users", login="Bob", role="operator", password=PASSWORD).status_code == 303
    bob = stand.browser()
    assert bob.sign_in("bob").status_code == 303
    assert bob.get("/users").status_code == 403
    assert admin.submit("/users/bob/role", role="admin").status_code == 303
    assert not is_signed_in(bob), "a change of the role ends the sessions"
    assert admin.submit("/users/bob/password", password="an entirely new one").status_code == 303
    assert bob.sign_in("bob").status_code == 401
    assert bob.sign_in("bob", "an entirely new one").status_code == 303
    assert admin.submit("/users/bob/disable").status_code == 303
    assert not is_signed_in(bob)
    assert bob.sign_in("bob", "an entirely new one").status_code == 401
    assert admin.submit("/users/bob/enable").status_code == 303
    assert bob.sign_in("bob", "an entirely new one").status_code == 303
    done = [action[1:3] for action in actions(stand) if action[0] == "chief" and action[3] == DONE]
    assert done[:-1] == [
        ("enable an account", "bob"),
        ("disable an account", "bob"),
        ("reset the password", "bob"),
        ("change the role", "bob"),
        ("add an account", "Bob"),
    ]


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("/users", {"login": "chief", "role": "viewer", "password": PASSWORD}, "is taken"),
        ("/users", {"login": "x y", "role": "viewer", "password": PASSWORD}, "is no login"),
        ("/users", {"login": "eve", "role": "king", "password": PASSWORD}, "is no role"),
        ("/users", {"login": "eve", "role": "viewer", "password": "short"}, "5 characters"),
        ("/users/chief/role", {"role": "viewer"}, "the last admin"),
        ("/users/chief/disable", {}, "the last admin"),
        ("/users/nobody/enable", {}, "there is no account"),
    ],
)
def test_mistakes_of_an_admin_are_told(
    stand: Stand, admin: Browser, path: str, fields: dict[str, str], said: str
) -> None:
    answer = admin.submit(path, **fields)
    assert answer.status_code == 400
    assert said in answer.text
    assert actions(stand)[0][3] == REFUSED
    assert [account.login for account in stand.access.accounts.every()] == ["chief"]


def test_a_refused_page_is_written_down(stand: Stand) -> None:
    viewer = stand.signed_in("vera", Role.VIEWER)
    assert viewer.get("/actions").status_code == 403
    assert actions(stand)[0] == ("vera", "GET /actions", "", REFUSED)


def test_the_own_password_is_changed_by_the_present_one(stand: Stand) -> None:
    vera = stand.signed_in("vera", Role.VIEWER)
    elsewhere = stand.browser()
    assert elsewhere.sign_in("vera").status_code == 303
    new = "a very different word"
    wrong = vera.submit("/account/password", present="wrong", password=new, again=new)
    assert (wrong.status_code, "the present password is another one" in wrong.text) == (400, True)
    assert vera.submit("/account/password", present=PASSWORD, password=new, again=new + "x").status_code == 400
    changed = vera.submit("/account/password", present=PASSWORD, password=new, again=new)
    assert changed.headers["location"] == "/account?said=password"
    assert vera.get("/account").status_code == 200
    assert not is_signed_in(elsewhere)
    assert stand.browser().sign_in("vera", new).status_code == 303


def test_a_profile_keeps_name_and_language(stand: Stand) -> None:
    vera = stand.signed_in("vera", Role.VIEWER)
    assert vera.submit("/account/profile", name="Vera <b>", language="zh").status_code == 303
    page = vera.get("/account").text
    assert 'lang="zh-Hans"' in page
    assert "Vera &lt;b&gt;" in page
    assert vera.submit("/account/profile", name="Vera", language="fr").status_code == 400


def test_a_token_is_shown_once_and_can_be_removed(stand: Stand) -> None:
    vera = stand.signed_in("vera", Role.VIEWER)
    page = vera.submit("/account/tokens", name="nightly", role="viewer", days=30).text
    (secret,) = re.findall(r"trueup_[\w-]{40,}", page)
    assert secret not in vera.get("/account").text
    assert vera.submit("/account/tokens", name="nightly", role="operator", days=30).status_code == 400
    (token,) = stand.access.tokens.of("vera")
    assert vera.submit(f"/account/tokens/{token.token_id}/remove").status_code == 303
    assert stand.access.tokens.bearer(secret) is None


def test_a_link_signs_in_once_and_only_from_this_machine(stand: Stand) -> None:
    chief = stand.access.accounts.find("chief")
    assert chief is not None
    path = stand.access.links.make(chief)
    assert stand.browser(address="10.0.0.7").get(path).status_code == 403
    assert stand.browser().get(path, headers={"X-Forwarded-For": "10.0.0.7"}).status_code == 403
    browser = stand.browser()
    assert browser.get(path).headers["location"] == "/"
    assert browser.get("/users").status_code == 200
    assert stand.browser().get(path).status_code == 401
    assert stand.browser().get("/sign-in/once").status_code == 401
    assert [entry[3] for entry in actions(stand) if entry[1] == "sign in by a link"] == [
        REFUSED, REFUSED, DONE, REFUSED, REFUSED,
    ]  # fmt: skip


def test_the_first_admin_is_asked_for_a_password(stand: Stand) -> None:
    account = stand.access.accounts.add("fresh", Role.ADMIN)
    browser = stand.browser()
    away = browser.get(stand.access.links.make(account)).headers["location"]
    assert "Choose a password" in browser.get(away).text
    new = "the first real one"
    assert browser.submit("/account/password", password=new, again=new).status_code == 303
    assert stand.browser().sign_in("fresh", new).status_code == 303


def test_the_log_of_actions_is_for_admins_and_pages_back(stand: Stand, admin: Browser) -> None:
    for number in range(120):
        stand.access.actions.add("vera", "10.0.0.1", f"deed {number}")
    page = admin.get("/actions?login=vera").text
    assert "deed 119" in page
    assert "deed 19<" not in page
    (older,) = re.findall(r'rel="next" href="([^"]+)"', page)
    assert "deed 19<" in admin.get(older.replace("&amp;", "&")).text
    assert "Nothing is written down" in admin.get("/actions?login=nobody").text


def test_without_authentication_everybody_here_is_an_admin(tmp_path: Path) -> None:
    stand = Stand(tmp_path, authentication=False)
    browser = stand.browser()
    assert browser.get("/actions").status_code == 200
    assert "Authentication is off" in browser.get("/account").text
    assert browser.submit("/account/password", password=PASSWORD, again=PASSWORD).status_code == 403
    evil = browser.post("/users", data={"login": "x"}, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert browser.get("/actions", headers={"Host": "evil.example"}).status_code == 403
    stand.close()


def test_behind_a_proxy_cookies_are_secure_and_its_origin_counts(tmp_path: Path) -> None:
    stand = Stand(tmp_path, proxy_origin="https://recon.example.org")
    stand.add("chief", Role.ADMIN)
    browser = stand.browser("https://recon.example.org", "10.0.0.7")
    signed_in = browser.sign_in("chief")
    assert signed_in.status_code == 303
    cookie = signed_in.headers["set-cookie"]
    assert cookie.startswith("__Host-trueup=")
    assert "Secure" in cookie.split("; ")
    assert browser.get("/users").status_code == 200
    forged = browser.post("/users", data={"csrf": browser.form_token()}, headers={"Origin": "http://recon.example.org"})
    assert forged.status_code == 403
    stand.close()


def test_a_body_has_a_bound(stand: Stand) -> None:
    browser = stand.browser()
    headers = {"Origin": ORIGIN}
    assert browser.post("/sign-in", content=b"x" * 5_000_000, headers=headers).status_code == 400
    assert browser.post("/sign-in", content=iter([b"login=x"]), headers=headers).status_code == 400
    assert browser.post("/sign-in", content=b"", headers={**headers, "Content-Length": "-1"}).status_code == 400
