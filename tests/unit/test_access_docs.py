"""docs/access.md and docs/api.md say what the code does; the examples of both run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from dashboards.access.account import ROLES
from dashboards.access.action_log import KEPT_DAYS
from dashboards.access.passwords import CHARS_MIN
from dashboards.access.serving import serving
from dashboards.access.throttle import PER_ADDRESS, PER_LOGIN, PER_TOKEN
from dashboards.access.tokens import DAYS_MAX
from dashboards.api.asking import ROWS_MAX
from dashboards.api.description import openapi_document
from dashboards.api.given import SEEN_MAX, Kind
from dashboards.pages.provider import BACK
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
