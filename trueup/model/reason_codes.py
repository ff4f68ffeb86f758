"""The reasons for which a message is put in quarantine: a fixed list, so that metrics can be counted by it."""

from __future__ import annotations

from typing import Final

REASON_CODES: Final = (
    "amount-overflow",
    "float-amount",
    "incomplete-row",
    "malformed-amount",
    "malformed-command",
    "malformed-heartbeat",
    "malformed-json",
    "malformed-leg",
    "malformed-partial",
    "malformed-replay",
    "malformed-row",
    "malformed-share",
    "malformed-statement",
    "malformed-verdict",
    "mapping-conflict",
    "missing-column",
    "missing-field",
    "missing-key",
    "no-before-image",
    "not-a-number",
    "not-booked",
    "not-finite",
    "out-of-range",
    "statement-format",
    "too-fine",
    "too-large",
    "unknown-currency",
    "unknown-operation",
    "wrong-key",
    "wrong-type",
    "zero-date",
)
"""Every code that an `InvalidRecord` is raised with, in the order of the alphabet."""

OTHER_CODE: Final = "other"
"""Counts whatever the list does not know, so that a label never takes a value from outside."""

_KNOWN: Final = frozenset(REASON_CODES)


def counted_code(code: str) -> str:
    """The code to count under."""
    return code if code in _KNOWN else OTHER_CODE
