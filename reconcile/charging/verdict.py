"""What the seller of an order is owed by the charging spec, for the rule `wrong-charge`."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from reconcile.charging.charge import charge
from reconcile.charging.model import Charging
from reconcile.formula.errors import FormulaError


class Charged(Protocol):
    """What a charge is computed from, such as an order."""

    @property
    def factors(self) -> str | None:
        """The JSON of the factors."""

    @property
    def currency(self) -> str:
        """ISO-4217 code that the charge is owed in."""


class ExpectedCharge(NamedTuple):
    """The net charge of the seller in the order's currency.

    Args:
        amount_minor: minor units of the order's currency; None where it cannot be computed.
        rule: spec, version and the rules that gave it, such as `carrier 1: van`.
        problem: why it cannot be computed, or empty.
        factors_sha256: SHA-256 of the snapshot of the factors that were used, or empty.
    """

    amount_minor: int | None
    rule: str
    problem: str
    factors_sha256: str


def expected_charge_minor(charging: Charging, order: Charged) -> ExpectedCharge | None:
    """Σ that the counted items of the order must have; None where the spec is not meant for such an order: no verdict.

    It is the net (payable − receivable) of the spec's seller. A charge that cannot be computed, because a factor is missing or
    the seller's fees are in another currency, is told as `problem`: it must not pass as right.
    """
    try:
        found = charge(charging, order.factors, order_currency=order.currency)
    except FormulaError as error:
        return ExpectedCharge(None, f"{charging.name} {charging.version}", str(error), "")
    if found is None:
        return None
    rule = f"{found.spec} {found.version}: {', '.join(found.rules)}"
    owed = {net.currency: net.net_minor for net in found.clearing.nets if net.party == charging.seller}
    strangers = sorted(owed.keys() - {order.currency})
    if strangers:
        problem = f"the spec charges {', '.join(strangers)}, the order is in {order.currency}"
        return ExpectedCharge(None, rule, problem, found.snapshot.sha256)
    return ExpectedCharge(owed.get(order.currency, 0), rule, "", found.snapshot.sha256)
