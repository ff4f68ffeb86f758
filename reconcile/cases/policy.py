"""What an installation decides about cases: who may waive how much, how bad a discrepancy is and when it is due. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from reconcile.cases.commands import Seen, stake_minor
from trueup.model.money import EXPONENTS

SEVERITIES: Final = ("low", "medium", "high", "critical")
DEFAULT: Final = "default"
"""Stands for every currency that has no limit of its own."""

_HOUR_US: Final = 3_600_000_000


class MoneyLimits:
    """Limits in major units by currency, and one for all others.

    Args:
        by_currency: currency, or `default`, → decimal in major units, not negative; has `default`.
    """

    def __init__(self, by_currency: Mapping[str, str]) -> None:
        self._by_currency = {currency: Decimal(text) for currency, text in by_currency.items()}

    def minor(self, currency: str) -> int:
        """The limit in minor units, rounded down; of a currency without minor units, in major ones."""
        limit = self._by_currency.get(currency, self._by_currency[DEFAULT])
        return int(limit.scaleb(EXPONENTS.get(currency, 0)))


class Urgency(NamedTuple):
    """`limits`: severity → from which stake on; `by_class`: class → severity where nothing is at stake in money;
    `due_hours`: severity → hours from the raise to the due time.
    """

    limits: Mapping[str, MoneyLimits]
    by_class: Mapping[str, str]
    due_hours: Mapping[str, float]

    def severity(self, kind: str, seen: Seen) -> str:
        """The highest severity whose limit the stake reaches; by class where no amounts are compared."""
        stake = stake_minor(seen)
        if stake is None:
            return self.by_class[kind]
        reached = [
            name for name in SEVERITIES if name in self.limits and stake >= self.limits[name].minor(seen.currency)
        ]
        return reached[-1] if reached else SEVERITIES[0]

    def due_us(self, severity: str, raised_us: int) -> int:
        """When it should be dealt with, µs since the epoch."""
        return raised_us + round(self.due_hours[severity] * _HOUR_US)


class CasePolicy(NamedTuple):
    """`waive_limit`: the highest stake that one person may waive alone."""

    waive_limit: MoneyLimits
    urgency: Urgency
