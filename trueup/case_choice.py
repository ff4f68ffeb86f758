"""Which discrepancies a person means, as text: the words of the command line, of a page's address, and of the JSON API. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from decimal import Decimal
from typing import Final, NamedTuple

from clickhouse.case_reader import UNSETTLED, CaseFilter
from reconcile.cases.policy import SEVERITIES
from reconcile.finding import DISCREPANCY_CLASSES
from trueup.model.errors import ConfigurationError
from trueup.model.money import EXPONENTS

STANDINGS: Final = (
    "open", "regressed", "acknowledged", "assigned", "snoozed", "waive-requested", "waived", "resolved", "auto-resolved",
)  # fmt: skip
ALL: Final = "all"
"""The word for every standing."""

MINUTES: Final = {"m": 1, "h": 60, "d": 1_440, "w": 10_080}
VALUES_MAX: Final = 100
"""Values of one name, such as sellers."""

CHARS_MAX: Final = 200

_SPAN: Final = re.compile(r"([0-9]{1,6})([mhdw])")
_AMOUNT: Final = re.compile(r"[0-9]{1,34}(\.[0-9]{1,4})?")
_MONTH: Final = re.compile(r"([1-9][0-9]{3})-(0[1-9]|1[0-2])")

_MANY: Final = {
    "rule": "rules",
    "class": "classes",
    "standing": "standings",
    "seller": "sellers",
    "currency": "currencies",
    "severity": "severities",
}
_ONE: Final = {
    "assignee": "assignee",
    "order": "order_id",
    "statement": "statement_id",
    "min_amount": "min_amount",
    "older_than": "older_than",
    "period": "period",
}
NAMES: Final = (*_MANY, *_ONE)
"""Names of the values that make a choice."""


class Choice(NamedTuple):
    """A filter as a person gave it; what is left empty does not restrict, but that no standing means what is not settled.

    `older_than` stays a span such as `2d`, so that a choice means the same tomorrow; `min_amount` is in major units of each
    case's own currency.
    """

    rules: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    standings: tuple[str, ...] = ()
    sellers: tuple[str, ...] = ()
    currencies: tuple[str, ...] = ()
    severities: tuple[str, ...] = ()
    assignee: str = ""
    order_id: str = ""
    statement_id: str = ""
    min_amount: Decimal | None = None
    older_than: str = ""
    period: date | None = None

    def filter(self, now_us: int, default: Iterable[str] = UNSETTLED) -> CaseFilter:
        """The filter at `now_us` (µs since the epoch); `default` are the standings where none is named."""
        held = self._asdict()
        held["amount_from"] = held.pop("min_amount")
        span = held.pop("older_than")
        held["raised_until_us"] = now_us - read_span_us(span, "older_than") if span else None
        standings = STANDINGS if ALL in self.standings else self.standings or tuple(default)
        return CaseFilter(**{**held, "standings": standings})

    def pairs(self) -> list[tuple[str, str]]:
        """Names and texts that `read_choice` reads back, in a fixed order."""
        held = self._asdict()
        pairs = [(name, text) for name, field in _MANY.items() for text in held[field]]
        for name, field in _ONE.items():
            value = held[field]
            if isinstance(value, date):
                value = f"{value:%Y-%m}"
            if value is not None and value != "":
                pairs.append((name, f"{value:f}" if isinstance(value, Decimal) else value))
        return pairs


def read_choice(pairs: Iterable[tuple[str, str]], option: Callable[[str], str] = str) -> Choice:
    """The choice that names and texts make; empty texts and names that are none of `NAMES` say nothing.

    Args:
        pairs: in any order; a name may come several times, the last one counts where one value is meant.
        option: how a name is called in an error message.

    Raises:
        ConfigurationError: a text that is not what its name needs, naming it.
    """
    many: dict[str, list[str]] = {name: [] for name in _MANY}
    one: dict[str, str] = {}
    for name, text in pairs:
        text = text.strip()
        if not text:
            continue
        if name in many and text not in many[name]:
            many[name].append(text)
        elif name in _ONE:
            one[name] = text
    for name, texts in many.items():
        if len(texts) > VALUES_MAX:
            raise ConfigurationError(f"more than {VALUES_MAX} values", where=option(name), remedy="name fewer")
    for name, text in (*((name, text) for name, texts in many.items() for text in texts), *one.items()):
        if len(text) > CHARS_MAX or not text.isprintable():
            raise ConfigurationError(f"{text[:40]!r}… is no value", where=option(name), remedy="check what was given")
    if "older_than" in one:
        read_span_us(one["older_than"], option("older_than"))
    return Choice(
        rules=tuple(many["rule"]),
        classes=tuple(read_word(text, DISCREPANCY_CLASSES, option("class")) for text in many["class"]),
        standings=tuple(read_word(text, (*STANDINGS, ALL), option("standing")) for text in many["standing"]),
        sellers=tuple(many["seller"]),
        currencies=tuple(dict.fromkeys(read_currency(text, option("currency")) for text in many["currency"])),
        severities=tuple(read_word(text, SEVERITIES, option("severity")) for text in many["severity"]),
        assignee=one.get("assignee", ""),
        order_id=one.get("order", ""),
        statement_id=one.get("statement", ""),
        min_amount=read_amount(one["min_amount"], option("min_amount")) if "min_amount" in one else None,
        older_than=one.get("older_than", ""),
        period=read_month(one["period"], option("period")) if "period" in one else None,
    )


def read_span_us(text: str, option: str) -> int:
    """A span of time such as `2d` in µs."""
    found = _SPAN.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            f"{text[:40]!r} is no span of time", where=option, remedy="write it as 30m, 12h, 2d or 1w"
        )
    return int(found[1]) * MINUTES[found[2]] * 60_000_000


def read_amount(text: str, option: str) -> Decimal:
    """An amount in major units, not negative."""
    if _AMOUNT.fullmatch(text) is None:
        raise ConfigurationError(
            f"{text[:40]!r} is no amount", where=option, remedy="write it in major units, such as 12.50, without a sign"
        )
    return Decimal(text)


def read_currency(text: str, option: str) -> str:
    """An ISO-4217 code, however it is capitalised."""
    code = text.upper()
    if code not in EXPONENTS:
        raise ConfigurationError(
            f"{text[:40]!r} is not an ISO-4217 currency{meant(code, EXPONENTS)}", where=option, remedy="such as EUR"
        )
    return code


def read_month(text: str, option: str) -> date:
    """The first day of a month."""
    found = _MONTH.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"{text[:40]!r} is no month", where=option, remedy="write it as 2026-11")
    return date(int(found[1]), int(found[2]), 1)


def read_word(text: str, known: Sequence[str], option: str) -> str:
    """One of a few words."""
    if text not in known:
        raise ConfigurationError(
            f"{text[:40]!r} is none of its words{meant(text, known)}", where=option, remedy=f"one of {', '.join(known)}"
        )
    return text


def meant(text: str, known: Iterable[str]) -> str:
    """`; did you mean …?`, or nothing."""
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
