"""Whom alerts may reach: listed hosts at public addresses, whatever a name leads to by the time it is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from dashboards.alerts.channels.exchange import Outcome, Post
from dashboards.alerts.declared import DeclaredSlack, DeclaredTargets
from dashboards.alerts.secret import read_secrets
from dashboards.alerts.targets import TargetRefused, checked_address, target_of
from dashboards.alerts.transport import HttpSender
from trueup.model.errors import ConfigurationError

TARGETS = DeclaredTargets.model_validate(
    {"hosts": ["hooks.example.com", "other.example.com:8443", "10.1.2.3"], "allow_private": ["10.1.2.0/24"]}
)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/secret-path",
        "https://HOOKS.example.com:443/secret-path?a=1",
        "https://other.example.com:8443/",
        "http://10.1.2.3/x",
    ],
)
def test_listed_targets_are_taken(url: str) -> None:
    assert target_of(url, TARGETS).host in {"hooks.example.com", "other.example.com", "10.1.2.3"}


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/secret-path",
        "https://hooks.example.com.evil.com/secret-path",
        "https://hooks.example.com@evil.com/secret-path",
        "https://user:pass@hooks.example.com/secret-path",
        "https://hooks.example.com:444/secret-path",
        "https://other.example.com/secret-path",
        "ftp://hooks.example.com/secret-path",
        "file:///secret-path",
        "https://hooks.example.com/secret-path#x",
        "https://hooks.example.com/secret-path\r\nHost: evil",
        "https://hooks.example.com:port/secret-path",
        "https:///secret-path",
        "https://hooks.example.c\u043em/secret-path",
        "",
    ],
)
def test_other_targets_are_refused_without_telling_the_address(url: str) -> None:
    with pytest.raises(TargetRefused) as caught:
        target_of(url, TARGETS)
    assert "secret-path" not in str(caught.value)
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1",
     "240.0.0.1", "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1",
     "4000::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:1::1", "fec0::1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(TargetRefused, match="not a public address"):
        checked_address("hooks.example.com", [address], TARGETS, is_encrypted=True)


def test_nowhere_is_not_public() -> None:
    with pytest.raises(TargetRefused, match="not a public address"):
        checked_address("hooks.example.com", ["0.0.0.0"], TARGETS, is_encrypted=True)  # noqa: S104 - nothing is bound


def test_one_bad_address_among_good_ones_refuses_the_name() -> None:
    with pytest.raises(TargetRefused):
        checked_address("hooks.example.com", ["8.8.8.8", "127.0.0.1"], TARGETS, is_encrypted=True)


def test_public_and_allowed_addresses_are_reached() -> None:
    assert checked_address("hooks.example.com", ["8.8.8.8", "2606:4700::1"], TARGETS, is_encrypted=True) == "8.8.8.8"
    assert checked_address("10.1.2.3", ["10.1.2.3"], TARGETS, is_encrypted=False) == "10.1.2.3"


def test_what_is_public_is_reached_with_encryption_only() -> None:
    with pytest.raises(TargetRefused, match="without encryption"):
        checked_address("hooks.example.com", ["8.8.8.8"], TARGETS, is_encrypted=False)


def test_a_name_that_is_bound_anew_is_looked_up_once_and_refused() -> None:
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["8.8.8.8"] if len(asked) > 1 else ["127.0.0.1"]

    outcome = HttpSender(TARGETS, resolve=rebinding).send(Post("https://hooks.example.com/x", {}, b""))
    assert isinstance(outcome, Outcome)
    assert outcome.state == "refused"
    assert "127.0.0.1" in outcome.reason
    assert asked == ["hooks.example.com"]


def slack_channel(**fields: str) -> DeclaredSlack:
    return DeclaredSlack.model_validate({"name": "ops", "kind": "slack", **fields})


def test_secrets_come_from_files_and_the_environment(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://hooks.example.com/x\n")
    from_file = read_secrets(slack_channel(url_file=str(tmp_path / "url")), {})
    from_environment = read_secrets(slack_channel(url_env="URL"), {"URL": "https://hooks.example.com/x"})
    assert from_file == from_environment
    assert "hooks.example.com" not in f"{from_file}{from_file!r}"


@pytest.mark.parametrize("fields", [{"url_env": "URL"}, {"url_file": "no-such-file"}])
def test_a_secret_that_is_missing_is_told(fields: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="the secret of the channel ops"):
        read_secrets(slack_channel(**fields), {})
