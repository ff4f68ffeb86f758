"""Evaluations per second of the carrier's formula on one core: all sub-expressions, all fees, exact decimals."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import orjson

from reconcile.charging.charge import charge, match_rules
from reconcile.charging.load import load_charging

RUNS: Final = 7
EVALUATIONS: Final = 50_000
CHARGES: Final = 10_000
ORDERS: Final = 200


def run(runs: int = RUNS) -> dict[str, Any]:
    """Medians of several runs, and every run of the first figure.

    `formula_evals_per_s` takes values that are decimals already; `formula_charges_per_s` is the whole way from the JSON of the
    factors to the netted fees and their snapshot.
    """
    charging = load_charging("carrier")
    factors = [_factors(number) for number in range(ORDERS)]
    matches = [match_rules(charging, text) for text in factors]
    (rule,) = {match.rules[0].name: match.rules[0] for match in matches}.values()
    values = [match.values for match in matches]
    evaluations = [_per_second(rule.formula.evaluate, values, EVALUATIONS) for _ in range(runs)]
    charges = [
        _per_second(lambda text: charge(charging, text, order_currency="CNY"), factors, CHARGES) for _ in range(runs)
    ]
    return {
        "formula_evals_per_s": round(statistics.median(evaluations)),
        "formula_evals_per_s_runs": [round(figure) for figure in evaluations],
        "formula_parts": len(rule.formula.program.formulas),
        "formula_charges_per_s": round(statistics.median(charges)),
    }


def _factors(number: int) -> str:
    """Factors of a van's run, each order with its own."""
    return orjson.dumps(
        {
            "service": "delivery",
            "vehicle": "van",
            "stops": 5 + number % 40,
            "km": f"{20 + number * 7 % 90}.{number % 10}",
            "weight_t": f"0.{10 + number % 80}",
            "reverse_stops": number % 4,
            "is_repeat": number % 3 == 0,
            "attendance_days": number % 32,
            "damage": f"{number % 5}.{number % 100:02}",
        }
    ).decode()


def _per_second(work: Callable[[Any], object], given: Sequence[Any], times: int) -> float:
    rounds = times // len(given)
    began_at = time.perf_counter()
    for _ in range(rounds):
        for each in given:
            work(each)
    return rounds * len(given) / (time.perf_counter() - began_at)
