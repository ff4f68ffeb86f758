"""The file of a spec as it is written: which tables and keys there may be, and of what shape. See docs/specs.md."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from trueup.model.tables import Kind

RuleClass = Literal["one-sided", "wrong-amount", "mismatch"]
Side = Literal["", "short", "long"]

_UNITS_US: Final = {
    "us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000,
}  # fmt: skip


def duration_us(text: str) -> int:
    """Microseconds of a duration such as `5 min`; ValueError with the way to write one."""
    number, _, unit = text.strip().partition(" ")
    factor = _UNITS_US.get(unit.strip())
    if factor is None or not number.isdecimal() or not number.isascii() or len(number) > 9:
        raise ValueError("a duration is a whole number and a unit, such as `5 min`; units are us, ms, s, min, h, d")
    return int(number) * factor


def _checked_duration(text: str) -> str:
    duration_us(text)
    return text


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


LegName = Annotated[str, Field(pattern=r"^[a-z](_?[a-z0-9])*$", max_length=60)]
"""Lower-case words joined by single underscores: leg names are names in expressions, and parts of topic headers."""
RuleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$", max_length=60)]
Duration = Annotated[str, AfterValidator(_checked_duration)]
Expression = Annotated[str, Field(min_length=1)]
Detail = Annotated[str, Field(min_length=1, max_length=400)]
Columns = Annotated[list[str], Field(min_length=1)]
Cardinality = Literal["1:1", "1:N", "N:1", "N:M"]
ColumnKind = Literal[
    "id", "text", "currency", "money", "time", "date", "int", "flag", "json",
    "id?", "text?", "currency?", "money?", "time?", "date?", "int?", "flag?", "json?",
]  # fmt: skip


class DeclaredLeg(_Part):
    """`[[group.leg]]`: the rows of one table."""

    name: LegName
    table: Annotated[str, Field(pattern=r"^[^\s.]+(\.[^\s.]+){0,2}$")]
    match: Columns
    primary_key: str | Columns
    columns: dict[str, ColumnKind] = Field(default_factory=dict)
    rows: Literal["one", "many"] = "many"
    amount: Expression | None = None
    currency: str = ""
    status: str = ""
    business_time: str = ""
    parent: dict[str, str] = Field(default_factory=dict)


class DeclaredSubset(_Part):
    """`[[group.subset]]`: some of the rows of a leg, under a name."""

    name: LegName
    leg: LegName
    where: Expression | None = None
    distinct: Columns | None = None


class _Rule(_Part):
    name: RuleName
    detail: Detail
    class_: RuleClass = Field(alias="class")
    leg: LegName = ""
    when: Expression | None = None
    unless: RuleName | None = None
    shop: str = ""
    statement: str = ""
    currency: str = ""


class _Late(_Part):
    due: str = ""
    grace: Duration | None = None


class PresenceRule(_Rule, _Late):
    """A row of `leg` needs a row of `in`."""

    kind: Literal["presence"]
    in_: LegName = Field(alias="in")
    on: Columns | None = None
    direction: Side = ""
    amount: Expression | None = None
    cardinality: Cardinality | None = None


class SumRule(_Rule, _Late):
    """`expected` and `actual` are equal within the tolerance."""

    kind: Literal["sum"]
    expected: Expression
    actual: Expression
    with_: LegName = Field("", alias="with")
    on: Columns | None = None
    tolerance: str = ""
    mixed: Literal["tell", "silent"] = "tell"
    excused_by: RuleName | None = None
    cardinality: Cardinality | None = None


class UniqueRule(_Rule):
    """The columns `by` are the same in no two rows of `leg`."""

    kind: Literal["unique"]
    by: Columns


class AgreeRule(_Rule):
    """A column is the same in a row of `leg` and in its partner."""

    kind: Literal["agree"]
    with_: LegName = Field(alias="with")
    on: Columns | None = None
    column: str


class ImpliesRule(_Rule, _Late):
    """Where `when` holds, `then` holds."""

    kind: Literal["implies"]
    when: Expression
    then: Expression


class UnchangedRule(_Rule):
    """Fields of `leg` stay as they are while a condition holds, or after the first commit of a row of `after`."""

    kind: Literal["unchanged"]
    fields_: Columns = Field(alias="fields")
    while_: Expression | None = Field(None, alias="while")
    after: LegName = ""
    expected: Expression | None = None
    actual: Expression | None = None


class MachineRule(_Rule):
    """The status of a row takes the listed steps only."""

    kind: Literal["machine"]
    steps: Columns


class StuckRule(_Rule):
    """A row stays in a status no longer than its limit."""

    kind: Literal["stuck"]
    limits: dict[str, Duration] = Field(default_factory=dict)


class OneSourceRule(_Rule):
    """A primary key lives in one source."""

    kind: Literal["one-source"]


class FormulaRule(_Rule):
    """`actual` is what a charging spec says of the row's factors."""

    kind: Literal["formula"]
    charging: str
    factors: str
    actual: Expression
    excused_by: RuleName | None = None
    detail_edited: Detail | None = None


class ParentPresenceRule(_Rule):
    """Members name a parent that exists."""

    kind: Literal["parent-presence"]
    grace: Duration | None = None


class ParentTotalRule(_Rule):
    """The parent's own amount and count are those of its members."""

    kind: Literal["parent-total"]
    detail_count: Detail


class LateMemberRule(_Rule):
    """No member joins after the parent closed."""

    kind: Literal["late-member"]


class ChildTotalRule(_Rule):
    """A child's amount is the sum of its lines, and its parent's amount."""

    kind: Literal["child-total"]
    detail_parent: Detail
    detail_currency: Detail


class MemberStatusRule(_Rule):
    """While a child has `status`, no member of its parent has `member_status`."""

    kind: Literal["member-status"]
    status: str
    member_status: str
    grace: Duration | None = None


DeclaredRule = Annotated[
    PresenceRule
    | SumRule
    | UniqueRule
    | AgreeRule
    | ImpliesRule
    | UnchangedRule
    | MachineRule
    | StuckRule
    | OneSourceRule
    | FormulaRule
    | ParentPresenceRule
    | ParentTotalRule
    | LateMemberRule
    | ChildTotalRule
    | MemberStatusRule,
    Field(discriminator="kind"),
]


class DeclaredGroup(_Part):
    """`[[group]]`: rows that share a match key, and the rules about them."""

    name: LegName
    key: Columns
    shop: list[str] = Field(default_factory=list)
    statement: list[str] = Field(default_factory=list)
    legs: list[DeclaredLeg] = Field(alias="leg", min_length=1)
    subsets: list[DeclaredSubset] = Field(default_factory=list, alias="subset")
    define: dict[LegName, Expression] = Field(default_factory=dict)
    rules: list[DeclaredRule] = Field(default_factory=list, alias="rule")


class DeclaredSpec(_Part):
    """The whole file."""

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$", max_length=40)]
    version: Annotated[int, Field(ge=1, le=2**31 - 1)]
    description: str = ""
    groups: list[DeclaredGroup] = Field(alias="group", min_length=1)


def kind_of(declared: str) -> tuple[Kind, bool]:
    """(kind, whether NULL is allowed) of a column as it is written."""
    return declared.removesuffix("?"), declared.endswith("?")  # type: ignore[return-value]
