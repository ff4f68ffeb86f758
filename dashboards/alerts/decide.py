"""What follows from a verdict or from time going by: which channel is told what. Pure; the state comes in as values.

A message is known by its idempotency key: discrepancy, occurrence, kind and channel. Whatever is decided twice has the same
key, so a replay of the topics adds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from dashboards.alerts.declared import DeclaredAlerts, DeclaredRoute
from dashboards.alerts.notice import Notice
from dashboards.alerts.routing import destinations, ready_us
from dashboards.alerts.vocabulary import RAISED, REMINDER, RESOLVED


class Held(NamedTuple):
    """What was known of a discrepancy: the order of its newest verdict (occurrence, then version) and whether it is open."""

    order: tuple[int, int, int]
    is_open: bool


class Told(NamedTuple):
    """A channel that was given an occurrence.

    `arrived` says whether its first message was sent, or may have been. `remind_us` is when it is reminded next, None for
    never; `reminders` counts those so far.
    """

    occurrence: int
    channel: str
    route: str
    reminders: int
    remind_us: int | None
    is_over: bool
    arrived: bool


class Entry(NamedTuple):
    """A message for the outbox about an occurrence; a resolution tells of the one that was told, which may be an earlier one."""

    key: str
    occurrence: int
    channel: str
    route: str
    kind: str
    language: str
    notice: Notice
    reminder: int
    ready_us: int


class Decision(NamedTuple):
    """What changes: rows of told channels as they are to be (by occurrence and channel), messages to add, and channels with
    their occurrence whose unsent messages nobody needs any more.
    """

    told: list[Told]
    entries: list[Entry]
    superseded: list[tuple[int, str]]


def key_of(discrepancy_id: str, occurrence: int, kind: str, channel: str) -> str:
    """The idempotency key of a message about one discrepancy."""
    return f"{discrepancy_id}:{occurrence}:{kind}:{channel}"


def on_verdict(alerts: DeclaredAlerts, notice: Notice, *, is_open: bool, held: Sequence[Told], now_us: int) -> Decision:
    """What a newer verdict brings about.

    Args:
        alerts: the file of alerts.
        notice: the verdict.
        is_open: whether the books disagree.
        held: every channel that was given this discrepancy.
        now_us: the time, µs since the epoch.
    """
    standing = [one for one in held if not one.is_over]
    if not is_open:
        return _resolved(alerts, notice, standing, now_us)
    earlier = [one for one in standing if one.occurrence < notice.occurrence]
    present = {one.channel for one in held if one.occurrence == notice.occurrence}
    told, entries = [_over(one) for one in earlier], []
    for channel, route_name, opens_us in destinations(alerts, notice, now_us):
        if channel in present:
            continue
        route = _route(alerts, route_name)
        remind_us = opens_us + route.remind[0] if route is not None and route.remind else None
        told.append(Told(notice.occurrence, channel, route_name, 0, remind_us, is_over=False, arrived=False))
        key = key_of(notice.discrepancy_id, notice.occurrence, RAISED, channel)
        entries.append(
            Entry(key, notice.occurrence, channel, route_name, RAISED, _language(route), notice, 0, opens_us)
        )
    return Decision(told, entries, [(one.occurrence, one.channel) for one in earlier])


def on_reminder(alerts: DeclaredAlerts, notice: Notice, told: Told, *, is_quiet: bool, now_us: int) -> Decision:
    """What follows when a reminder is due; quiet means that somebody deals with the case, so it is only put off.

    The distances grow as the route says; the last one repeats.
    """
    route = _route(alerts, told.route)
    if route is None or not route.remind:
        return Decision([told._replace(remind_us=None)], [], [])
    if is_quiet:
        distance_us = route.remind[min(told.reminders, len(route.remind) - 1)]
        return Decision([told._replace(remind_us=now_us + distance_us)], [], [])
    number = told.reminders + 1
    opens_us = ready_us(alerts, told.route, told.channel, now_us)
    following_us = opens_us + route.remind[min(number, len(route.remind) - 1)]
    key = key_of(notice.discrepancy_id, told.occurrence, f"{REMINDER}-{number}", told.channel)
    entry = Entry(key, told.occurrence, told.channel, told.route, REMINDER, route.language, notice, number, opens_us)
    return Decision([told._replace(reminders=number, remind_us=following_us)], [entry], [])


def _resolved(alerts: DeclaredAlerts, notice: Notice, standing: Sequence[Told], now_us: int) -> Decision:
    entries = []
    for one in standing:
        route = _route(alerts, one.route)
        if one.arrived and (route is None or route.tell_resolved):
            key = key_of(notice.discrepancy_id, one.occurrence, RESOLVED, one.channel)
            opens_us = ready_us(alerts, one.route, one.channel, now_us)
            entries.append(
                Entry(key, one.occurrence, one.channel, one.route, RESOLVED, _language(route), notice, 0, opens_us)
            )
    return Decision([_over(one) for one in standing], entries, [(one.occurrence, one.channel) for one in standing])


def _over(told: Told) -> Told:
    return told._replace(is_over=True, remind_us=None)


def _route(alerts: DeclaredAlerts, name: str) -> DeclaredRoute | None:
    return next((route for route in alerts.routes if route.name == name), None)


def _language(route: DeclaredRoute | None) -> str:
    return "en" if route is None else route.language
