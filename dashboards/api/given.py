"""What programs send."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from reconcile.cases.commands import ACTOR_CHARS_MAX, NOTE_CHARS_MAX

SEEN_MAX: Final = 1_000
"""Discrepancies of one decision."""

SEEN_CHARS_MAX: Final = 160

Kind = Literal[
    "acknowledge", "assign", "snooze", "unsnooze", "waive", "approve", "reject", "resolve", "reopen", "comment"
]


class DecisionGiven(BaseModel):
    """One decision on one or many discrepancies."""

    model_config = ConfigDict(extra="forbid")

    id: UUID = Field(description="made by the caller: sent again with the same id, it is not carried out again")
    kind: Kind
    seen: list[Annotated[str, Field(max_length=SEEN_CHARS_MAX)]] = Field(
        min_length=1,
        max_length=SEEN_MAX,
        description="`seen` of each discrepancy, as it was read: the decision is about exactly that",
    )
    note: str = Field("", max_length=NOTE_CHARS_MAX, description="why; waive, resolve and comment need one")
    assignee: str = Field("", max_length=ACTOR_CHARS_MAX, description="of assign")
    until: str = Field("", max_length=20, description="of snooze: a span such as 3d")
    condition: Literal["", "amount-changed", "comes-back", "amount-above"] = Field(
        "", description="of snooze: what ends it"
    )
    limit: str = Field("", max_length=40, description="of the condition amount-above, in major units of its currency")

    def form(self) -> dict[str, str]:
        """The fields as the form of the pages has them."""
        return self.model_dump(include={"kind", "note", "assignee", "until", "condition", "limit"})
