"""Faults as data: a check collects them, where other code stops at the first with an error."""

from __future__ import annotations

from typing import NamedTuple

from trueup.model.errors import TrueupError


class Fault(NamedTuple):
    """One fault in words: what is wrong, where (file and line, or service and object), and what to do about it."""

    what: str
    where: str
    remedy: str


class Checked(NamedTuple):
    """What a check of one part found: facts in words, and faults."""

    facts: list[str]
    faults: list[Fault]


def fault_of(error: TrueupError) -> Fault:
    """What an error says."""
    return Fault(error.what, error.where, error.remedy)
