"""Reading a JSON message strictly: every field there, of its type, within its bounds, and no other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import orjson

from trueup.model.errors import InvalidRecord
from trueup.model.money import minor_units

TIME_US_MAX: Final = 7_258_118_400 * 1_000_000
"""The year 2200: later times do not fit ClickHouse's DateTime64(6) safely."""

COUNT_MAX: Final = 2**31


class Fields:
    """The fields of one JSON object.

    Every method raises InvalidRecord with the code that the reader was made with, naming the field.
    """

    def __init__(self, held: Any, code: str, place: str = "") -> None:
        self._code = code
        self._place = place
        if type(held) is not dict:
            raise self.refusal(f"{place or 'the message'} is no JSON object")
        self._held: dict[str, Any] = held

    def only(self, known: Collection[str]) -> None:
        """Refuse fields that nobody would read."""
        strangers = sorted(self._held.keys() - set(known))
        if strangers:
            raise self.refusal(f"{self._place}{strangers[0]!r} is no field of it")

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        return self._held.get(name) is not None

    def text(self, name: str, chars_max: int, *, required: bool = True) -> str:
        """A text of at most so many characters; required means not blank."""
        value = self._held.get(name, "" if not required else None)
        if type(value) is not str or len(value) > chars_max or (required and not value.strip()):
            raise self.refusal(
                f"{self._place}{name} must be a text of {'1 to ' if required else 'at most '}{chars_max} characters"
            )
        return value

    def choice(self, name: str, known: Collection[str]) -> str:
        """One of a few words."""
        value = self._held.get(name)
        if type(value) is not str or value not in known:
            raise self.refusal(f"{self._place}{name} must be one of {', '.join(sorted(known))}")
        return value

    def whole(self, name: str, lowest: int, highest: int) -> int:
        """An integer within bounds, both included."""
        value = self._held.get(name)
        if type(value) is not int or not lowest <= value <= highest:
            raise self.refusal(f"{self._place}{name} must be a whole number from {lowest} to {highest}")
        return value

    def time_us(self, name: str) -> int:
        """Microseconds since the epoch."""
        return self.whole(name, 0, TIME_US_MAX)

    def amount_minor(self, name: str, currency: str) -> int | None:
        """An amount given as a decimal string in major units of the currency, in its minor units; null is None."""
        value = self._held.get(name)
        if value is None:
            return None
        if type(value) is not str or not currency:
            raise self.refusal(f"{self._place}{name} must be a decimal string beside a currency, or null")
        return minor_units(value, currency)

    def inner(self, name: str) -> Fields:
        """A JSON object inside this one."""
        return Fields(self._held.get(name), self._code, f"{name}.")

    def pair(self, name: str) -> tuple[int, int]:
        """Two integers, not negative."""
        value = self._held.get(name)
        if type(value) is not list or len(value) != 2 or any(type(part) is not int or part < 0 for part in value):
            raise self.refusal(f"{self._place}{name} must be two whole numbers")
        return value[0], value[1]

    def refusal(self, what: str) -> InvalidRecord:
        """The error for something that is wrong with the message."""
        return InvalidRecord(self._code, what)


def read_fields(value: bytes | None, code: str) -> Fields:
    """The fields of a JSON message. Errors: InvalidRecord with `code`."""
    try:
        held = orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise InvalidRecord(code, f"not JSON: {error}") from None
    return Fields(held, code)


def check_key(key: bytes | None, discrepancy_id: str) -> None:
    """A message under another key would be in the wrong partition. Errors: InvalidRecord `wrong-key`."""
    if key != discrepancy_id.encode():
        raise InvalidRecord("wrong-key", "the key of the message is not its discrepancy_id")
