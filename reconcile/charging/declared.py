"""The file of a charging spec as it is written: which tables and keys there may be. See docs/formulas.md."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from reconcile.formula.functions import ROUNDINGS
from reconcile.formula.kinds import Kind
from trueup.model.errors import InvalidRecord
from trueup.model.money import exponent

ORDER_CURRENCY = "order"
"""As the currency of a fee: the currency of the order itself."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


def _known_currency(code: str) -> str:
    if code != ORDER_CURRENCY:
        try:
            exponent(code)
        except InvalidRecord as error:
            raise ValueError(f"{error}; `order` stands for the currency of the order") from None
    return code


def _known_rounding(mode: str) -> str:
    if mode not in ROUNDINGS:
        raise ValueError(f"there is no rounding {mode!r}; use one of {', '.join(ROUNDINGS)}")
    return mode


Name = Annotated[str, Field(pattern=r"^[^\W\d_]\w*$", max_length=60)]
Label = Annotated[str, Field(pattern=r"^\w[\w -]*$", max_length=60)]
Formula = Annotated[str, Field(min_length=1)]
Direction = Literal["payable", "receivable"]
"""Payable: we owe the party. Receivable: the party owes us."""


class DeclaredFactor(_Part):
    """`[factors]`, an entry with a default."""

    kind: Kind
    default: Decimal | int | str | bool | None = None


class DeclaredFee(_Part):
    """`[[scenario.rule.fee]]`: one amount that a rule gives."""

    name: Name
    formula: Formula
    party: Label
    type: Label
    direction: Direction
    currency: Annotated[str, AfterValidator(_known_currency)]
    rounding: Annotated[str, AfterValidator(_known_rounding)] = "half_up"


class DeclaredRule(_Part):
    """`[[scenario.rule]]`: the fees of the orders that it is for."""

    name: Label
    priority: int = 0
    when: Formula | None = None
    formulas: dict[Name, Formula] = Field(default_factory=dict)
    fees: list[DeclaredFee] = Field(alias="fee", min_length=1)


class DeclaredScenario(_Part):
    """`[[scenario]]`: a line of business, with its rules."""

    name: Label
    when: Formula | None = None
    match: Literal["first", "all"] = "first"
    formulas: dict[Name, Formula] = Field(default_factory=dict)
    rules: list[DeclaredRule] = Field(alias="rule", min_length=1)


class DeclaredCharging(_Part):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    description: str = ""
    seller: Label
    factors: dict[Name, Kind | DeclaredFactor]
    scenarios: list[DeclaredScenario] = Field(alias="scenario", min_length=1)
