"""Entries of MT940 account statements, one statement after the other; each must lead from its opening to its closing balance.

Source: SWIFT MT940 customer statement message, as the library `mt940` reads its tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from mt940.models import Transactions

from cdc.files.declared import FileMapping, RawRow
from cdc.files.refusals import Problems
from cdc.files.text_lines import TextLines
from trueup.model.errors import InvalidRecord
from trueup.model.money import minor_units, to_text

FIELDS: Final = (
    "account", "statement", "entry", "reference", "value_date", "amount", "currency", "type", "customer_reference",
    "bank_reference", "extra_details", "details",
)  # fmt: skip
STATEMENT_LINES_MAX: Final = 200_000
_OPENING: Final = ("final_opening_balance", "intermediate_opening_balance")
_CLOSING: Final = ("final_closing_balance", "intermediate_closing_balance")
_DEBITS: Final = frozenset({"D", "RC"})
_BEFORE: Final = re.compile(r"^\{.*?\{4:\s*$|^\{.*\}\s*$")


def read_mt940(lines: TextLines, mapping: FileMapping, problems: Problems) -> Iterator[RawRow]:
    """The entries of all statements of a file; a statement that cannot be read is a problem at its first line."""
    indexes = [FIELDS.index(place) if place in FIELDS else -1 for place in mapping.places()]
    count = 0
    for first_line, statement in _statements(lines, problems):
        count += 1
        try:
            for line, fields in _entries(first_line, statement, problems):
                yield RawRow(line, [fields[index] for index in indexes])
        except InvalidRecord as error:
            problems.add(first_line, error.what)
    if not count:
        problems.add(0, "there is no statement in the file: no line begins with :20:")


def _statements(lines: TextLines, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(line of its first line, lines) of each statement."""
    held: list[str] = []
    first_line = 0
    for line in lines:
        text = line.rstrip("\r\n ")
        if text.startswith(":20:"):
            if held:
                yield first_line, held
            held, first_line = [text], lines.line
        elif text in {"-", "-}"}:
            if held:
                yield first_line, held
            held = []
        elif held:
            held.append(text)
            if len(held) > STATEMENT_LINES_MAX:
                problems.add(first_line, f"the statement has more than {STATEMENT_LINES_MAX} lines")
                held = []
        elif text and not _BEFORE.match(text):
            problems.add(lines.line, "the line stands outside of any statement")
    if held:
        yield first_line, held


def _entries(first_line: int, statement: list[str], problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """(line, texts at FIELDS and an empty one) of each entry."""
    lines = [first_line + place for place, line in enumerate(statement) if line.startswith(":61:")]
    parsed = Transactions(processors={"post_transaction_details": []})
    try:
        parsed.parse("\n".join(statement))
    except Exception as error:  # noqa: BLE001  # the library lets out whatever its patterns run into
        raise InvalidRecord("malformed-statement", f"the statement cannot be read: {str(error)[:200]}") from None
    held = [entry.data for entry in parsed.transactions if "status" in entry.data]
    if len(held) != len(lines):
        raise InvalidRecord("malformed-statement", f"{len(held)} of {len(lines)} entries of the statement can be read")
    opening, closing = _balance(parsed.data, _OPENING, ":60F:"), _balance(parsed.data, _CLOSING, ":62F:")
    currency = opening.amount.currency
    if closing.amount.currency != currency:
        raise InvalidRecord("malformed-statement", "the balances of the statement are in two currencies")
    balance_minor = minor_units(opening.amount.amount, currency)
    for number, (line, data) in enumerate(zip(lines, held, strict=True), 1):
        amount = abs(data["amount"].amount)
        signed: Decimal = amount.copy_negate() if data["status"] in _DEBITS else amount
        balance_minor += minor_units(signed, currency)
        yield line, _fields(parsed.data, data, number, f"{signed:f}", currency)
    closing_minor = minor_units(closing.amount.amount, currency)
    if balance_minor != closing_minor:
        held_text, told = to_text(balance_minor, currency), to_text(closing_minor, currency)
        problems.add(
            first_line, f"the entries lead to a balance of {held_text} {currency}, but the statement closes with {told}"
        )


def _balance(data: dict[str, Any], names: tuple[str, ...], tag: str) -> Any:
    for name in names:
        if name in data:
            return data[name]
    raise InvalidRecord("malformed-statement", f"the statement has no balance {tag}: it was cut, or is no MT940")


def _fields(statement: dict[str, Any], entry: dict[str, Any], number: int, amount: str, currency: str) -> list[str]:
    told = {
        "account": statement.get("account_identification"),
        "statement": statement.get("statement_number"),
        "entry": str(number),
        "reference": statement.get("transaction_reference"),
        "value_date": entry["date"].isoformat(),
        "amount": amount,
        "currency": currency,
        "type": entry.get("id"),
        "customer_reference": entry.get("customer_reference"),
        "bank_reference": entry.get("bank_reference"),
        "extra_details": entry.get("extra_details"),
        "details": entry.get("transaction_details"),
    }
    return [*(str(told[name] or "").strip() for name in FIELDS), ""]
