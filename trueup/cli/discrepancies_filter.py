"""The options that say which discrepancies are meant."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import typer

from clickhouse.case_reader import UNSETTLED, CaseFilter, CaseReader
from reconcile.cases.policy import SEVERITIES
from reconcile.finding import DISCREPANCY_CLASSES
from reconcile.settlement import rule_classes
from reconcile.spec.load import load_spec
from trueup.case_choice import meant, read_choice
from trueup.model.errors import ConfigurationError
from trueup.settings import Settings

_STANDING_HELP: Final = (
    "Only where it stands so, or all. Default: what is not settled; for a decision, where it is possible. Repeatable."
)


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
    given = {
        "rule": rule,
        "class": kind,
        "standing": standing,
        "seller": seller,
        "currency": currency,
        "severity": severity,
        "assignee": [assignee],
        "order": [order],
        "statement": [statement],
        "min_amount": [min_amount],
        "older_than": [older_than],
        "period": [period],
    }
    pairs = [(name, text) for name, texts in given.items() for text in texts or ()]
    choice = read_choice(pairs, lambda name: f"--{name.replace('_', '-')}")
    return choice.filter(int(datetime.now(UTC).timestamp()) * 1_000_000, default=())


def checked_filter(
    reader: CaseReader, settings: Settings, chosen: CaseFilter, standings: Iterable[str] = UNSETTLED
) -> CaseFilter:
    """The filter with `standings` as the default. Errors: ConfigurationError for a rule that nobody knows."""
    if chosen.rules:
        _check_rules(reader, settings, chosen.rules)
    return chosen if chosen.standings else chosen._replace(standings=tuple(standings))


def _check_rules(reader: CaseReader, settings: Settings, rules: Iterable[str]) -> None:
    """A rule is known when it is in the code, in a spec of the settings, or has found something once."""
    declared = {*rule_classes(), *(rule for spec in settings.specs for rule in load_spec(spec).classes)}
    if declared.issuperset(rules):
        return
    known = sorted(declared.union(reader.rules()))
    for rule in rules:
        if rule not in known:
            raise ConfigurationError(
                f"rule {rule!r} is not known{meant(rule, known)}", where="--rule", remedy=f"one of {', '.join(known)}"
            )
