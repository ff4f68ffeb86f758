"""What a person saw of a discrepancy, as one short text that goes with a decision and comes back with it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS

_SEEN: Final = re.compile(
    r"([0-9a-f]{32})~([0-9]{1,9})~([0-9]{1,9})~([A-Z]{3})?~(-?[0-9]{1,38}(?:\.[0-9]{1,4})?)?~(-?[0-9]{1,38}(?:\.[0-9]{1,4})?)?"
)


def seen_text(case: Mapping[str, Any]) -> str:
    """What is seen of a row of `v_cases`: a decision is about exactly this."""
    expected, actual = ("" if case[name] is None else f"{case[name]:f}" for name in ("expected", "actual"))
    return "~".join(
        (case["discrepancy_id"], str(case["revision"]), str(case["occurrences"]), case["currency"], expected, actual)
    )


def read_seen(text: str) -> dict[str, Any]:
    """The columns of a row that `seen_text` wrote. Errors: ConfigurationError."""
    found = _SEEN.fullmatch(text)
    if found is None or (found[4] or "") not in {"", *EXPONENTS}:
        raise ConfigurationError(
            f"{text[:80]!r} is no row of the list", where="case", remedy="open the list again and choose anew"
        )
    expected, actual = (Decimal(amount) if amount else None for amount in (found[5], found[6]))
    return {
        "discrepancy_id": found[1],
        "revision": int(found[2]),
        "occurrences": int(found[3]),
        "currency": found[4] or "",
        "expected": expected,
        "actual": actual,
    }
