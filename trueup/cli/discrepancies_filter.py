"""The options that say which discrepancies are meant, and how the texts in them are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final

import typer

from clickhouse.case_reader import UNSETTLED, CaseFilter, CaseReader
from reconcile.cases.policy import SEVERITIES
from reconcile.finding import DISCREPANCY_CLASSES
from reconcile.settlement import rule_classes
from reconcile.spec.load import load_spec
from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS
from trueup.settings import Settings

STANDINGS: Final = (
    "open", "regressed", "acknowledged", "assigned", "snoozed", "waive-requested", "waived", "resolved", "auto-resolved",
)  # fmt: skip
ALL: Final = "all"

MINUTES: Final = {"m": 1, "h": 60, "d": 1_440, "w": 10_080}

_STANDING_HELP: Final = (
    "Only where it stands so, or all. Default: what is not settled; for a decision, where it is possible. Repeatable."
)
_SPAN: Final = re.compile(r"(\d{1,6})([mhdw])")
_AMOUNT: Final = re.compile(r"\d{1,34}(\.\d{1,4})?")
_MONTH: Final = re.compile(r"([1-9]\d{3})-(0[1-9]|1[0-2])")


def _filter_option(name: str, meaning: str) -> Any:
    return typer.Option(name, help=meaning, rich_help_panel="Filter")


def case_filter(  # noqa: PLR0913 - one parameter per option
    rule: Annotated[list[str] | None, _filter_option("--rule", "Only of this rule. Repeatable.")] = None,
    kind: Annotated[
        list[str] | None,
        _filter_option("--class", f"Only of this class: {', '.join(DISCREPANCY_CLASSES)}. Repeatable."),
    ] = None,
    standing: Annotated[list[str] | None, _filter_option("--standing", _STANDING_HELP)] = None,
    seller: Annotated[
        list[str] | None, _filter_option("--seller", "Only of this seller (shop id). Repeatable.")
    ] = None,
    currency: Annotated[list[str] | None, _filter_option("--currency", "Only in this currency. Repeatable.")] = None,
    severity: Annotated[
        list[str] | None, _filter_option("--severity", f"Only so severe: {', '.join(SEVERITIES)}. Repeatable.")
    ] = None,
    assignee: Annotated[str, _filter_option("--assignee", "Only of this assignee.")] = "",
    order: Annotated[str, _filter_option("--order", "Only of this order.")] = "",
    statement: Annotated[str, _filter_option("--statement", "Only of this statement.")] = "",
    min_amount: Annotated[
        str, _filter_option("--min-amount", "Only where so much is in question, such as 12.50, in its own currency.")
    ] = "",
    older_than: Annotated[str, _filter_option("--older-than", "Only raised so long ago: 30m, 12h, 2d, 1w.")] = "",
    period: Annotated[str, _filter_option("--period", "Only raised in this month (UTC), such as 2026-11.")] = "",
) -> CaseFilter:
    """The filter that these options make; rules are not known to exist yet, standings are left empty for the default."""
    now_us = int(datetime.now(UTC).timestamp()) * 1_000_000
    return CaseFilter(
        rules=tuple(rule or ()),
        classes=tuple(read_word(text, DISCREPANCY_CLASSES, "--class") for text in kind or ()),
        standings=_standings(standing or []),
        sellers=tuple(seller or ()),
        currencies=tuple(read_currency(text) for text in currency or ()),
        severities=tuple(read_word(text, SEVERITIES, "--severity") for text in severity or ()),
        assignee=assignee,
        order_id=order,
        statement_id=statement,
        amount_from=read_amount(min_amount, "--min-amount") if min_amount else None,
        raised_until_us=now_us - read_span_us(older_than, "--older-than") if older_than else None,
        period=read_month(period) if period else None,
    )


def checked_filter(
    reader: CaseReader, settings: Settings, chosen: CaseFilter, standings: Iterable[str] = UNSETTLED
) -> CaseFilter:
    """The filter with `standings` as the default. Errors: ConfigurationError for a rule that nobody knows."""
    if chosen.rules:
        _check_rules(reader, settings, chosen.rules)
    return chosen if chosen.standings else chosen._replace(standings=tuple(standings))


def read_span_us(text: str, option: str) -> int:
    """A span of time such as `2d` in µs."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{text!r} is no span of time", where=option, remedy="write it as 30m, 12h, 2d or 1w")
    return int(found[1]) * MINUTES[found[2]] * 60_000_000


def read_amount(text: str, option: str) -> Decimal:
    """An amount in major units, not negative."""
    if _AMOUNT.fullmatch(text) is None:
        raise ConfigurationError(
            f"{text[:40]!r} is no amount", where=option, remedy="write it in major units, such as 12.50, without a sign"
        )
    return Decimal(text)


def read_currency(text: str) -> str:
    """An ISO-4217 code, however it is capitalised."""
    code = text.upper()
    if code not in EXPONENTS:
        raise ConfigurationError(
            f"{text!r} is not an ISO-4217 currency{_meant(code, EXPONENTS)}", where="--currency", remedy="such as EUR"
        )
    return code


def read_month(text: str) -> date:
    """The first day of a month."""
    found = _MONTH.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{text!r} is no month", where="--period", remedy="write it as 2026-11")
    return date(int(found[1]), int(found[2]), 1)


def read_word(text: str, known: Sequence[str], option: str) -> str:
    """One of a few words."""
    if text not in known:
        raise ConfigurationError(
            f"{text[:40]!r} is none of its words{_meant(text, known)}",
            where=option,
            remedy=f"one of {', '.join(known)}",
        )
    return text


def _standings(given: Iterable[str]) -> tuple[str, ...]:
    chosen = tuple(read_word(text, (*STANDINGS, ALL), "--standing") for text in given)
    return STANDINGS if ALL in chosen else chosen


def _check_rules(reader: CaseReader, settings: Settings, rules: Iterable[str]) -> None:
    """A rule is known when it is in the code, in a spec of the settings, or has found something once."""
    declared = {*rule_classes(), *(rule for spec in settings.specs for rule in load_spec(spec).classes)}
    if declared.issuperset(rules):
        return
    known = sorted(declared.union(reader.rules()))
    for rule in rules:
        if rule not in known:
            raise ConfigurationError(
                f"rule {rule!r} is not known{_meant(rule, known)}", where="--rule", remedy=f"one of {', '.join(known)}"
            )


def _meant(text: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
