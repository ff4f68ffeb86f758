"""Delivery runs among the orders: what the carrier agreement owes for them, computed here on its own, and the faults of charges.

The prices are those of the shipped charging spec `carrier`. Draws are such that every ratio is a finite decimal.
"""

from __future__ import annotations

import random
from decimal import ROUND_HALF_UP, Decimal
from typing import Final, NamedTuple

import orjson

from trueup.upstream.faults import place_round, take_plain_order
from trueup.upstream.plan import Books, Expectation, Fault, PlannedOrder

WRONG_CHARGE: Final = "wrong-charge"
EDITED_FACTORS: Final = "silent-repair-of-factors"
RUN_FAULT_KINDS: Final = (WRONG_CHARGE, EDITED_FACTORS)
CURRENCY: Final = "CNY"
RUN_SHARE: Final = 0.2
"""So many of the plain orders in the agreement's currency are delivery runs."""

_SUBSIDIES: Final = {0: 0, 22: 500, 27: 700, 31: 1_000}
"""Days of attendance → subsidy, one for each tier."""

_CENT: Final = Decimal("0.01")


class Tariff(NamedTuple):
    """Prices for one kind of vehicle, in yuan; what the start price covers comes first."""

    start_price: Decimal
    start_stops: Decimal
    start_km: Decimal
    start_weight_t: Decimal
    per_stop: Decimal
    per_km: Decimal
    per_t: Decimal
    per_reverse_stop: Decimal


TARIFFS: Final = {
    "van": Tariff(*map(Decimal, ("120", "15", "40", "0.3", "3.50", "1.20", "85", "2.25"))),
    "truck": Tariff(*map(Decimal, ("260", "20", "60", "1.5", "5", "2.10", "60", "4"))),
}


class Run(NamedTuple):
    """One delivery run."""

    vehicle: str
    stops: int
    km: Decimal
    weight_t: Decimal
    reverse_stops: int
    is_repeat: bool
    attendance_days: int
    damage: Decimal

    def factors(self) -> str:
        """The JSON text of the order's factors; numbers with digits behind the point are texts."""
        values = {name: str(value) if isinstance(value, Decimal) else value for name, value in self._asdict().items()}
        return orjson.dumps({"service": "delivery", **values}).decode()


def plan_runs(books: Books, rng: random.Random) -> None:
    """Make some plain orders delivery runs. Call it before faults are planted: they take other orders."""
    for statements in books.rounds:
        for statement in statements:
            for order in statement.orders if statement.shop.currency == CURRENCY else ():
                if order.is_plain and rng.random() < RUN_SHARE:
                    make_run(order, draw_run(rng), 0)


def plant_wrong_charges(books: Books, copies: int, rng: random.Random) -> None:
    """Plant orders that are billed as their amounts say, but not as the agreement does. Call it before payouts are planned.

    Raises:
        ConfigurationError: the run is too small for so many.
    """
    for copy in range(copies):
        _, order = take_plain_order(books, place_round(books, 0, copy, copies), rng, CURRENCY)
        delta_minor = rng.choice((1, -1, 5, 100, -100))
        make_run(order, draw_run(rng), delta_minor)
        expected = Expectation("wrong-charge", "order", order.order_id, delta_minor, CURRENCY)
        note = "charged and billed alike, but not as agreed"
        order.fault = Fault(f"run{books.run_no}-{WRONG_CHARGE}-{copy + 1}", WRONG_CHARGE, note, (expected,))


def plant_edited_factors(books: Books, copies: int, rng: random.Random) -> None:
    """Plant runs whose factors are changed when all is paid, so that more is owed than was billed. Call it as the above.

    Raises:
        ConfigurationError: the run is too small for so many.
    """
    for copy in range(copies):
        _, order = take_plain_order(books, place_round(books, 1, copy, copies), rng, CURRENCY)
        run = draw_run(rng)
        make_run(order, run, 0)
        repaired = run._replace(reverse_stops=run.reverse_stops + rng.randint(1, 4))
        order.repaired_factors = repaired.factors()
        delta_minor = charge_minor(run) - charge_minor(repaired)
        expected = Expectation("silent-repair", "order", order.order_id, delta_minor, CURRENCY)
        note = "reverse stops added by hand after the run was billed"
        order.fault = Fault(f"run{books.run_no}-{EDITED_FACTORS}-{copy + 1}", EDITED_FACTORS, note, (expected,))


def draw_run(rng: random.Random) -> Run:
    """Any run; half of them on the first run of a day without attendance or damage."""
    return Run(
        rng.choice(("van", "truck")),
        3 * rng.randint(2, 25),
        Decimal(rng.randint(20, 240)) / 2,
        Decimal("0.12") * rng.randint(1, 25),
        rng.choice((0, 0, 1, 4)),
        rng.random() < 0.3,
        rng.choice((0, 0, 0, *_SUBSIDIES)),
        rng.choice((Decimal(0), Decimal(0), Decimal("15.50"))),
    )


def make_run(order: PlannedOrder, run: Run, delta_minor: int) -> None:
    """Make the order a delivery run, charged and billed `delta_minor` more than agreed."""
    net_minor = charge_minor(run) + delta_minor
    order.factors = run.factors()
    order.tax_minor, order.fee_minor = net_minor * 6 // 100, net_minor * 25 // 1_000
    order.gross_minor = net_minor + order.tax_minor + order.fee_minor
    (sale,) = order.items
    order.items = (sale._replace(amount_minor=net_minor),)
    order.is_run = True


def charge_minor(run: Run) -> int:
    """What is owed for a run, in minor units: freight, attendance subsidy, less the damage."""
    tariff = TARIFFS[run.vehicle]
    base = (
        tariff.start_price
        + max(run.stops - tariff.start_stops, Decimal(0)) * tariff.per_stop
        + max(run.km - tariff.start_km, Decimal(0)) * tariff.per_km
        + max(run.weight_t - tariff.start_weight_t, Decimal(0)) * tariff.per_t
        + run.reverse_stops * tariff.per_reverse_stop
    )
    ratio = max(Decimal(run.stops) / 30, run.weight_t / Decimal("0.48"), Decimal(1))
    freight = (base * ratio * (Decimal("0.8") if run.is_repeat else 1)).quantize(_CENT, ROUND_HALF_UP)
    return int((freight + _SUBSIDIES[run.attendance_days] - run.damage) / _CENT)
