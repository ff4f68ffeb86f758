"""Where the dashboard may listen, and which names it answers to."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboards.access.serving import host_name, serving
from trueup.model.errors import ConfigurationError
from trueup.settings import DashboardSettings

EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - refused, or named


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, str]:
    files = {"certificate": tmp_path / "cert.pem", "certificate_key": tmp_path / "key.pem"}
    for path in files.values():
        path.write_text("PEM")
    return {name: str(path) for name, path in files.items()}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "[::1]", "127.8.8.8"])
def test_loopback_needs_nothing(host: str) -> None:
    assert serving(DashboardSettings(host=host)).knows("127.0.0.1:8080")
    assert serving(DashboardSettings(host=host, authentication=False)).knows("localhost")


@pytest.mark.parametrize("host", [EVERY_ADDRESS, "::", "10.0.0.5", "recon.example.org", ""])
def test_other_addresses_are_refused_without_tls_or_proxy(host: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        serving(DashboardSettings(host=host))
    assert "127.0.0.1" in refused.value.remedy


def test_other_addresses_are_refused_without_authentication(pair: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="open to everybody"):
        serving(DashboardSettings(host="10.0.0.5", authentication=False, **pair))
    with pytest.raises(ConfigurationError, match="open to everybody"):
        serving(DashboardSettings(authentication=False, proxy_origin="https://recon.example.org"))


def test_tls_opens_an_address_to_its_names_alone(pair: dict[str, str]) -> None:
    where = serving(DashboardSettings(host="10.0.0.5", public_names=["recon.example.org"], **pair))
    assert where.server_options()["ssl_certfile"] == pair["certificate"]
    assert where.knows("10.0.0.5:8443")
    assert where.knows("Recon.Example.org")
    assert not where.knows("evil.example")


def test_every_address_needs_a_name(pair: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="by which name"):
        serving(DashboardSettings(host=EVERY_ADDRESS, **pair))
    assert not serving(DashboardSettings(host=EVERY_ADDRESS, public_names=["a.example"], **pair)).knows(EVERY_ADDRESS)


def test_half_a_certificate_and_a_missing_file_are_told(pair: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="needs its key"):
        serving(DashboardSettings(certificate=pair["certificate"]))
    with pytest.raises(ConfigurationError, match="not there"):
        serving(DashboardSettings(certificate="/nowhere/x.pem", certificate_key=pair["certificate_key"]))


def test_a_declared_proxy_opens_an_address_to_its_name() -> None:
    where = serving(
        DashboardSettings(host="10.0.0.5", proxy_origin="https://Recon.example.org/", trusted_proxies=["10.0.0.9"])
    )
    assert where.proxy_origin == "https://recon.example.org"
    assert where.knows("recon.example.org")
    assert where.server_options()["forwarded_allow_ips"] == ["10.0.0.9"]
    assert serving(DashboardSettings()).server_options()["proxy_headers"] is False


@pytest.mark.parametrize(
    "origin", ["http://a.example", "a.example", "https://", "https://a.example/x", "https://u:p@a"]
)
def test_an_origin_is_https_and_nothing_more(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="no https origin"):
        serving(DashboardSettings(proxy_origin=origin))


@given(st.text(max_size=60))
def test_no_header_but_the_own_names_is_known(header: str) -> None:
    known = serving(DashboardSettings()).knows(header)
    assert known == (host_name(header) in {"127.0.0.1", "localhost", "::1"})
