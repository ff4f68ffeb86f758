"""docs/access.md and docs/api.md say what the code does; the examples of both run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from uuid import uuid4

import pytest
from starlette.testclient import TestClient

from dashboards.access.account import ROLES, Role
from dashboards.access.action_log import KEPT_DAYS
from dashboards.access.passwords import CHARS_MIN
from dashboards.access.serving import serving
from dashboards.access.throttle import PER_ADDRESS, PER_LOGIN, PER_TOKEN
from dashboards.access.tokens import DAYS_MAX
from dashboards.api.asking import ROWS_MAX
from dashboards.api.description import openapi_document
from dashboards.api.given import SEEN_MAX, Kind
from dashboards.pages.provider import BACK
from tests.access_stand import ORIGIN, Stand
from tests.api_cases import Cases
from trueup.settings import DashboardSettings

DOCS = Path(__file__).resolve().parents[2] / "docs"
ACCESS = (DOCS / "access.md").read_text(encoding="utf-8")
API = (DOCS / "api.md").read_text(encoding="utf-8")


def test_the_roles_are_those_of_the_code() -> None:
    assert re.findall(r"^\| `(\w+)` \| \w", ACCESS, re.MULTILINE) == [str(role) for role in ROLES]


def test_the_bounds_are_those_of_the_code() -> None:
    assert (CHARS_MIN, DAYS_MAX, PER_TOKEN.amount, KEPT_DAYS) == (12, 366, 600, 730)
    assert (PER_LOGIN.amount, PER_ADDRESS.amount, PER_LOGIN.multiples, PER_ADDRESS.multiples) == (10, 30, 5, 5)
    for text in (
        "12 characters",
        "at most 366 days",
        "600 requests a minute",
        "Ten attempts per login and thirty per address",
    ):
        assert text in ACCESS
    assert (ROWS_MAX, SEEN_MAX) == (1_000, 1_000)
    assert API.count("1,000") == 2
    assert BACK in ACCESS


@pytest.mark.parametrize("block", re.findall(r"^```toml\n(.*?)^```", ACCESS, re.MULTILINE | re.DOTALL))
def test_the_settings_that_are_shown_can_be_used(block: str, tmp_path: Path) -> None:
    section = tomllib.loads(block)["dashboard"]
    for name in ("certificate", "certificate_key"):
        if name in section:
            section[name] = str(tmp_path / name)
            (tmp_path / name).write_text("PEM")
    assert serving(DashboardSettings(**section)).knows("recon.example.org") == ("oidc" not in section)


def test_every_address_of_the_api_is_listed() -> None:
    listed = re.findall(r"^\| `(GET|POST) (/api/v1[^`]*)` \|", API, re.MULTILINE)
    served = [(method.upper(), path) for path, item in openapi_document()["paths"].items() for method in item]
    assert sorted(listed) == sorted(served)


def test_every_kind_of_decision_is_named() -> None:
    named = set(re.findall(r"`([a-z]+)`", API))
    assert set(Kind.__args__) <= named  # type: ignore[attr-defined]  # a Literal has its words there


def test_every_operation_says_what_it_does_and_shows_an_answer() -> None:
    for path, item in openapi_document()["paths"].items():
        for operation in item.values():
            assert operation["description"], path
            assert "example" in operation["responses"]["200"]["content"]["application/json"], path
            assert {"401", "403", "429", "503"} <= operation["responses"].keys()


def test_the_examples_of_the_api_run(tmp_path: Path) -> None:
    cases = Cases("12.50", "500", "0.01", "250")
    stand = Stand(tmp_path, parts={"client": cases, "cases": cases, "send": cases.send})
    token = stand.access.tokens.make(stand.access.accounts.add("oscar", Role.OPERATOR), "x", Role.OPERATOR, 1)
    client = TestClient(stand.app, ORIGIN, headers={"Authorization": f"Bearer {token}"})
    printed: list[tuple[object, ...]] = []

    def get(address: str, **parameters: object) -> object:
        answer = client.get(address, params={name: str(value) for name, value in parameters.items()})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(address: str, document: object) -> tuple[int, object]:
        answer = client.post(address, json=document)
        return answer.status_code, answer.json()

    known: dict[str, object] = {
        "get": get, "post": post, "uuid4": uuid4, "seller": "77", "print": lambda *parts: printed.append(parts),
    }  # fmt: skip
    for block in re.findall(r"^```python\n(.*?)^```", API, re.MULTILINE | re.DOTALL):
        exec(block, known)  # noqa: S102 - the text of our own page
    stand.close()
    assert [parts[2:] for parts in printed] == [("500.00", "EUR"), ("250.00", "EUR")]
    assert (known["status"], [command.kind for command in cases.sent]) == (200, ["acknowledge"])
    rows = known["rows"]
    assert isinstance(rows, list)
    assert len(rows) == 4
