"""What every rule has: conditions that it needs, and the finding that it tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from reconcile.spec.declared import DeclaredRule, duration_us
from reconcile.spec.draft import GroupDraft, Lines, indented, inside
from reconcile.spec.model import Leg
from reconcile.spec.terms import Scope, Term, currency_text
from trueup.model.toml_lines import Place

GROUP_ID = "key[0] if len(key) == 1 else key_text(key)"


@dataclass(frozen=True, slots=True)
class Partner:
    """The row that a rule compares with: texts of its register and row, of how to find it, and of whether it is there."""

    name: str
    leg: Leg
    held: str
    row: str
    setup: Lines
    exists: str
    absent: str


class RuleDraft:
    """One rule on its way into the judge; `leg` is None for a rule about the whole group."""

    def __init__(self, draft: GroupDraft, number: int, rule: DeclaredRule, entity_kind: str) -> None:
        self.draft = draft
        self.number = number
        self.rule = rule
        self.leg: Leg | None = draft.legs.get(rule.leg) if rule.leg else None
        self.entity_kind = self.leg.entity_kind if self.leg else entity_kind
        self.needs: set[str] = set()
        self.may_fail = False
        self.scope: Scope = draft.scope
        if self.leg is not None and not self.leg.is_single:
            self.scope = self.scope.bound(self.leg.name, f"row_{self.leg.name}", self.leg)

    def place(self, key: str) -> Place:
        """Where the rule's key stands in its group."""
        return ("rule", self.number, key)

    def wrong(self, key: str, what: str, remedy: str) -> None:
        """Report a problem of the rule."""
        self.draft.report(self.place(key), f"rule {self.rule.name}: {what}", remedy)

    def _taken(self, term: Term | None) -> Term | None:
        if term is not None:
            self.needs |= term.needs
            self.may_fail = self.may_fail or term.may_fail
        return term

    def condition(self, key: str, text: str | None) -> list[str]:
        """The condition as a list of one text, or of none where there is no condition."""
        term = self._taken(self.draft.condition(text, self.scope, self.place(key))) if text is not None else None
        return [] if term is None else [term.text]

    def amount(self, key: str, text: str, scope: Scope | None = None) -> Term | None:
        """The term of an amount of the rule."""
        return self._taken(self.draft.amount(text, scope or self.scope, self.place(key)))

    def value(self, key: str, text: str) -> Term | None:
        """The term of a value of any kind."""
        return self._taken(self.draft.column(text, self.scope, self.place(key)))

    def guards(self) -> list[str]:
        """Conditions under which every row exists that the rule names, but for the one in hand."""
        return self.draft.existing(self.needs, self.leg.name if self.leg else "")

    def without_row(self, values: dict[str, Term]) -> None:
        """The rule has no row in hand, but these further names: it is about what is told of a row's history."""
        self.scope = self.draft.scope.with_values(values)

    def add_history(self, lines: Lines, told: Lines) -> None:
        """Put the rule among those about marks: `lines` lead to what is told."""
        self.draft.history += [*lines, *indented(inside(self.draft.existing(self.needs), told))]

    def not_told_elsewhere(self) -> list[str]:
        """The condition of `unless`: rows that a `unique` rule tells are left to it."""
        name = self.rule.unless
        if name is None:
            return []
        number = next((n for n, one in enumerate(self.draft.declared.rules) if one.name == name and one.leg == self.rule.leg
                       and one.kind == "unique"), None)  # fmt: skip
        if number is None:
            self.wrong("unless", f"there is no unique rule {name} of leg {self.rule.leg}", "name one, or leave it out")
            return []
        return [f"not twice_{number}"]

    def grace(self, text: str | None) -> str:
        """The text of the rule's grace in µs."""
        return "grace_us" if text is None else str(duration_us(text))

    def due(self, column: str, grace: str | None) -> tuple[str, list[str]]:
        """(text of the due time, conditions under which there is one)."""
        if self.leg is None:
            return f"newest_us + {self.grace(grace)}", []
        chosen = column or self.leg.business_time or "commit"
        if chosen == "commit":
            return f"held_{self.leg.name}.commit_us + {self.grace(grace)}", []
        known = next((one for one in self.leg.table.columns if one.name == chosen), None)
        if known is None or known.kind != "time":
            self.wrong("due", f"{chosen} is no column of the kind time", 'write a time column of the leg, or "commit"')
            return "newest_us", []
        text = f"row_{self.leg.name}.{self.leg.field_of(chosen)}"
        return f"{text} + {self.grace(grace)}", [f"{text} is not None"] if known.nullable else []

    def partner(self, name: str, on: list[str] | None, key: str) -> Partner | None:
        """The partner row and how to find it; a single leg's row, the first of the group, or the first with equal columns."""
        leg = self.draft.scope.sets.get(name)
        if leg is None:
            self.wrong(
                key, f"there is no leg or subset {name}", f"there are {', '.join(sorted(self.draft.scope.sets))}"
            )
            return None
        if name in self.draft.legs and leg.is_single and not on:
            return Partner(
                name, leg, f"held_{name}", f"row_{name}", [], f"held_{name} is not None", f"held_{name} is None"
            )
        held = f"partner_{self.number}"
        if on and self.leg is not None:
            pairs = self.column_pairs(on, leg)
            if pairs is None:
                return None
            index = self.draft.require_index(name, [theirs for _ours, theirs in pairs])
            own = self.own_key([ours for ours, _theirs in pairs])
            found, absent = f"{index}.get({own})", f"{own} not in {index}"
        else:
            self.draft.require_set(name)
            found, absent = f"set_{name}[0] if set_{name} else None", f"not set_{name}"
        return Partner(name, leg, held, f"{held}.row", [f"{held} = {found}"], f"{held} is not None", absent)

    def take(self, partner: Partner) -> list[str]:
        """Let the rule name the partner's row; conditions under which there is one."""
        if not partner.setup:
            self.needs.add(partner.name)
            return []
        self.scope = self.scope.bound(partner.name, partner.row, partner.leg)
        return [partner.exists]

    def own_key(self, columns: list[str]) -> str:
        """The text of the values of the row's own columns, as an index keeps them."""
        assert self.leg is not None
        fields = [f"row_{self.leg.name}.{self.leg.field_of(column)}" for column in columns]
        return fields[0] if len(fields) == 1 else f"({', '.join(fields)})"

    def column_pairs(self, on: list[str], other: Leg) -> list[tuple[str, str]] | None:
        """(own column, the other leg's column) of each entry `column` or `own = other`."""
        assert self.leg is not None
        pairs = []
        for entry in on:
            ours, _, theirs = (part.strip() for part in entry.partition("="))
            theirs = theirs or ours
            for column, leg in ((ours, self.leg), (theirs, other)):
                if column not in leg.topic_columns:
                    self.wrong(
                        "on", f"leg {leg.name} has no column {column}", 'write "column" or "own column = other column"'
                    )
                    return None
            pairs.append((ours, theirs))
        return pairs

    def currency(self, row: str = "") -> str:
        """The text of the finding's currency: the rule's own, or that of the row in hand."""
        if self.rule.currency:
            term = self.value("currency", self.rule.currency)
            return term.text if term else "''"
        if self.leg is None or not self.leg.currency:
            return "''"
        return currency_text(self.leg, row or f"row_{self.leg.name}")

    def tell(
        self,
        evidence: Iterable[str],
        *,
        rule: str = "",
        entity: str = "",
        due: str = "newest_us",
        direction: str = "",
        amounts: tuple[str, str, str] = ("None", "None", "''"),
        detail: str | None = None,
    ) -> Lines:
        """The lines that add the finding.

        Args:
            evidence: texts of pieces of evidence, or of `*lists` of them.
            rule: the name that it is told under where that is not the rule's own.
            entity: the text of the entity's id; by default that of the row in hand, or of the group's key.
            due: the text of the due time in µs.
            direction: short or long for a side that is missing.
            amounts: the texts of (expected, actual, currency).
            detail: the text of the detail where it is not the rule's own.
        """
        entity = entity or (f"held_{self.leg.name}.primary_key" if self.leg else GROUP_ID)
        parties = []
        for column, names in (("shop", self.draft.declared.shop), ("statement", self.draft.declared.statement)):
            own = getattr(self.rule, column)
            term = self.value(column, own) if own else None
            parties.append(term.text if term else self.draft.default_of(column, names))
        detail = self.detail("detail", self.rule.detail) if detail is None else detail
        places = ", ".join(evidence)
        values = (
            repr(rule or self.rule.name),
            repr(self.entity_kind),
            entity,
            due,
            repr(direction),
            *amounts,
            *parties,
        )
        return [
            f"found.append(Finding({', '.join(values)},",
            f"    {detail}, ({places}{',' if places else ''})))",
        ]

    def detail(self, key: str, text: str) -> str:
        """The text of a detail with its expressions filled in."""
        term = self._taken(self.draft.template(text, self.scope, self.place(key)))
        return term.text if term else "''"

    def evidence(self, *rows: tuple[Leg, str]) -> list[str]:
        """Texts of the evidence of these rows."""
        return [f"evidence_of({leg.evidence_table!r}, {held})" for leg, held in rows]

    def own_evidence(self) -> list[str]:
        """The row in hand; none for a rule about the whole group."""
        return self.evidence((self.leg, f"held_{self.leg.name}")) if self.leg else []

    def set_evidence(self, names: Iterable[str]) -> list[str]:
        """The rows of legs and subsets."""
        return [f"*evidence({self.draft.scope.sets[name].evidence_table!r}, set_{name})" for name in sorted(names)]

    def add(self, lines: Lines) -> None:
        """Put the rule among those about the row in hand, or about the whole group."""
        if self.may_fail:
            lines = ["try:", *indented(lines), "except ArithmeticError:", *indented(self._undecided())]
        if self.leg is None:
            self.draft.whole += inside(self.guards(), lines)
        else:
            self.draft.rows[self.leg.name] += inside(self.guards(), lines)

    def _undecided(self) -> Lines:
        """A rule without a result says so: it must not look as if the books were right."""
        told = "the rule cannot be decided: it divides by zero, or its result is too large"
        return self.tell(self.own_evidence(), detail=repr(told))
