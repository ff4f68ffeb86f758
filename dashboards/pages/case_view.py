"""The list of discrepancies as an address says it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple, get_args
from urllib.parse import urlencode

from clickhouse.case_reader import Sort
from trueup.case_choice import Choice, read_choice, read_word
from trueup.case_story import difference_minor
from trueup.model.money import to_decimal

PATH: Final = "/discrepancies"
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

ROW_COLUMNS: Final = (
    "discrepancy_id", "rule", "class", "entity_kind", "entity_id", "shop_id", "currency", "expected", "actual", "standing",
    "lapse", "assignee", "severity", "revision", "occurrences", "due_at", "raised_at",
)  # fmt: skip
"""What a row of a list shows of a case, and what a decision on it must know."""


class View(NamedTuple):
    """What the list shows: which cases, in which order, and from which cursor on."""

    choice: Choice = Choice()
    sort: Sort = "opened"
    after: str = ""
    before: str = ""

    def pairs(self) -> list[tuple[str, str]]:
        """Names and texts that `read_view` reads back; what is the default is left out."""
        rest = {"sort": self.sort if self.sort != "opened" else "", "after": self.after, "before": self.before}
        return [*self.choice.pairs(), *((name, text) for name, text in rest.items() if text)]

    def address(self, path: str = PATH) -> str:
        """The address that shows this."""
        query = urlencode(self.pairs())
        return f"{path}?{query}" if query else path

    def turned_to(self, *, after: str = "", before: str = "") -> str:
        """The address of another page of the same list."""
        return self._replace(after=after, before=before).address()

    def choosing(self, **fields: Any) -> str:
        """The address of the list with other fields of its choice, from its first page on."""
        return View(self.choice._replace(**fields), self.sort).address()

    def without(self, name: str, text: str) -> str:
        """The address of the list without one value of its choice."""
        pairs = [pair for pair in self.choice.pairs() if pair != (name, text)]
        return View(read_choice(pairs), self.sort).address()

    def sorted_by(self, sort: Sort) -> str:
        """The address of the list in another order."""
        return View(self.choice, sort).address()


def read_view(pairs: Iterable[tuple[str, str]]) -> View:
    """The view of an address. Errors: ConfigurationError, naming what cannot be read."""
    pairs = list(pairs)
    rest = {name: text for name, text in pairs if name in {"sort", "after", "before"} and text}
    sort = rest.get("sort", "opened")
    read_word(sort, SORTS, "sort")
    view = View(read_choice(pairs), after=rest.get("after", ""), before=rest.get("before", ""))
    return view._replace(sort=sort)  # type: ignore[arg-type]  # it is one of SORTS


def difference(case: Mapping[str, Any]) -> Decimal | None:
    """Actual − expected in major units, a missing side counting as nothing; None without amounts."""
    minor = difference_minor(case)
    return None if minor is None else to_decimal(minor, case["currency"])
