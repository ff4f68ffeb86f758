"""Where a discrepancy is told: the routes that it takes, and when each of their channels may speak. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from dashboards.alerts.declared import DeclaredAlerts, DeclaredRoute
from dashboards.alerts.hours import next_working_us
from dashboards.alerts.notice import Notice
from reconcile.cases.policy import DEFAULT, SEVERITIES
from trueup.model.money import to_decimal


class Destination(NamedTuple):
    """A channel that tells, for which route, and from when on it may (µs since the epoch)."""

    channel: str
    route: str
    ready_us: int


def takes(route: DeclaredRoute, notice: Notice) -> bool:
    """Whether a route is for the discrepancy: every restriction that it makes must hold."""
    return (
        (route.rules is None or notice.rule in route.rules)
        and (route.classes is None or notice.kind in route.classes)
        and (route.sellers is None or notice.shop_id in route.sellers)
        and (route.currencies is None or notice.currency in route.currencies)
        and (route.directions is None or notice.direction in route.directions)
        and SEVERITIES.index(notice.severity) >= SEVERITIES.index(route.severity_from)
        and (route.amount_from is None or _reaches(route.amount_from, notice))
    )


def destinations(alerts: DeclaredAlerts, notice: Notice, now_us: int) -> list[Destination]:
    """The channels that are to tell of a discrepancy, each once: the first route that names a channel speaks for it."""
    routes = [route for route in alerts.routes if takes(route, notice)]
    found: dict[str, Destination] = {}
    for route in routes[:1] if alerts.match == "first" else routes:
        for destination in _of_route(alerts, route, notice, now_us):
            found.setdefault(destination.channel, destination)
    return list(found.values())


def ready_us(alerts: DeclaredAlerts, route_name: str, channel: str, now_us: int) -> int:
    """From when on a channel may go on telling for a route; a route that is no longer there holds nothing back."""
    route = next((route for route in alerts.routes if route.name == route_name), None)
    if route is None or route.hours is None or channel not in route.channels:
        return now_us
    return next_working_us(alerts.hours[route.hours], now_us)


def _of_route(alerts: DeclaredAlerts, route: DeclaredRoute, notice: Notice, now_us: int) -> list[Destination]:
    opens_us = now_us if route.hours is None else next_working_us(alerts.hours[route.hours], now_us)
    if opens_us > now_us and notice.severity == SEVERITIES[-1] and route.outside_critical is not None:
        return [Destination(route.outside_critical, route.name, now_us)]
    return [Destination(channel, route.name, opens_us) for channel in route.channels]


def _reaches(limits: dict[str, Decimal], notice: Notice) -> bool:
    limit = limits.get(notice.currency, limits.get(DEFAULT))
    if limit is None or notice.stake_minor is None or not notice.currency:
        return False
    return to_decimal(notice.stake_minor, notice.currency) >= limit
