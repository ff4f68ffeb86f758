"""Entries of CAMT.053 account statements, read as a stream; each statement must lead from its opening to its closing balance.

Source: ISO 20022 message camt.053 (BankToCustomerStatement), versions 02 to 13: the elements used are the same in all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from xml.etree.ElementTree import Element  # the type alone: defusedxml reads

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import ParseError, iterparse

from cdc.files.declared import FileMapping, RawRow
from cdc.files.refusals import Problems
from cdc.files.text_lines import Progress
from trueup.model.errors import InvalidRecord
from trueup.model.money import minor_units, to_text

FIELDS: Final = (
    "account", "statement", "entry", "entry_reference", "servicer_reference", "end_to_end_id", "booking_date",
    "value_date", "amount", "currency", "details",
)  # fmt: skip
_OPENING: Final = ("OPBD", "PRCD")
_CLOSING: Final = "CLBD"


class HashedFile:
    """A file whose MD5 is taken while it is read."""

    def __init__(self, path: Path, on_progress: Progress) -> None:
        self._file = path.open("rb")
        self._digest = hashlib.md5(usedforsecurity=False)
        self._on_progress = on_progress
        self._done = 0

    @property
    def md5(self) -> str:
        """Of all that was read, in hex."""
        return self._digest.hexdigest()

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        part = self._file.read(size)
        self._digest.update(part)
        self._done += len(part)
        self._on_progress(self._done)
        return part

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class _Statement:
    """What is known of the statement that is being read; amounts in minor units."""

    def __init__(self, element: Element) -> None:
        self.element = element
        self.account = ""
        self.number = ""
        self.entries = 0
        self.sum_minor: dict[str, int] = {}
        self.balances: dict[str, tuple[str, int]] = {}


def read_camt053(file: HashedFile, mapping: FileMapping, problems: Problems) -> Iterator[RawRow]:
    """The booked entries of all statements of a file; a row's line is the number of its entry in the file."""
    indexes = [FIELDS.index(place) if place in FIELDS else -1 for place in mapping.places()]
    statement: _Statement | None = None
    statements = number = 0
    try:
        for event, element in iterparse(file, ("start", "end"), forbid_dtd=True):
            name = element.tag.rpartition("}")[2]
            if event == "start":
                if name == "Stmt":
                    statement = _Statement(element)
            elif statement is None:
                continue
            elif name == "Ntry":
                number += 1
                try:
                    fields = _entry(element, statement)
                except InvalidRecord as error:
                    problems.add(number, f"entry {number}: {error.what}")
                else:
                    yield RawRow(number, [fields[index] for index in indexes])
                # Millions of empty elements would fill the memory as well.
                statement.element.remove(element)
            elif name == "Bal":
                _take_balance(element, statement, number, problems)
            elif name == "Acct" and not statement.account:
                statement.account = _text(element, "{*}Id/{*}IBAN") or _text(element, "{*}Id/{*}Othr/{*}Id")
            elif name == "Id" and not statement.account:
                # The statement's own Id comes first in it; those inside of Acct come later.
                statement.number = statement.number or (element.text or "").strip()
            elif name == "Stmt":
                statements += 1
                _compare(statement, number, problems)
                element.clear()
                statement = None
    except (ParseError, DefusedXmlException, ValueError) as error:
        problems.add(0, f"the file is no whole XML document: {error}")
        return
    if not statements:
        problems.add(0, "there is no statement (Stmt) in the file", "CAMT.052 and CAMT.054 are not read")


def _entry(element: Element, statement: _Statement) -> list[str]:
    """The texts at FIELDS and an empty one."""
    status = _text(element, "{*}Sts/{*}Cd") or _text(element, "{*}Sts")
    if status != "BOOK":
        raise InvalidRecord("not-booked", f"its status is {status!r}, and only booked entries are in the balance")
    currency, amount = _amount(element)
    statement.sum_minor[currency] = statement.sum_minor.get(currency, 0) + minor_units(amount, currency)
    statement.entries += 1
    remittance = element.findall(".//{*}RmtInf/{*}Ustrd")
    return [
        statement.account,
        statement.number,
        str(statement.entries),
        _text(element, "{*}NtryRef"),
        _text(element, "{*}AcctSvcrRef"),
        _text(element, "{*}NtryDtls/{*}TxDtls/{*}Refs/{*}EndToEndId"),
        _date(element, "BookgDt"),
        _date(element, "ValDt"),
        amount,
        currency,
        " ".join((one.text or "").strip() for one in remittance),
        "",
    ]


def _amount(element: Element) -> tuple[str, str]:
    """Currency and signed amount of an entry or a balance."""
    amount = element.find("{*}Amt")
    direction = _text(element, "{*}CdtDbtInd")
    currency = (amount.get("Ccy") or "") if amount is not None else ""
    text = (amount.text or "").strip() if amount is not None else ""
    if direction not in {"CRDT", "DBIT"} or not text or not text[0].isdigit():
        raise InvalidRecord("malformed-amount", f"{text!r:.40} {direction!r:.20} is no amount with CRDT or DBIT")
    signed = f"-{text}" if direction == "DBIT" else text
    minor_units(signed, currency)
    return currency, signed


def _take_balance(element: Element, statement: _Statement, number: int, problems: Problems) -> None:
    code = _text(element, "{*}Tp/{*}CdOrPrtry/{*}Cd")
    try:
        currency, amount = _amount(element)
    except InvalidRecord as error:
        problems.add(number, f"balance {code}: {error.what}")
        return
    statement.balances[code] = (currency, minor_units(amount, currency))


def _compare(statement: _Statement, number: int, problems: Problems) -> None:
    """Tell where the entries do not lead from the opening to the closing balance."""
    opening = next((statement.balances[code] for code in _OPENING if code in statement.balances), None)
    closing = statement.balances.get(_CLOSING)
    name = f"statement {statement.number}"
    if opening is None or closing is None:
        problems.add(number, f"{name} has no {'opening' if opening is None else 'closing'} balance")
        return
    currency = opening[0]
    if {currency, closing[0], *statement.sum_minor} != {currency}:
        problems.add(number, f"{name} mixes currencies")
        return
    reached = opening[1] + statement.sum_minor.get(currency, 0)
    if reached != closing[1]:
        held, told = to_text(reached, currency), to_text(closing[1], currency)
        problems.add(number, f"the entries of {name} lead to a balance of {held} {currency}, but it closes with {told}")


def _text(element: Element, path: str) -> str:
    found = element.find(path)
    return (found.text or "").strip() if found is not None else ""


def _date(element: Element, name: str) -> str:
    return _text(element, f"{{*}}{name}/{{*}}Dt") or _text(element, f"{{*}}{name}/{{*}}DtTm")[:10]
