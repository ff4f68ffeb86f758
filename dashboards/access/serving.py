"""Where the service may listen, and by which names, addresses and cookies browsers reach it. Pure but for certificate files."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from trueup.model.errors import ConfigurationError
from trueup.settings import DashboardSettings

LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_WILDCARDS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - compared with, not listened on


class Serving(NamedTuple):
    """How the service is reached.

    `hosts` are the names that a request's Host header may have; `proxy_origin` is "" where no proxy is declared.
    """

    host: str
    certificate: str
    certificate_key: str
    hosts: frozenset[str]
    proxy_origin: str
    trusted_proxies: tuple[str, ...]

    @property
    def proxy_host(self) -> str:
        """Host and port of the proxy as browsers write them, "" without one."""
        return self.proxy_origin.partition("://")[2]

    def server_options(self) -> dict[str, Any]:
        """What `uvicorn.Config` has to be given beside the application and the port."""
        options: dict[str, Any] = {
            "host": self.host,
            "proxy_headers": bool(self.proxy_origin),
            "forwarded_allow_ips": list(self.trusted_proxies),
            "server_header": False,
        }
        if self.certificate:
            options |= {"ssl_certfile": self.certificate, "ssl_keyfile": self.certificate_key}
        return options

    def knows(self, host_header: str) -> bool:
        """Whether a request may name this host: any other name leads here only by somebody else's DNS."""
        return host_name(host_header) in self.hosts


def serving(settings: DashboardSettings) -> Serving:
    """How the service is reached by these settings.

    Errors: ConfigurationError when it would let people in without authentication, or passwords travel in clear text.
    """
    host = settings.host.strip().strip("[]")
    local = is_loopback(host)
    origin = _origin(settings.proxy_origin)
    _check_certificate(settings)
    if not local and not settings.authentication:
        raise ConfigurationError(
            f"the dashboard would be open to everybody who reaches {host}",
            where="dashboard.authentication",
            remedy="set it to true, or listen on 127.0.0.1",
        )
    if origin and not settings.authentication:
        raise ConfigurationError(
            "the dashboard would be open to everybody who reaches the proxy",
            where="dashboard.authentication",
            remedy="set it to true, or take dashboard.proxy_origin away",
        )
    if not local and not settings.certificate and not origin:
        raise ConfigurationError(
            f"the dashboard listens on {host} only with TLS, or behind a declared proxy",
            where="dashboard.host",
            remedy="set dashboard.certificate and dashboard.certificate_key, or dashboard.proxy_origin and "
            "dashboard.trusted_proxies; or listen on 127.0.0.1",
        )
    names = {host_name(name) for name in settings.public_names}
    if host in _WILDCARDS and not names and not origin:
        raise ConfigurationError(
            "nothing says by which name browsers reach the dashboard",
            where="dashboard.public_names",
            remedy="name its hosts, such as ['recon.example.org']",
        )
    hosts = LOOPBACK_NAMES | names | ({host.lower()} - _WILDCARDS) | ({host_name(urlsplit(origin).netloc)} - {""})
    return Serving(
        host, settings.certificate, settings.certificate_key, hosts, origin, tuple(settings.trusted_proxies)
    )  # fmt: skip


def host_name(header: str) -> str:
    """The name in a Host header, without the port and the brackets of IPv6."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def is_loopback(address: str) -> bool:
    """Whether an address, or the name localhost, is this machine alone."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _origin(text: str) -> str:
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme != "https" or not parts.hostname or parts.path.strip("/") or parts.query or parts.username:
        raise ConfigurationError(
            f"{text[:100]!r} is no https origin",
            where="dashboard.proxy_origin",
            remedy="write it as browsers show it, such as https://recon.example.org",
        )
    return f"https://{parts.netloc.lower()}"


def _check_certificate(settings: DashboardSettings) -> None:
    if bool(settings.certificate) != bool(settings.certificate_key):
        raise ConfigurationError(
            "a certificate needs its key, and a key its certificate",
            where="dashboard.certificate",
            remedy="set dashboard.certificate and dashboard.certificate_key, or neither",
        )
    for name in ("certificate", "certificate_key"):
        path = getattr(settings, name)
        if path and not Path(path).is_file():
            raise ConfigurationError(
                "the file is not there", where=f"dashboard.{name} = {path}", remedy="check the path"
            )
