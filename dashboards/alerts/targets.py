"""Whom alerts may reach: hosts that are listed, at addresses that everybody may reach or that are listed too. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from dashboards.alerts.declared import DeclaredTargets
from trueup.model.errors import ConfigurationError

_PORTS: Final = {"https": 443, "http": 80}
_GLOBAL_UNICAST: Final = ip_network("2000::/3")
"""The only IPv6 addresses that lead to others; IPv4-mapped ones and NAT64 lie outside."""

_TRANSLATED: Final = (ip_network("2002::/16"), ip_network("2001::/32"))
"""Those among them that stand for IPv4 addresses: 6to4, Teredo."""


class TargetRefused(ConfigurationError):
    """Alerts may not be sent there."""


class Target(NamedTuple):
    """Where a request goes: the parts of its address. `path` has the query with it and is a secret."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """How the request names the host: the port only where it is not the usual one."""
        return bracketed(self.host) + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")


def bracketed(host: str) -> str:
    """A host as it stands in an address: IPv6 in brackets."""
    return f"[{host}]" if ":" in host else host


def target_of(url: str, targets: DeclaredTargets) -> Target:
    """The target in an address. Errors: TargetRefused, without the address itself, which is a secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise TargetRefused(
            "the address of the channel cannot be read", remedy="give a whole https:// address"
        ) from None
    host = (parts.hostname or "").lower()
    if parts.scheme not in _PORTS or not host or not url.isascii() or any(char.isspace() for char in url):
        raise TargetRefused("the address of the channel is no https:// address", remedy="give a whole https:// address")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise TargetRefused(f"the address of {host} names a user or a fragment", remedy="give the address without them")
    port = _PORTS[parts.scheme] if port is None else port
    check_host(host, port, targets, is_usual=port == _PORTS[parts.scheme])
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def check_host(host: str, port: int, targets: DeclaredTargets, *, is_usual: bool) -> None:
    """Refuse a host and port that are not listed; the usual port of a scheme need not be named. Errors: TargetRefused."""
    shown = bracketed(host)
    listed = {f"{shown}:{port}", *([shown] if is_usual else [])}
    if not listed & set(targets.hosts):
        raise TargetRefused(
            f"{shown}:{port} is not among the hosts that alerts may reach",
            where="[targets] hosts",
            remedy=f'add "{shown if is_usual else f"{shown}:{port}"}" if that is meant',
        )


def checked_address(host: str, addresses: Sequence[str], targets: DeclaredTargets, *, is_encrypted: bool) -> str:
    """The one of a host's addresses to connect to, after all of them were looked at.

    One address that may not be reached refuses the host: a name that also leads inside is no name to trust. Without encryption
    only addresses in `allow_private` may be reached.

    Errors: TargetRefused.
    """
    if not addresses:
        raise TargetRefused(f"{host} has no address", remedy="check the name")
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        is_allowed = any(address in network for network in targets.allow_private)
        if not is_allowed and not _is_public(address):
            raise TargetRefused(
                f"{host} leads to {address}, which is not a public address",
                where="[targets] allow_private",
                remedy="list the address there if it is a service of your own",
            )
        if not is_encrypted and not is_allowed:
            raise TargetRefused(
                f"{host} would be reached without encryption",
                remedy="use https://; only addresses in `allow_private` may be reached without it",
            )
    return addresses[0]


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address not in _GLOBAL_UNICAST or any(address in network for network in _TRANSLATED)
    ):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_link_local
    )
